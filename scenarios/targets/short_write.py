"""What write(2) returns is not looked at.

It may write less than it was given, on a disk that is nearly full, at a quota, at a limit on file sizes; only the next
call would say why. Here nobody makes that call, and the beginning of a document takes the place of a whole one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from typing import Any

ABOUT = "temp file and rename, taking a short write for a whole one"
EXPECTS = ("torn-read",)
SCENARIOS = ("handoff",)
FAULTS = {"fill_every": "20ms"}


def write(path: str, document: Any) -> None:
    path = os.path.realpath(path)
    fd, temp = tempfile.mkstemp(prefix=".tmp.", dir=os.path.dirname(path))
    try:
        os.write(fd, json.dumps(document).encode())  # the bug
        if os.path.exists(path):
            shutil.copystat(path, temp)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temp, path)


def read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)
