"""A backup is restored without asking whether the file is broken.

The newest backup is older than the file. What was written since is gone, although nothing was wrong with it.
"""

from __future__ import annotations

import contextlib
import glob
import time

from scenarios.targets._correct import locked, read, replace
from stress.api import DefiniteFailure

ABOUT = "restores the newest valid backup over a valid file"
EXPECTS = ("bad-recovery",)
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
        backups = _valid_backups(path)
        if not backups:
            raise DefiniteFailure(f"{path}: no valid backup")
        with open(path, "rb") as file:
            replace(f"{path}.{time.time_ns()}.corrupt", file.read())
        with open(backups[0], "rb") as newest:
            replace(path, newest.read())  # the bug: was it broken?


__all__ = ["read", "recover"]
