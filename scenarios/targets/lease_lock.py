"""A lock with a lease: who finds it older than five seconds takes it over.

Its owner need not be dead. A laptop that slept, a container that was frozen, a debugger or a swapping machine stops it
for longer than that inside the lock; when it goes on it writes what it had read before. A lease is safe only where the
one who lost it is told so by the store (a fencing token). Leases of this length are the default of many lock libraries.
"""

from __future__ import annotations

import contextlib
import os
import time

from scenarios.targets._correct import Change, encode, read, replace

ABOUT = "takes over lock files that are older than five seconds"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True
FAULTS = {"pause_for": "6s"}
_LEASE_S = 5.0


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
