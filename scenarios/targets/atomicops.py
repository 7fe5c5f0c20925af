"""The helpers of this project, durable as they are by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import atomicops
from stress.api import DefiniteFailure

ABOUT = "the helpers of this project"
EXCLUSIVE = True

_NOTHING: dict[str, Any] = {}


@contextmanager
def _definite() -> Iterator[None]:
    # Every error but this one means that the file is as it was.
    try:
        yield
    except atomicops.CommittedNotDurable:
        raise
    except (OSError, ValueError) as error:
        raise DefiniteFailure(f"{type(error).__name__}: {error}") from error


def write(path: str, document: Any) -> None:
    with _definite():
        atomicops.atomic_write_json(document, path)


def read(path: str) -> Any:
    found = atomicops.safe_read_json(path, default=_NOTHING)
    return None if found is _NOTHING else found


def update(path: str, change: Callable[[Any], Any]) -> None:
    with _definite():
        atomicops.update_json(path, change)


def append(path: str, text: str) -> None:
    with _definite():
        atomicops.atomic_append_text(text, path)


def backup(path: str) -> str:
    with _definite():
        return atomicops.create_backup(path)


def recover(path: str) -> None:
    with _definite():
        recovery = atomicops.recover(path)
    if not recovery.ok:
        raise DefiniteFailure(recovery.report())


lock = atomicops.file_lock
sweep = atomicops.sweep_orphans
