"""What was corrupt is overwritten.

It may be all that is left of somebody's work: half a document can be repaired by hand.
"""

from __future__ import annotations

import contextlib
import glob

from scenarios.targets._correct import locked, read, replace
from stress.api import DefiniteFailure

ABOUT = "recovers over the corrupt bytes, of which nothing is kept"
EXPECTS = ("lost-evidence",)
SCENARIOS = ("resume",)


def _valid_backups(path: str) -> list[str]:
    found = []
    for name in sorted(glob.glob(f"{path}.*.bak"), reverse=True):
        with contextlib.suppress(ValueError):
            read(name)
            found.append(name)
    return found


def recover(path: str) -> None:
    with locked(path):
        try:
            read(path)
        except ValueError:
            backups = _valid_backups(path)
            if not backups:
                raise DefiniteFailure(f"{path}: no valid backup") from None
            with open(backups[0], "rb") as newest:
                replace(path, newest.read())  # the bug: nobody kept what was there


__all__ = ["read", "recover"]
