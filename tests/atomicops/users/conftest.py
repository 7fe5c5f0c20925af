"""The helpers, installed for all users of the machine, and a folder that all can reach."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.atomicops.both import PACKAGE
from tests.atomicops.users.people import Installed, cannot_be_had, public_folder, sweep_public_folders


@pytest.fixture(scope="session")
def installed() -> Iterator[Installed]:
    if (why := cannot_be_had()) is not None:
        pytest.skip(why)
    sweep_public_folders()
    with public_folder() as folder:
        code = "import sys; from atomicops._vendor import vendor; vendor(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, str(folder)], cwd=PACKAGE.parent, check=True)
        yield Installed(folder)


@pytest.fixture
def place() -> Iterator[Path]:
    with public_folder() as folder:
        yield folder
