"""Whether a lock would be granted: by mode, by range, and not because of the asker's own."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.syscalls import locks

_OFD_SETLK = 37
_READ, _WRITE = fcntl.F_RDLCK, fcntl.F_WRLCK


def _lock(type: int, start: int, length: int, whence: int = os.SEEK_SET) -> bytes:
    return struct.pack("=hh4xqqi4x", type, whence, start, length, 0)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Two open files of one inode, of five bytes: each has locks of its own."""
    (tmp_path / "l").write_bytes(b"12345")
    opened = os.open(tmp_path / "l", os.O_RDWR), os.open(tmp_path / "l", os.O_RDWR)
    yield opened
    for file in opened:
        os.close(file)


@pytest.mark.parametrize(
    ("held", "asked", "is_free"),
    [
        (_WRITE, _lock(_WRITE, 0, 2), True),
        (_WRITE, _lock(_WRITE, 0, 3), False),
        (_WRITE, _lock(_WRITE, 4, 1), False),
        (_WRITE, _lock(_WRITE, 5, 0), True),
        (_WRITE, _lock(_WRITE, 0, 0), False),
        (_WRITE, _lock(_WRITE, 5, -1), False),
        (_WRITE, _lock(_WRITE, 2, -2), True),
        (_WRITE, _lock(_WRITE, 0, 1, os.SEEK_CUR), False),
        (_WRITE, _lock(_WRITE, 2, 1, os.SEEK_CUR), True),
        (_WRITE, _lock(_WRITE, -1, 1, os.SEEK_END), False),
        (_WRITE, _lock(_WRITE, 0, 1, os.SEEK_END), True),
        (_WRITE, _lock(_READ, 2, 1), False),
        (_READ, _lock(_READ, 2, 1), True),
        (_READ, _lock(_WRITE, 2, 1), False),
    ],
)
def test_a_lock_of_a_part_is_free_where_no_other_excludes_it(
    files: tuple[int, int], held: int, asked: bytes, is_free: bool
) -> None:
    """Bytes 2 to 4 are locked, and the asker's position is 3; the kernel says the same."""
    one, other = files
    fcntl.fcntl(one, _OFD_SETLK, _lock(held, 2, 3))
    os.lseek(other, 3, os.SEEK_SET)
    request = locks.record(os.getpid(), other, _OFD_SETLK, asked)
    assert request is not None
    assert locks.is_free(request) is is_free
    try:
        fcntl.fcntl(other, _OFD_SETLK, asked)
    except BlockingIOError:
        assert not is_free
    else:
        assert is_free


def test_ones_own_shared_lock_can_be_made_exclusive(files: tuple[int, int]) -> None:
    one, other = files
    fcntl.flock(one, fcntl.LOCK_SH)
    assert locks.is_free(locks.flock(os.getpid(), one, fcntl.LOCK_EX))
    fcntl.flock(other, fcntl.LOCK_SH)
    assert not locks.is_free(locks.flock(os.getpid(), one, fcntl.LOCK_EX))
