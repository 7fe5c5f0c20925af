"""Backups are named by the second.

The second one of a second takes the first one's place, and the first was acknowledged.
"""

from __future__ import annotations

import time
from typing import Any

from scenarios.targets._correct import encode, locked, read, replace

ABOUT = "names its backups by the second"
EXPECTS = ("lost-backup",)
SCENARIOS = ("backups",)


def write(path: str, document: Any) -> None:
    with locked(path):
        replace(path, encode(document))


def backup(path: str) -> str:
    with locked(path):
        made = f"{path}.{int(time.time())}.bak"
        with open(path, "rb") as file:
            replace(made, file.read())  # the bug: over another of the same second
    return made


__all__ = ["backup", "read", "write"]
