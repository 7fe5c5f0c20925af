"""Read and change without a lock; the lock is held to see that nobody has written since, and to rename."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parts

SCENARIOS = ("session_count",)

read = parts.read


def update(path: str, change: Callable[[Any], Any]) -> None:
    while True:
        before = Path(path).read_bytes()
        temp = parts.temp_with(path, parts.encode(change(parts.decode(before))))
        with open(os.path.realpath(path) + ".lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if Path(path).read_bytes() == before:  # each version's bytes are its own
                os.replace(temp, os.path.realpath(path))
                return
        os.unlink(temp)
        time.sleep(time.time_ns() % 1024 / 1e6)
