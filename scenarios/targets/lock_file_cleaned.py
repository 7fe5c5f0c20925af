"""The lock is a file that is there or not, beside the file that it guards.

Who cleans up (git clean -fd, a cron job, a colleague who thinks that it was forgotten) removes it while it is held, and
the next one makes another. flock(2) alone does not help: two processes then lock two files of one name.
"""

from __future__ import annotations

import contextlib
import os
import time

from scenarios.targets._correct import Change, encode, read, replace

ABOUT = "a lock file that a cleaner may remove while it is held"
EXPECTS = ("lost-update",)
SCENARIOS = ("session_count",)
EXCLUSIVE = True
FAULTS = {"clean_every": "20ms"}


def update(path: str, change: Change) -> None:
    lock = os.path.realpath(path) + ".lock"
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            time.sleep(0.0005)
    try:
        replace(path, encode(change(read(path))))  # the bug: nothing asks whether the lock is still this one
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lock)


__all__ = ["read", "update"]
