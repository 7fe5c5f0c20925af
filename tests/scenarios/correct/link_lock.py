"""A lock taken by link(2): a file of one's own is given the lock's name, which works for one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import parts

SCENARIOS = ("session_count", "progress_log")
RESIDUE = ("*.lock.*",)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    lock = os.path.realpath(path) + ".lock"
    own = f"{lock}.{os.getpid()}"
    with open(own, "wb"):
        pass
    try:
        while True:
            try:
                os.link(own, lock)
                break
            except FileExistsError:
                time.sleep(0.0003 + time.time_ns() % 1024 / 4e6)
    finally:
        os.unlink(own)
    try:
        yield
    finally:
        os.unlink(lock)


read = parts.read
write, update, append, backup = parts.under(_locked)
