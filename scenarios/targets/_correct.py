"""What the broken targets share: the parts that are right, so that each file holds its one bug and little else."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from stress.api import DefiniteFailure

Change = Callable[[Any], Any]


def read(path: str) -> Any:
    """The document in the file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def encode(document: Any) -> bytes:
    """The document as bytes."""
    return json.dumps(document).encode()


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold flock(2) on a file beside the real one. Who has it can't take it again."""
    with open(os.path.realpath(path) + ".lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def with_lock_file(path: str, take: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file that ``take`` makes, given its path; at the end it is removed, be it there or not."""
    lock = os.path.realpath(path) + ".lock"
    take(lock)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lock)


def temp_with(path: str, data: bytes) -> str:
    """A synced temporary file with this content, beside the real file and with its attributes."""
    path = os.path.realpath(path)
    fd, temp = tempfile.mkstemp(prefix=".tmp.", dir=os.path.dirname(path))
    try:
        with open(fd, "wb") as file:
            file.write(data)
            if os.path.exists(path):
                shutil.copystat(path, temp)
            else:
                os.chmod(temp, 0o644)
            file.flush()
            os.fsync(fd)
    except BaseException:
        os.unlink(temp)
        raise
    return temp


def replace(path: str, data: bytes) -> None:
    """Temporary file, sync, rename: readers see the old content or the new one."""
    os.replace(temp_with(path, data), os.path.realpath(path))


def write_in_place(path: str, data: bytes) -> None:
    """Write over what the file holds; for a moment it holds a part of both."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with open(fd, "r+b", buffering=0) as file:
        file.write(data)
        file.truncate()


def newest_valid_backup(path: str) -> bytes:
    """The bytes of the newest backup that is a document; raises `DefiniteFailure` where there is none."""
    for name in sorted(glob.glob(f"{path}.*.bak"), reverse=True):
        with contextlib.suppress(ValueError):
            read(name)
            with open(name, "rb") as file:
                return file.read()
    raise DefiniteFailure(f"{path}: no valid backup")
