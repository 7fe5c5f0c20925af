"""The old file is removed before the new one takes its name.

So it is done where a rename does not replace, and by many out of habit. For a moment there is no file, and a reader
that falls back to defaults starts anew.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from scenarios.targets._correct import encode, locked, read, temp_with

ABOUT = "removes the file, then renames the new one to it"
EXPECTS = ("missing-read",)
SCENARIOS = ("handoff",)


def write(path: str, document: Any) -> None:
    with locked(path):
        temp, real = temp_with(path, encode(document)), os.path.realpath(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(real)  # the bug
        os.rename(temp, real)


__all__ = ["read", "write"]
