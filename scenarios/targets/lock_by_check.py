"""Whether the lock file is there is asked first, and it is made after that.

Between the question and the making there is time for others. O_EXCL asks and makes in one call.
"""

from __future__ import annotations

import contextlib
import os
import time

from scenarios.targets._correct import Change, encode, read, replace

ABOUT = "checks for a lock file, then makes it"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True


def update(path: str, change: Change) -> None:
    lock = os.path.realpath(path) + ".lock"
    while os.path.exists(lock):
        time.sleep(0.0005)
    open(lock, "w").close()  # the bug: somebody else may have made it since
    try:
        replace(path, encode(change(read(path))))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lock)


__all__ = ["read", "update"]
