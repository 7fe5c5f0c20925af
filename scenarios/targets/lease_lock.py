"""A lock with a lease: who finds it older than five seconds takes it over.

Its owner need not be dead. A laptop that slept, a container that was frozen, a debugger or a swapping machine stops it
for longer than that inside the lock; when it goes on it writes what it had read before. A lease is safe only where the
one who lost it is told so by the store (a fencing token). Leases of this length are the default of many lock libraries.
"""

from __future__ import annotations

import contextlib
import os
import time

from scenarios.targets._correct import Change, encode, read, replace, with_lock_file

ABOUT = "takes over lock files that are older than five seconds"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True
FAULTS = {"pause_for": "6s"}


def take(lock: str, lease_s: float = 5.0) -> None:
    """Make the lock file, or take over one that is older than its lease."""
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            return
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - os.stat(lock).st_mtime > lease_s:
                    os.unlink(lock)  # the bug
            time.sleep(0.001)


def update(path: str, change: Change) -> None:
    with with_lock_file(path, take):
        replace(path, encode(change(read(path))))


__all__ = ["read", "update"]
