"""Whether the file is broken, and which backup is good, is found out before the lock is taken.

Who waits for the lock still believes what it saw. Meanwhile another has recovered the file and somebody has gone on
with it: that work is replaced by the backup.
"""

from __future__ import annotations

import contextlib
import time

from scenarios.targets._correct import Change, encode, locked, newest_valid_backup, read, replace

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
    newest = newest_valid_backup(path)
    with locked(path):  # the bug: is it still broken?
        with open(path, "rb") as file:
            replace(f"{path}.{time.time_ns()}.corrupt", file.read())
        replace(path, newest)


__all__ = ["read", "recover", "update"]
