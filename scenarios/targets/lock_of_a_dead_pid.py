"""The lock file holds its owner's PID, and who finds a dead one's removes it.

Two that find it dead at the same time both remove: the first the dead one's, the second the first one's new lock. Such
PID files are older than flock(2).
"""

from __future__ import annotations

import contextlib
import os
import time

from scenarios.targets._correct import Change, encode, read, replace, with_lock_file

ABOUT = "removes lock files whose PID is gone, two at a time"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True
FAULTS = {"kill_every": "60ms"}


def _is_dead(lock: str) -> bool:
    try:
        with open(lock, encoding="ascii") as file:
            os.kill(int(file.read() or os.getpid()), 0)
    except ProcessLookupError:
        return True
    except FileNotFoundError:
        pass
    return False


def _take(lock: str) -> None:
    mine = f"{lock}.{os.getpid()}"
    with open(mine, "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    try:
        while True:
            try:
                os.link(mine, lock)
                return
            except FileExistsError:
                if _is_dead(lock):
                    time.sleep(0.02)  # it writes to a log, say
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(lock)  # the bug: it may be another's by now
                time.sleep(0.0005)
    finally:
        os.unlink(mine)


def update(path: str, change: Change) -> None:
    with with_lock_file(path, _take):
        replace(path, encode(change(read(path))))


RESIDUE = ("*.lock.*",)
__all__ = ["read", "update"]
