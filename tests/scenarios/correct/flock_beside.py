"""flock(2) on a file beside the real one; unique temporary file, sync, rename."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

import parts

SCENARIOS = ("handoff", "session_count", "progress_log", "backups")


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    with open(os.path.realpath(path) + ".lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


read = parts.read
write, update, append, backup = parts.under(_locked)
