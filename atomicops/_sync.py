# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Durability: which syncs each level asks for, and how this system does one."""

from __future__ import annotations

import errno
import fcntl
import os

FULL, FILE, NONE = "full", "file", "none"
_FULLFSYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)


def check_durability(durability: str) -> None:
    if durability not in (FULL, FILE, NONE):
        raise ValueError(f"durability is {durability!r}; choose one of 'full', 'file', 'none'")


def sync_file(fd: int) -> None:
    """fsync(2) once. A failed one is never tried again on the same descriptor: the kernel may have dropped the dirty
    pages and would report success for data that is gone.
    """
    if _FULLFSYNC is not None:  # macOS: fsync(2) leaves the data in the drive's own cache
        try:
            fcntl.fcntl(fd, _FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY, errno.ENODEV):
                raise
    os.fsync(fd)


def sync_directory(fd: int) -> None:
    """fsync(2) of a directory. A file system without such a thing (CIFS, vboxsf) has nothing to make durable by it."""
    try:
        sync_file(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS):
            raise
