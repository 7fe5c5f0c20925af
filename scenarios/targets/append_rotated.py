"""The log is rotated by whoever finds it long, while others append.

Who read it before the rotation writes what he read, and his record, back over the new log or into the old one.
"""

from __future__ import annotations

import os

from scenarios.targets._correct import locked

ABOUT = "rotates the log while others are appending"
EXPECTS = ("lost-append",)
SCENARIOS = ("progress_log",)


_LONG = 64 << 10


def append(path: str, text: str) -> None:
    if os.path.exists(path) and os.path.getsize(path) > _LONG:
        os.replace(path, path + ".1")  # the bug: readers of the log miss what was in it
    with locked(path), open(path, "a", encoding="utf-8") as log:
        log.write(text)


RESIDUE = ("*.1",)
