"""What needs real processes under a scheduler is skipped where the kernel does not allow that."""

from __future__ import annotations

import pytest

from stress.syscalls import Denied, require
from stress.workload import catalog


@pytest.fixture(scope="session")
def needs_scheduling() -> None:
    catalog.load()
    try:
        require()
    except Denied as denied:
        pytest.skip(str(denied))
