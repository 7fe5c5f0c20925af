"""A lock file made with O_EXCL and removed by its owner alone; nobody breaks it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import parts

SCENARIOS = ("session_count", "progress_log")


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    lock = os.path.realpath(path) + ".lock"
    pause_s = 0.0002
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
            break
        except FileExistsError:
            time.sleep(pause_s * (0.5 + time.time_ns() % 1024 / 1024))
    try:
        yield
    finally:
        os.unlink(lock)


read = parts.read
write, update, append, backup = parts.under(_locked)
