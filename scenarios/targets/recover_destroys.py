"""What was corrupt is overwritten.

It may be all that is left of somebody's work: half a document can be repaired by hand.
"""

from __future__ import annotations

from scenarios.targets._correct import locked, newest_valid_backup, read, replace

ABOUT = "recovers over the corrupt bytes, of which nothing is kept"
EXPECTS = ("lost-evidence",)
SCENARIOS = ("resume",)


def recover(path: str) -> None:
    with locked(path):
        try:
            read(path)
        except ValueError:
            replace(path, newest_valid_backup(path))  # the bug: nobody kept what was there


__all__ = ["read", "recover"]
