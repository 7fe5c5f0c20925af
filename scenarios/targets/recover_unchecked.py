"""The newest backup is restored without a look at it.

A backup that was made of a broken file, or was cut off itself, takes the place of what could have been saved.
"""

from __future__ import annotations

import glob
import time

from scenarios.targets._correct import locked, read, replace

ABOUT = "restores the newest backup without checking it"
EXPECTS = ("bad-recovery",)
SCENARIOS = ("resume",)


def recover(path: str) -> None:
    with locked(path):
        try:
            read(path)
            return
        except ValueError:
            pass
        with open(path, "rb") as file:
            replace(f"{path}.{time.time_ns()}.corrupt", file.read())
        with open(max(glob.glob(f"{path}.*.bak")), "rb") as newest:  # the bug: is it valid?
            replace(path, newest.read())


__all__ = ["read", "recover"]
