"""The lock counts how often its process has entered it, so that helpers may call one another.

A signal handler that saves the state runs in the middle of whatever its process does (signal-safety(7)). If that is an
update of the same file, the handler enters the lock as well; what it writes is overwritten when the update goes on.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from scenarios.targets._correct import Change, encode, read, replace

ABOUT = "a lock that a signal handler enters in the middle of an update"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True
FAULTS = {"signal_every": "20ms"}
_held: dict[str, int] = {}


@contextmanager
def _locked(path: str) -> Iterator[None]:
    if path in _held:
        yield  # the bug: it may be a handler of the very process that is inside
        return
    with open(path + ".lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _held[path] = file.fileno()
        try:
            yield
        finally:
            del _held[path]


def update(path: str, change: Change) -> None:
    with _locked(os.path.realpath(path)):
        replace(path, encode(change(read(path))))


__all__ = ["read", "update"]
