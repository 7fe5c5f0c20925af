"""The helpers of this project, durable as they are by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# By name, and so in the supervisor: what `atomicops` loads when it is first asked for is then in every worker.
from atomicops import (
    CommittedNotDurable,
    atomic_append_text,
    atomic_write_json,
    create_backup,
    file_lock,
    safe_read_json,
    sweep_orphans,
    update_json,
)
from atomicops import recover as restore
from stress.api import DefiniteFailure

ABOUT = "the helpers of this project"
EXCLUSIVE = True

_NOTHING: dict[str, Any] = {}


@contextmanager
def _definite() -> Iterator[None]:
    # Every error but this one means that the file is as it was.
    try:
        yield
    except CommittedNotDurable:
        raise
    except (OSError, ValueError) as error:
        raise DefiniteFailure(f"{type(error).__name__}: {error}") from error


def write(path: str, document: Any) -> None:
    with _definite():
        atomic_write_json(document, path)


def read(path: str) -> Any:
    found = safe_read_json(path, default=_NOTHING)
    return None if found is _NOTHING else found


def update(path: str, change: Callable[[Any], Any]) -> None:
    with _definite():
        update_json(path, change)


def append(path: str, text: str) -> None:
    with _definite():
        atomic_append_text(text, path)


def backup(path: str) -> str:
    with _definite():
        return create_backup(path)


def recover(path: str) -> None:
    with _definite():
        recovery = restore(path)
    if not recovery.ok:
        raise DefiniteFailure(recovery.report())


lock = file_lock
sweep = sweep_orphans
