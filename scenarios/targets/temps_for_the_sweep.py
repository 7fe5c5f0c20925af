"""Each write leaves its temporary file, and a sweep at the next start removes them all.

A sweep is for what a crash left. Here it hides that nobody else cleans up: until the next start the disk fills.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from scenarios.targets._correct import encode, locked, read

ABOUT = "copies its temporary file into place, and leaves it to the sweep"
EXPECTS = ("leftover-temp",)
SCENARIOS = ("handoff",)
FAULTS = {"kill_every": "500ms"}


def write(path: str, document: Any) -> None:
    with locked(path):
        path = os.path.realpath(path)
        fd, temp = tempfile.mkstemp(prefix=".tmp.", dir=os.path.dirname(path))
        with open(fd, "wb") as file:
            file.write(encode(document))
            if os.path.exists(path):
                shutil.copystat(path, temp)
            file.flush()
            os.fsync(fd)
        os.link(temp, temp + "new")
        os.replace(temp + "new", path)  # the bug: `temp` stays


def sweep(directory: str) -> None:
    for temp in Path(directory).glob(".tmp.*"):
        temp.unlink()


__all__ = ["read", "write"]
