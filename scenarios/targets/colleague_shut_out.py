"""The new file is its maker's alone, as mkstemp makes it (0600).

As long as one user does everything nobody notices. A colleague, for whom the folder and the file were the group's, is
refused from the first update on.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from scenarios.targets._correct import Change, encode, locked, read

ABOUT = "temp file and rename, so that the colleague is shut out"
EXPECTS = ("metadata-lost",)
SCENARIOS = ("strangers",)


def _replace(path: str, document: Any) -> None:
    fd, temp = tempfile.mkstemp(prefix=".tmp.", dir=os.path.dirname(path))
    with open(fd, "wb") as file:
        file.write(encode(document))
        file.flush()
        os.fsync(fd)
    os.replace(temp, path)  # the bug: 0600, whatever the file's mode was


def write(path: str, document: Any) -> None:
    with locked(path):
        _replace(os.path.realpath(path), document)


def update(path: str, change: Change) -> None:
    with locked(path):
        _replace(os.path.realpath(path), change(read(path)))


__all__ = ["read", "update", "write"]
