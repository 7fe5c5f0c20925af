"""The symbolic link is replaced, not the file that it leads to.

rename(2) does not follow links. The link was how others found the file; from then on there are two.
"""

from __future__ import annotations

import os

from scenarios.targets._correct import Change, encode, locked, read, temp_with

ABOUT = "renames onto the symbolic link"
EXPECTS = ("metadata-lost",)
SCENARIOS = ("feature_list",)


def update(path: str, change: Change) -> None:
    with locked(path):
        os.replace(temp_with(path, encode(change(read(path)))), path)  # the bug: realpath(path) is what it leads to


__all__ = ["read", "update"]
