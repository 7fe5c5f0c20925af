"""The lock is taken after the file was read.

What is written was computed from what the file held before somebody else's turn. The write is alone, the read is not.
"""

from __future__ import annotations

from scenarios.targets._correct import Change, encode, locked, read, replace

ABOUT = "reads the file before it takes the lock"
EXPECTS = ("lost-update",)
SCENARIOS = ("session_count",)


def update(path: str, change: Change) -> None:
    document = read(path)  # the bug
    with locked(path):
        replace(path, encode(change(document)))


__all__ = ["read", "update"]
