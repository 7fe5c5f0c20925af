"""What the libraries' targets share: the way from a function that writes bytes to the operations of a target."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

Write = Callable[[str, bytes], None]
Lock = Callable[[str], AbstractContextManager[Any]]


def of(module: str, name: str) -> Any:
    """What a library offers; raises ImportError that says how to get it."""
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{package} is not installed: pip install {package}, or atomicops-stress[bench]") from error


def read(path: str) -> Any:
    """As their users read: all of it, parsed."""
    return json.loads(Path(path).read_bytes())


def operations(put: Write, lock: Lock | None = None) -> dict[str, Callable[..., Any]]:
    """``write``, ``update`` and ``append``, done by ``put`` (under ``lock``, where the library has one)."""
    locked: Lock = lock if lock is not None else lambda path: nullcontext()

    def write(path: str, document: Any) -> None:
        with locked(path):
            put(path, json.dumps(document).encode())

    def update(path: str, change: Callable[[Any], Any]) -> None:
        with locked(path):
            put(path, json.dumps(change(read(path))).encode())

    def append(path: str, text: str) -> None:
        with locked(path):
            before = Path(path).read_bytes() if Path(path).exists() else b""
            put(path, before + text.encode())

    return {"write": write, "update": update, "append": append}


def by_hand(path: str, data: bytes) -> None:
    """Temporary file, sync and rename: what people write inside a lock. The name of the temporary file is always the
    same.
    """
    temp = f"{path}.tmp"
    with open(temp, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temp, path)
