"""The backup is copied straight to its final name.

Whoever looks for the newest backup just then, to recover from it, finds an empty file or the first part of a copy; and
after a kill or a full disk that is what stays.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import Any

import atomicops

ABOUT = "backups copied straight to their final names"
EXPECTS = ("bad-backup",)
SCENARIOS = ("backups",)


def write(path: str, document: Any) -> None:
    atomicops.atomic_write_json(document, path)


def read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def backup(path: str) -> str:
    with atomicops.file_lock(path):  # so that no two have the same microsecond
        made = f"{path}.{time.time_ns() // 1000}.bak"
        with open(made, "xb") as copy:
            os.fsync(copy.fileno())  # the bug: the name is there, and nothing in it yet
        shutil.copy2(path, made)
        with open(made, "rb") as copy:
            os.fsync(copy.fileno())
    return made
