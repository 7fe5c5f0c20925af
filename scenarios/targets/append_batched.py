"""Records are collected, and written four at a time.

Three of four appends are acknowledged while they are in memory alone; they come late, and with a kill not at all.
"""

from __future__ import annotations

from scenarios.targets._correct import locked

ABOUT = "collects records in memory and writes four at a time"
EXPECTS = ("reordered-append", "lost-append")
SCENARIOS = ("progress_log",)


_waiting: list[str] = []


def append(path: str, text: str) -> None:
    _waiting.append(text)  # the bug: acknowledged, and nowhere but here
    if len(_waiting) == 4:
        with locked(path), open(path, "a", encoding="utf-8") as log:
            log.write("".join(_waiting))
        _waiting.clear()
