"""The helpers with every option that leaves the contract as it is, drawn anew for each operation."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import atomicops
from scenarios.targets.atomicops import _definite, lock, read, recover, sweep

ABOUT = "the helpers of this project, with options drawn at random"
EXCLUSIVE = True
SCENARIOS = ("handoff", "session_count", "progress_log", "backups")

_DURABILITIES = ("full", "file", "none")


def _drawn() -> dict[str, Any]:
    return {"durability": random.choice(_DURABILITIES)}


def write(path: str, document: Any) -> None:
    with _definite():
        text = json.dumps(document, ensure_ascii=random.random() < 0.5, indent=random.choice((None, 2)))
        way = random.randrange(3)
        if way == 0:
            atomicops.atomic_write_json(document, path, indent=random.choice((None, 1)), **_drawn())
        elif way == 1:
            atomicops.atomic_write_text(text, path, validate=random.random() < 0.5, **_drawn())
        else:
            atomicops.atomic_write_bytes(text.encode(), path, validate=random.random() < 0.5, **_drawn())


def update(path: str, change: Callable[[Any], Any]) -> None:
    with _definite():
        way = random.randrange(4)
        if way == 0:
            atomicops.update_json(path, change, indent=random.choice((None, 2)), **_drawn())
        elif way == 1:
            with atomicops.file_lock(path):
                atomicops.atomic_write_json(change(atomicops.read_json(path).data), path, **_drawn())
        elif way == 2:
            with atomicops.file_lock(path), atomicops.file_lock(path):
                atomicops.update_json(path, change, **_drawn())
        else:
            while True:
                seen = atomicops.read_json(path)
                try:
                    atomicops.atomic_write_json(change(seen.data), path, if_version=seen.version, **_drawn())
                    return
                except atomicops.VersionConflict:
                    continue


# Not `in_place`, of which a reader may see a part.
def append(path: str, text: str) -> None:
    with _definite():
        atomicops.atomic_append_text(text, path, **_drawn())


def backup(path: str) -> str:
    with _definite():
        if random.random() < 0.1:
            atomicops.prune_backups(path, 100_000)
        return atomicops.create_backup(path, **_drawn())


__all__ = ["lock", "read", "recover", "sweep"]
