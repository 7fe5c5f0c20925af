"""The record is longer than the buffer.

O_APPEND keeps each write(2) whole and at the end. A buffered stream makes one call of each 8 KiB, and another process's
record comes between two of them.
"""

from __future__ import annotations

ABOUT = "appends through a buffer, without a lock"
EXPECTS = ("torn-append",)
SCENARIOS = ("progress_log",)


def append(path: str, text: str) -> None:
    with open(path, "a", encoding="utf-8") as log:  # the bug: O_APPEND is for one write(2) at a time
        log.write(text)
