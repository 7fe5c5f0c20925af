"""A lock that is older than its lease is taken for a dead process's, and broken.

The process may only have been slow, or stopped: it goes on as if it had the lock. Leases of some seconds are the
default of several libraries; here it is 50 ms, and who waits does not look whether it is still the same lock that he
removes.
"""

from __future__ import annotations

import functools

from scenarios.targets._correct import Change, encode, read, replace, with_lock_file
from scenarios.targets.lease_lock import take

ABOUT = "breaks locks that are older than their lease"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True
FAULTS = {"pause_every": "100ms"}
_LEASE_S = 0.05


def update(path: str, change: Change) -> None:
    with with_lock_file(path, functools.partial(take, lease_s=_LEASE_S)):
        replace(path, encode(change(read(path))))


__all__ = ["read", "update"]
