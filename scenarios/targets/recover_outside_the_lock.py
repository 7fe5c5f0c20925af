"""Whether the file is broken, and which backup is good, is found out before the lock is taken.

Who waits for the lock still believes what it saw. Meanwhile another has recovered the file and somebody has gone on
with it: that work is replaced by the backup.
"""

from __future__ import annotations

import contextlib
import glob
import time

from scenarios.targets._correct import Change, encode, locked, read, replace
from stress.api import DefiniteFailure

ABOUT = "looks whether the file is broken before it takes the lock"
EXPECTS = ("lost-update",)
SCENARIOS = ("resume",)


def update(path: str, change: Change) -> None:
    with locked(path):
        replace(path, encode(change(read(path))))


def recover(path: str) -> None:
    with contextlib.suppress(ValueError):
        read(path)
        return
    for backup in sorted(glob.glob(f"{path}.*.bak"), reverse=True):
        with contextlib.suppress(ValueError):
            read(backup)
            break
    else:
        raise DefiniteFailure(f"{path}: no valid backup")
    with locked(path):  # the bug: is it still broken?
        with open(path, "rb") as file:
            replace(f"{path}.{time.time_ns()}.corrupt", file.read())
        with open(backup, "rb") as newest:
            replace(path, newest.read())


__all__ = ["read", "recover", "update"]
