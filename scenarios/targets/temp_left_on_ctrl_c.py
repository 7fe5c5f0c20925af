"""The temporary file is removed when an error comes; Ctrl-C is no `Exception`.

KeyboardInterrupt and SystemExit derive from BaseException, so that a program can be ended. A shell, a notebook or a
server goes on after it, and the temporary file stays for ever.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from typing import Any

from scenarios.targets._correct import read

ABOUT = "forgets its temporary file when Ctrl-C comes"
EXPECTS = ("leftover-temp",)
SCENARIOS = ("handoff",)
FAULTS = {"signal_every": "20ms"}


def write(path: str, document: Any) -> None:
    path = os.path.realpath(path)
    fd, temp = tempfile.mkstemp(prefix=".tmp.", dir=os.path.dirname(path))
    try:
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(fd)
        if os.path.exists(path):
            shutil.copystat(path, temp)
        os.replace(temp, path)
    except Exception:  # the bug: not `BaseException`
        os.unlink(temp)
        raise


__all__ = ["read", "write"]
