"""Whether two users can be had, and what keeps them from the files they need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from stress.host.users import why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "there are two users")


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as made:
        Path(made, "mine.py").touch(0o644)
        yield Path(made)


@pytest.mark.parametrize(
    ("mode", "of_file", "said"),
    [
        (0o755, 0o644, ""),
        (0o700, 0o644, "can't read the target"),
        (0o755, 0o600, "can't read the target"),
    ],
)
def test_a_target_is_to_be_read_by_both(folder: Path, mode: int, of_file: int, said: str) -> None:
    os.chmod(folder / "mine.py", of_file)
    os.chmod(folder, mode)
    why = why_not("/", [folder / "mine.py"])
    assert said in why
    assert bool(why) is bool(said)


def test_a_directory_is_to_be_reached(folder: Path) -> None:
    os.chmod(folder, 0o700)
    assert "can't reach" in why_not(str(folder))
