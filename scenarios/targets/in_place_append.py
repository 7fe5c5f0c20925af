"""The log is appended to in place, line by line.

O_APPEND and a lock keep the writers apart, and no byte is ever lost. But readers take no lock: one that comes between
two lines of a record sees half of it, and so does everybody for ever when the writer is killed there.
"""

from __future__ import annotations

import os

import atomicops

ABOUT = "appends line by line, in place, under a lock"
EXPECTS = ("torn-append",)
SCENARIOS = ("progress_log",)


def append(path: str, text: str) -> None:
    with atomicops.file_lock(path), open(path, "a", encoding="utf-8", buffering=1) as log:
        first, *more = text.splitlines(keepends=True)
        log.write(first)  # the bug: each line is there as soon as it is written
        os.fsync(log.fileno())
        for line in more:
            log.write(line)
        os.fsync(log.fileno())
