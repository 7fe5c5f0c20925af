"""The reader keeps what it has parsed until the file's size or second changes.

A cache by modification time is right but for its grain: of two versions of one length in one second it goes on
returning the first.
"""

from __future__ import annotations

import os
from typing import Any

from scenarios.targets import _correct

ABOUT = "reads through a cache keyed by size and second"
EXPECTS = ("stale-read", "non-monotonic-read")
SCENARIOS = ("session_count",)


_cache: dict[str, tuple[int, Any]] = {}


def read(path: str) -> Any:
    second = int(os.stat(path).st_mtime)
    if path not in _cache or _cache[path][0] != second:
        _cache[path] = second, _correct.read(path)
    return _cache[path][1]  # the bug


def update(path: str, change: _correct.Change) -> None:
    with _correct.locked(path):
        _correct.replace(path, _correct.encode(change(_correct.read(path))))
        os.utime(path)
