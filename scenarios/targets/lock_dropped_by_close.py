"""A record lock is given up by closing any other descriptor of its file.

fcntl(2): a process's locks on a file are released when it closes any descriptor of that file. Here the log of who has
the lock is read, and closed, while it is held.
"""

from __future__ import annotations

import fcntl
import os

from scenarios.targets._correct import Change, encode, read, replace

ABOUT = "loses its fcntl lock by closing another descriptor of the lock file"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True


def update(path: str, change: Change) -> None:
    with open(os.path.realpath(path) + ".lock", "a+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        with open(file.name, "rb") as who:
            who.read()  # the bug: with this descriptor's close the lock is gone
        replace(path, encode(change(read(path))))


__all__ = ["read", "update"]
