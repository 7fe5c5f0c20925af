"""The file is opened for writing, and only then locked.

Mode "w" has cut it to nothing by the time that the lock is asked for. Who holds the lock just then is not asked, and
neither are readers.
"""

from __future__ import annotations

import fcntl
import json
from typing import Any

from scenarios.targets._correct import read

ABOUT = "opens the file with mode w, and locks it after that"
EXPECTS = ("torn-read",)
SCENARIOS = ("handoff",)


def write(path: str, document: Any) -> None:
    with open(path, "w", encoding="utf-8") as file:  # the bug: it is empty from here on
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump(document, file)


__all__ = ["read", "write"]
