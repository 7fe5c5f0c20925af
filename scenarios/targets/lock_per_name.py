"""The lock goes by the name that each caller gave.

The feature list is reached through a symbolic link by some, by its own path by others. Two names, two lock files, and
two who hold "the" lock at once. Here one agent in two follows the link first.
"""

from __future__ import annotations

import fcntl
import os

from scenarios.targets._correct import Change, encode, read, replace

ABOUT = "locks by the caller's path, not by the file that it leads to"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("feature_list",)
EXCLUSIVE = True


def update(path: str, change: Change) -> None:
    name = path if os.getpid() % 2 else os.path.realpath(path)
    with open(name + ".lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the bug: of which name?
        replace(path, encode(change(read(path))))


__all__ = ["read", "update"]
