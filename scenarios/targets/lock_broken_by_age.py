"""A lock that is older than its lease is taken for a dead process's, and broken.

The process may only have been slow, or stopped: it goes on as if it had the lock. Leases of some seconds are the
default of several libraries; here it is 50 ms, and who waits does not look whether it is still the same lock that he
removes.
"""

from __future__ import annotations

import contextlib
import os
import time

from scenarios.targets._correct import Change, encode, read, replace

ABOUT = "breaks locks that are older than their lease"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True
FAULTS = {"pause_every": "100ms"}


_LEASE_S = 0.05


def _take(lock: str) -> None:
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            return
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - os.stat(lock).st_mtime > _LEASE_S:
                    os.unlink(lock)  # the bug
            time.sleep(0.001)


def update(path: str, change: Change) -> None:
    lock = os.path.realpath(path) + ".lock"
    _take(lock)
    try:
        replace(path, encode(change(read(path))))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lock)


__all__ = ["read", "update"]
