"""Whether the lock file is there is asked first, and it is made after that.

Between the question and the making there is time for others. O_EXCL asks and makes in one call.
"""

from __future__ import annotations

import os
import time

from scenarios.targets._correct import Change, encode, read, replace, with_lock_file

ABOUT = "checks for a lock file, then makes it"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True


def _take(lock: str) -> None:
    while os.path.exists(lock):
        time.sleep(0.0005)
    open(lock, "w").close()  # the bug: somebody else may have made it since


def update(path: str, change: Change) -> None:
    with with_lock_file(path, _take):
        replace(path, encode(change(read(path))))


__all__ = ["read", "update"]
