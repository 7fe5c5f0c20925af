"""The temporary file lies on another file system.

`shutil.move` and `mv` rename where they can. Between two file systems they can't, and copy: straight onto the file that
readers read. It works on the developer's machine, where /tmp and the project are on one disk.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from scenarios.targets._correct import encode, read

ABOUT = "makes its temp file on another file system and moves it"
EXPECTS = ("torn-read",)
SCENARIOS = ("handoff",)


def _elsewhere(path: str) -> str | None:
    here = os.stat(os.path.dirname(os.path.realpath(path))).st_dev
    for folder in ("/dev/shm", tempfile.gettempdir(), f"/run/user/{os.getuid()}"):
        if os.access(folder, os.W_OK) and os.stat(folder).st_dev != here:
            return folder
    return None


def write(path: str, document: Any) -> None:
    path = os.path.realpath(path)
    fd, temp = tempfile.mkstemp(dir=_elsewhere(path))  # the bug
    with open(fd, "wb") as file:
        file.write(encode(document))
    if os.path.exists(path):
        shutil.copystat(path, temp)
    shutil.move(temp, path)


__all__ = ["read", "write"]
