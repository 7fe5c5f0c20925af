"""A reader that remembers that there was no file, and does not look again for a while.

A negative cache saves the look where most files are not there. Who has asked too early waits for what has long come.
"""

from __future__ import annotations

import os
import time
from typing import Any

from scenarios.targets import _correct
from scenarios.targets._correct import encode, locked, replace

ABOUT = "a reader that remembers for a moment that there was no file"
EXPECTS = ("stale-read", "non-monotonic-read")
SCENARIOS = ("completion",)

_REMEMBERED_S = 0.05
_missing: dict[str, float] = {}


def read(path: str) -> Any:
    if time.monotonic() < _missing.get(path, 0.0):  # the bug
        return None
    if not os.path.exists(path):
        _missing[path] = time.monotonic() + _REMEMBERED_S
        return None
    return _correct.read(path)


def write(path: str, document: Any) -> None:
    os.makedirs(os.path.dirname(os.path.realpath(path)), exist_ok=True)
    with locked(path):
        replace(path, encode(document))


__all__ = ["read", "write"]
