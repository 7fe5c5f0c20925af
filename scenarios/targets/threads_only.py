"""The lock is one between the threads of a process.

`threading.Lock` is what the tests of a single process need. Other processes have a lock of their own each.
"""

from __future__ import annotations

import threading

from scenarios.targets._correct import Change, encode, read, replace

ABOUT = "updates under a threading.Lock"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True


_LOCK = threading.Lock()  # the bug: of this process only


def update(path: str, change: Change) -> None:
    with _LOCK:
        replace(path, encode(change(read(path))))


__all__ = ["read", "update"]
