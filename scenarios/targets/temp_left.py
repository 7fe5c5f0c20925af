"""The temporary file of a write that failed stays.

One for each try, until the disk is full; and whoever lists the directory finds them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from scenarios.targets._correct import encode, read

ABOUT = "leaves the temp file of a failed write behind"
EXPECTS = ("leftover-temp",)
SCENARIOS = ("handoff",)
FAULTS = {"fill_every": "50ms"}


def write(path: str, document: Any) -> None:
    path = os.path.realpath(path)
    fd, temp = tempfile.mkstemp(prefix=".tmp.", dir=os.path.dirname(path))
    with open(fd, "wb") as file:
        if os.path.exists(path):
            shutil.copystat(path, temp)
        file.write(encode(document))
        os.fsync(fd)  # the bug: what raises here, or above, leaves the file
    os.replace(temp, path)


__all__ = ["read", "write"]
