# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Missing parent directories: made as ``mkdir -p`` makes them and, where asked, made durable."""

from __future__ import annotations

import os

from ._descriptors import open_owned, opener_in
from ._sync import sync_directory


def make_directories(path: bytes, at: int | None, durable: bool) -> None:
    """Make ``path`` and what is missing above it (0777 less the umask); ``durable`` syncs each new entry's directory.

    Another process may make the same directories meanwhile. A new directory is only an entry in its parent, so it is
    the parent that has to be synced: fsync(2).
    """
    missing = []
    head = path.rstrip(b"/")
    while head and not _exists(head, at):
        missing.append(head)
        head = head[: head.rfind(b"/") + 1].rstrip(b"/") or (b"/" if head.startswith(b"/") else b"")
        if head == b"/":
            break
    for directory in reversed(missing):
        try:
            os.mkdir(directory, 0o777, dir_fd=at)
        except FileExistsError:
            pass
        if durable:
            parent = os.path.dirname(directory) or b"."
            own = open_owned(parent, os.O_RDONLY | os.O_DIRECTORY, opener=opener_in(at))
            sync_directory(own.fileno())


def _exists(path: bytes, at: int | None) -> bool:
    try:
        os.stat(path, dir_fd=at)
    except FileNotFoundError:
        return False
    return True
