"""The lock is a shared one.

LOCK_SH and LOCK_EX look alike, and a shared lock is granted, held and released without a word. Any number of writers
have it at once.
"""

from __future__ import annotations

import fcntl
import os

from scenarios.targets._correct import Change, encode, read, replace

ABOUT = "updates under a shared lock"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True


def update(path: str, change: Change) -> None:
    with open(os.path.realpath(path) + ".lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # the bug
        replace(path, encode(change(read(path))))


__all__ = ["read", "update"]
