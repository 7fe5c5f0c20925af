"""What the correct targets share: their documents, and the writing of a file as a whole."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

encode: Callable[[Any], bytes] = lambda document: json.dumps(document).encode()  # noqa: E731
decode: Callable[[bytes], Any] = json.loads


def read(path: str) -> Any:
    return decode(Path(path).read_bytes())


def temp_with(path: str, data: bytes) -> str:
    path = os.path.realpath(path)
    fd, temp = tempfile.mkstemp(prefix=".tmp.", dir=os.path.dirname(path))
    with open(fd, "wb") as file:
        file.write(data)
        if os.path.exists(path):
            shutil.copystat(path, temp)
        else:
            os.chmod(temp, 0o644)
        file.flush()
        os.fsync(fd)
    return temp


def replace(path: str, data: bytes) -> None:
    os.replace(temp_with(path, data), os.path.realpath(path))


def under(locked: Callable[[str], AbstractContextManager[None]]) -> list[Callable[..., Any]]:
    """``write``, ``update``, ``append`` and ``backup``, each one step under the lock."""

    def write(path: str, document: Any) -> None:
        with locked(path):
            replace(path, encode(document))

    def update(path: str, change: Callable[[Any], Any]) -> None:
        with locked(path):
            replace(path, encode(change(read(path))))

    def append(path: str, text: str) -> None:
        with locked(path):
            before = Path(path).read_bytes() if os.path.exists(path) else b""
            replace(path, before + text.encode())

    def backup(path: str) -> str:
        with locked(path):
            made = f"{path}.{time.time_ns()}.bak"
            replace(made, Path(path).read_bytes())
            shutil.copystat(path, made)
            return made

    return [write, update, append, backup]
