"""Open and write, as everybody does at first: what the guide says not to do."""

from __future__ import annotations

import glob
import json
import shutil
import time
from collections.abc import Callable
from typing import Any

ABOUT = "open and write, nothing else"
EXPECTS = ("torn-read",)


def write(path: str, document: Any) -> None:
    with open(path, "w") as file:
        json.dump(document, file)


def read(path: str) -> Any:
    with open(path) as file:
        return json.load(file)


def update(path: str, change: Callable[[Any], Any]) -> None:
    write(path, change(read(path)))


def append(path: str, text: str) -> None:
    with open(path, "a") as file:
        file.write(text)


def backup(path: str) -> str:
    return shutil.copy(path, f"{path}.{int(time.time())}.bak")


def recover(path: str) -> None:
    try:
        read(path)
    except ValueError:
        shutil.copy(max(glob.glob(f"{path}.*.bak")), path)
