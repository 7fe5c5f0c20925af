"""The end of the log is looked up, and then written to.

Without O_APPEND the end is only where it was when one asked. Two that ask at the same time write over each other.
"""

from __future__ import annotations

import os

ABOUT = "seeks to the end of the log, then writes"
EXPECTS = ("lost-append", "torn-append")
SCENARIOS = ("progress_log",)


def append(path: str, text: str) -> None:
    with open(path, "r+b", buffering=0) as log:
        log.seek(0, os.SEEK_END)
        log.write(text.encode())  # the bug: it may no longer be the end
