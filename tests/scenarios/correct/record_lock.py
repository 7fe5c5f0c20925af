"""A POSIX record lock (fcntl) on a file beside the real one, which nobody opens twice."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

import parts

SCENARIOS = ("session_count", "progress_log")


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    with open(os.path.realpath(path) + ".lock", "ab") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


read = parts.read
write, update, append, backup = parts.under(_locked)
