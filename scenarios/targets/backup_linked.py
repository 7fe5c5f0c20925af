"""The backup is a hard link.

It is made in no time and takes no room. But a writer that writes in place writes into the backup as well.
"""

from __future__ import annotations

import os
import time
from typing import Any

from scenarios.targets._correct import encode, locked, read, write_in_place

ABOUT = "backs up by hard link a file that is written in place"
EXPECTS = ("bad-backup",)
SCENARIOS = ("backups",)


def write(path: str, document: Any) -> None:
    with locked(path):
        write_in_place(path, encode(document))


def backup(path: str) -> str:
    with locked(path):
        made = f"{path}.{time.time_ns()}.bak"
        os.link(path, made)  # the bug: two names of one file
    return made


__all__ = ["backup", "read", "write"]
