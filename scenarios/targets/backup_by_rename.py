"""The backup is the old file itself, moved out of the way.

It costs nothing and is never torn. But until the new content is written there is no file of that name.
"""

from __future__ import annotations

import os
import time
from typing import Any

from scenarios.targets._correct import encode, locked, read, replace

ABOUT = "backs up by renaming the file, and writes a copy back"
EXPECTS = ("missing-read",)
SCENARIOS = ("backups",)


def write(path: str, document: Any) -> None:
    with locked(path):
        replace(path, encode(document))


def backup(path: str) -> str:
    with locked(path):
        made = f"{path}.{time.time_ns()}.bak"
        os.rename(path, made)  # the bug
        with open(made, "rb") as file:
            replace(path, file.read())
        os.chmod(path, os.stat(made).st_mode & 0o777)
    return made


__all__ = ["backup", "read", "write"]
