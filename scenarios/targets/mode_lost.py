"""The new file does not get the mode of the old one.

mkstemp makes a file that is its owner's alone (0600), which is right for a secret and wrong for a file that another
user's agent reads: after the first write that one is locked out. Extended attributes go the same way, and with them
ACLs.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

import atomicops

ABOUT = "temp file and rename, with the mode that mkstemp gives"
EXPECTS = ("metadata-lost",)
SCENARIOS = ("handoff",)


def write(path: str, document: Any) -> None:
    with atomicops.file_lock(path):
        path = os.path.realpath(path)
        fd, temp = tempfile.mkstemp(prefix=".tmp.", dir=os.path.dirname(path))
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(fd)
        os.replace(temp, path)  # the bug: nothing between the two looks at what the old file was like


def read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)
