"""Whether somebody else has written is told by the modification time, in seconds.

Optimistic locking needs a version that changes with each change. Two changes in one second have the same; and between
the question and the rename there is time too.
"""

from __future__ import annotations

import os

from scenarios.targets._correct import Change, encode, read, temp_with

ABOUT = "replaces the file if its mtime, in seconds, is what it was"
EXPECTS = ("lost-update",)
SCENARIOS = ("session_count",)


def update(path: str, change: Change) -> None:
    while True:
        before = int(os.stat(path).st_mtime)
        temp = temp_with(path, encode(change(read(path))))
        if int(os.stat(path).st_mtime) == before:  # the bug
            os.replace(temp, os.path.realpath(path))
            os.utime(path)
            return
        os.unlink(temp)


__all__ = ["read", "update"]
