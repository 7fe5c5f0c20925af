"""The lock file is removed on release, to be tidy.

Who waits has it open already, and gets the lock of a file that has no name any more. Who comes next makes a new one,
and gets the lock of that. Many locking libraries did this once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import atomicops

ABOUT = "updates under a lock file that is removed on release"
EXPECTS = ("lost-update", "lock-overlap")
SCENARIOS = ("session_count",)
EXCLUSIVE = True


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    name = os.path.realpath(path) + ".lock"
    with open(name, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)  # the bug


def write(path: str, document: Any) -> None:
    with _locked(path):
        atomicops.atomic_write_json(document, path)


def read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def update(path: str, change: Callable[[Any], Any]) -> None:
    with _locked(path):
        atomicops.atomic_write_json(change(read(path)), path)
