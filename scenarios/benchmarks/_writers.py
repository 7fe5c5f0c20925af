"""Ways to replace a file: the system calls by hand, and libraries that are on the market."""

from __future__ import annotations

import fcntl
import importlib
import os
from collections.abc import Callable
from typing import Any

Write = Callable[[str, bytes], object]
"""From a path and the file's new content to the file."""

_TEMP = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def raw_write(durability: str) -> Write:
    """Temp file, write loop, fsync, rename, fsync of the directory: nothing else, and no lock. The floor."""
    sync_file, sync_directory = durability != "none", durability == "full"

    def write(path: str, data: bytes) -> None:
        temp = path + ".tmp"
        fd = os.open(temp, _TEMP, 0o666)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(fd, left) :]
            if sync_file:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temp, path)
        if sync_directory:
            directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    return write


def locked_by_hand(durability: str) -> Write:
    """The same under flock(2) of a file beside it: what a lock costs where nobody looks after anything else."""
    plain = raw_write(durability)

    def write(path: str, data: bytes) -> None:
        fd = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            plain(path, data)
        finally:
            os.close(fd)

    return write


def _atomicwrites(durability: str) -> Write:
    atomic_write = _of("atomicwrites", "atomic_write")

    def write(path: str, data: bytes) -> None:
        with atomic_write(path, mode="wb", overwrite=True) as file:
            file.write(data)

    return write


def _boltons(durability: str) -> Write:
    atomic_save = _of("boltons.fileutils", "atomic_save")

    def write(path: str, data: bytes) -> None:
        with atomic_save(path) as file:
            file.write(data)

    return write


def _safer(durability: str) -> Write:
    open_ = _of("safer", "open")

    def write(path: str, data: bytes) -> None:
        with open_(path, "wb", temp_file=True) as file:
            file.write(data)

    return write


def _portalocker(durability: str) -> Write:
    lock, plain = _of("portalocker", "Lock"), raw_write(durability)

    def write(path: str, data: bytes) -> None:
        with lock(path + ".lock", timeout=30):
            plain(path, data)

    return write


def _filelock(durability: str) -> Write:
    lock, plain = _of("filelock", "FileLock"), raw_write(durability)

    def write(path: str, data: bytes) -> None:
        with lock(path + ".lock", timeout=30):
            plain(path, data)

    return write


LIBRARIES: dict[str, tuple[Callable[[str], Write], tuple[str, ...], str]] = {
    "atomicwrites": (_atomicwrites, ("full",), "no lock; mode becomes 0600"),
    "boltons": (_boltons, ("none",), "no lock; mode kept; fixed temp name"),
    "safer": (_safer, ("none",), "no lock; mode kept"),
    "portalocker": (_portalocker, ("none", "file", "full"), "lock; mode lost"),
    "filelock": (_filelock, ("none", "file", "full"), "lock; mode lost"),
}
"""Library → how to write with it, the durabilities that it can have, and what else it guarantees."""


def library(name: str, durability: str) -> Write:
    """How to write with a library of `LIBRARIES`. Raises ImportError where it is not installed."""
    return LIBRARIES[name][0](durability)


def _of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)
