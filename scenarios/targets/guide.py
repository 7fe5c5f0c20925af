"""The guide's recipes, done exactly as it prints them.

Temp file and rename keep a single write whole. All the rest is built of reads and writes that nothing holds together:
of two appends or updates at a time, one is lost.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

ABOUT = "the recipes of the users' guide, as printed"
EXPECTS = ("lost-update", "lost-append")
SCENARIOS = ("session_count", "progress_log")

_NOTHING: dict[str, Any] = {}


# The helpers


def _atomic_write(text: str, target_path: str) -> None:
    fd, name = tempfile.mkstemp(prefix=".tmp.", dir=os.path.dirname(target_path) or ".")
    with open(fd, "w") as file:
        file.write(text)
    os.replace(name, target_path)


def atomic_write_json(data: Any, target_path: str) -> None:
    _atomic_write(json.dumps(data, indent=2), target_path)


def atomic_append_text(text: str, target_path: str) -> None:
    existing = ""
    if os.path.exists(target_path):
        with open(target_path) as file:
            existing = file.read()
    _atomic_write(existing + text, target_path)


def safe_read_json(path: str, default: Any = None) -> Any:
    try:
        with open(path) as file:
            return json.load(file)
    except (FileNotFoundError, json.JSONDecodeError):
        return {} if default is None else default


def create_backup(source_path: str, backup_suffix: str | None = None) -> str:
    suffix = backup_suffix or str(int(time.time()))
    return shutil.copy2(source_path, f"{source_path}.{suffix}.bak")


# The operations, made of the helpers as the examples make them


def write(path: str, document: Any) -> None:
    atomic_write_json(document, path)


def read(path: str) -> Any:
    found = safe_read_json(path, default=_NOTHING)
    return None if found is _NOTHING else found


def update(path: str, change: Callable[[Any], Any]) -> None:
    current = safe_read_json(path, default=[] if path.endswith("feature_list.json") else {})
    atomic_write_json(change(current), path)


def append(path: str, text: str) -> None:
    atomic_append_text(text, path)


def backup(path: str) -> str:
    return create_backup(path)


def recover(path: str) -> None:
    try:
        with open(path) as file:
            json.load(file)
    except ValueError:
        shutil.copy(max(glob.glob(f"{path}.*.bak"), key=os.path.getmtime), path)
        create_backup(path)
