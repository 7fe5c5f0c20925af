"""A backup is restored without asking whether the file is broken.

The newest backup is older than the file. What was written since is gone, although nothing was wrong with it.
"""

from __future__ import annotations

import time

from scenarios.targets._correct import locked, newest_valid_backup, read, replace

ABOUT = "restores the newest valid backup over a valid file"
EXPECTS = ("bad-recovery",)
SCENARIOS = ("resume",)


def recover(path: str) -> None:
    with locked(path):
        newest = newest_valid_backup(path)
        with open(path, "rb") as file:
            replace(f"{path}.{time.time_ns()}.corrupt", file.read())
        replace(path, newest)  # the bug: was it broken?


__all__ = ["read", "recover"]
