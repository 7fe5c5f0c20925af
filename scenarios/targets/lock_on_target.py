"""The lock is taken on the file itself, which is then replaced.

It saves a lock file, and with writes in place it would even work. But after the rename the name leads to a new file:
who waits has the lock of the old one when he gets it, and who comes later that of the new one. Both go on.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from typing import Any

import atomicops

ABOUT = "updates under a lock on the very file that is replaced"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True


def read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def update(path: str, change: Callable[[Any], Any]) -> None:
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the bug: this may no longer be the file of that name
        atomicops.atomic_write_json(change(read(path)), path)
