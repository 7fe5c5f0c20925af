"""The temporary file has a fixed name.

``path + ".tmp"`` is how most people write it first, and alone it works. Two writers at a time open the same file: one
renames it while the other is still writing, and from then on that other one writes into the file in place. A mode given
to the one file ends up on the other as well.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

ABOUT = "temp file and rename, with the same temp file for all writers"
EXPECTS = ("torn-read",)
SCENARIOS = ("handoff",)


def write(path: str, document: Any) -> None:
    path = os.path.realpath(path)
    temp = path + ".tmp"  # the bug
    with open(temp, "w", encoding="utf-8") as file:
        if os.path.exists(path):
            shutil.copystat(path, temp)
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temp, path)


def read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)
