"""No lock around read, change, write.

Each write is atomic, so nobody ever sees half a document, and it looks as if that were enough. Two that read the same
version both write their own successor of it, and the second write takes the first one's change away.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import atomicops

ABOUT = "updates by atomic writes, without a lock around read, change, write"
EXPECTS = ("lost-update",)
SCENARIOS = ("session_count",)


def write(path: str, document: Any) -> None:
    atomicops.atomic_write_json(document, path)


def read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def update(path: str, change: Callable[[Any], Any]) -> None:
    atomicops.atomic_write_json(change(read(path)), path)  # the bug: somebody else may have written since the read
