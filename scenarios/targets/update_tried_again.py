"""An update is tried again, as it looked like a failure, after the first try had taken effect.

The connection breaks, or the lock's release raises, when all is done. Who then does all of it again counts twice.
"""

from __future__ import annotations

import random

from scenarios.targets._correct import Change, encode, locked, read, replace

ABOUT = "does an update again that had failed after it had taken effect"
EXPECTS = ("duplicate-update",)
SCENARIOS = ("session_count",)

_TIMES_IN_A_HUNDRED = 5


def update(path: str, change: Change) -> None:
    with locked(path):
        replace(path, encode(change(read(path))))
        if random.randrange(100) < _TIMES_IN_A_HUNDRED:
            replace(path, encode(change(read(path))))  # the bug


__all__ = ["read", "update"]
