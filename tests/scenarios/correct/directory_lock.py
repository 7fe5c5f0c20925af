"""A lock that is a directory: mkdir(2) makes it once, for one."""

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
    while True:
        try:
            os.mkdir(lock)
            break
        except FileExistsError:
            time.sleep(0.0003 + time.time_ns() % 1024 / 4e6)
    try:
        yield
    finally:
        os.rmdir(lock)


read = parts.read
write, update, append, backup = parts.under(_locked)
