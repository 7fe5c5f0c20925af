"""Writes in place under an exclusive lock, reads under a shared one: whole for everybody who asks for the lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from typing import Any

import parts

SCENARIOS = ("handoff", "session_count")
OBSERVE = False  # who opens the file without the lock sees half of it


def read(path: str) -> Any:
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        return parts.decode(file.read())


def write(path: str, document: Any) -> None:
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _put(file, parts.encode(document))


def update(path: str, change: Callable[[Any], Any]) -> None:
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        data = parts.encode(change(parts.decode(file.read())))
        file.seek(0)
        _put(file, data)


def _put(file: Any, data: bytes) -> None:
    file.write(data)
    file.truncate()
    file.flush()
    os.fsync(file.fileno())
