"""The Python side of a target: an operation is a call of one of its functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

from stress.execution.drivers.driver import Numbered, Raw
from stress.execution.drivers.observe import (
    WORDS_MAX,
    Observation,
    Observer,
    document_observation,
    parsed_observation,
    read_document,
    read_file,
    saved_observation,
    unreadable_observation,
)
from stress.history.kinds import Kind, Outcome
from stress.history.machine_errors import errno_of
from stress.history.notes import ErrorNote
from stress.history.record import ABSENT, NO_VERSION
from stress.history.recorder import Clock
from stress.workload.payload import apply_edits, document_of, examine_document, log_record
from stress.workload.target import DefiniteFailure, Target

Json = Any

# Named once: before Python 3.12 each look-up of an enumeration's member is a call, and an operation under test pays
# for it.
_WRITE, _READ, _OBSERVE, _UPDATE, _APPEND = Kind.WRITE, Kind.READ, Kind.OBSERVE, Kind.UPDATE, Kind.APPEND
_BACKUP, _OBSERVE_BACKUP = Kind.BACKUP, Kind.OBSERVE_BACKUP
_CHANGES = (_WRITE, _APPEND, _UPDATE)
_DONE = Observation()
_DECODERS = frozenset({"_lzma", "_pickle", "gzip", "lzma", "pickle", "struct", "yaml", "zlib"})
"""Modules whose exceptions say of bytes that they can't be decoded, besides ValueError and EOFError."""

_forks = object()
"""Another one in each process that was forked: to ask for the pid is a syscall in each operation."""


def _in_child() -> None:
    global _forks
    _forks = object()


os.register_at_fork(after_in_child=_in_child)


class PythonDriver:
    """Calls the functions of one target; see `stress.execution.drivers.driver.Driver`. Used by one process only."""

    def __init__(self, target: Target, clock: Clock) -> None:
        """``clock``: the recorder's, for the times between which a lock was held."""
        self._exclusive = target.exclusive
        self._clock = clock
        self._observer = Observer()
        self._functions = {
            name: target.call(name) for name in ("write", "read", "update", "append", "backup", "recover")
        }
        self._lock: Callable[[str], AbstractContextManager[Any]] | None = target.call("lock")
        self._held: tuple[int, int] = (0, 0)
        self._forks, self._directory = _forks, os.getcwd()

    def prepare(self, op: Numbered, record_parent: Callable[[int], None]) -> Callable[[], Raw]:
        """The call that carries ``op`` out."""
        request = op.request
        kind, path = request.kind, request.path
        if kind is _WRITE:
            return self._bind("write", path, document_of(op.version, request.size, request.shape))
        if kind is _APPEND:
            return self._bind("append", path, log_record(op.version, request.size))
        if kind is _UPDATE:
            return self._update(op, record_parent)
        if kind is _OBSERVE:
            return lambda: read_file(path) if op.form == "log" else read_document(path)
        if kind is _OBSERVE_BACKUP:
            return lambda: self._observer.inspect_backup(path)
        return self._bind(kind.label, path)

    def examine(self, op: Numbered, raw: Raw) -> Observation:
        """What a call returned or raised."""
        kind, path = op.request.kind, op.request.path
        if kind not in (_OBSERVE, _OBSERVE_BACKUP):
            self._stay()
        if isinstance(raw, Exception):
            return self._failed(kind, raw)
        if raw is False and kind not in (_READ, _BACKUP):
            return Observation(outcome=Outcome.INFO, note=ErrorNote(f"{kind.label} returned False"))
        if raw is not None and (what := _undone(raw)):
            getattr(raw, "close", int)()  # a coroutine that nobody has awaited says so last, in words of Python's
            raise SystemExit(f"{kind.label} returned a {type(raw).__name__}, {what}")
        if kind in _CHANGES:
            if kind is _UPDATE and self._held[0]:
                return Observation(held_from=self._held[0], held_to=self._held[1])
            return _DONE
        if kind is _READ:
            return document_observation(raw)
        if kind is _OBSERVE:
            return self._observer.inspect(path, op.form, raw) if op.form == "log" else parsed_observation(raw)
        if kind is _OBSERVE_BACKUP:
            assert isinstance(raw, Observation)
            return raw
        if kind is _BACKUP:
            if not isinstance(raw, (str, os.PathLike)):
                note = ErrorNote(f"backup returned {raw!r}"[:WORDS_MAX] + ", not the path of what it made")
                return Observation(outcome=Outcome.INFO, note=note)
            return saved_observation(os.fspath(raw))
        return self._observer.inspect(path, op.form, read_file(path))

    def _stay(self) -> None:
        """End what can't go on: a copy of this process that the target has forked off, and that comes back as if it
        were the worker; and a worker in another directory, where the paths of operations lead elsewhere.
        """
        if self._forks is not _forks:
            os._exit(0)
        try:
            now = os.getcwd()
        except FileNotFoundError:
            now = "one that is no more"
        if now != self._directory:
            raise SystemExit(f"the target changed the current directory (to {now}), and paths are relative to it")

    def _failed(self, kind: Kind, error: Exception) -> Observation:
        if kind is _READ and isinstance(error, FileNotFoundError):
            return Observation(ABSENT)
        if kind is _READ and _undecodable(error):
            return unreadable_observation(error)
        outcome = Outcome.FAIL if isinstance(error, DefiniteFailure) else Outcome.INFO
        held_from, held_to = self._held if kind is _UPDATE else (0, 0)
        note = ErrorNote(f"{type(error).__name__}: {error}"[:WORDS_MAX], errno_of(error))
        return Observation(NO_VERSION, note=note, outcome=outcome, held_from=held_from, held_to=held_to)

    def _bind(self, operation: str, *arguments: Any) -> Callable[[], Raw]:
        function = self._functions[operation]
        assert function is not None, f"a role asks for {operation}, which the target does not have"
        return lambda: function(*arguments)

    def _update(self, op: Numbered, record_parent: Callable[[int], None]) -> Callable[[], Raw]:
        request, clock = op.request, self._clock
        self._held = (0, 0)

        def change(document: Json) -> Json:
            started = clock()
            parent = ABSENT if document is None else examine_document(document).version
            record_parent(parent)
            changed = apply_edits(document, parent, op.version, request.size, request.edits)
            if self._exclusive:
                self._held = (started, clock())  # a target may call again, after a lost race: the last call counts
            return changed

        read, write = self._functions["read"], self._functions["write"]
        if not request.locked or self._lock is None or read is None or write is None:
            return self._bind("update", request.path, change)
        lock = self._lock

        def locked() -> None:
            with lock(request.path):
                began = clock()
                write(request.path, change(read(request.path)))
                self._held = (began, clock())

        return locked


def _undone(raw: Raw) -> str:
    """What an operation returned that it has yet to do, and may do at any time; empty: it is over."""
    if hasattr(raw, "__await__") or hasattr(raw, "add_done_callback"):
        return "for whose result nobody here waits; have it return when it is done"
    return (
        "which does nothing until somebody takes from it; have it return, not yield"
        if isinstance(raw, Generator)
        else ""
    )


def _undecodable(error: Exception) -> bool:
    """Whether a reader that raised this has seen something that is no document, and did not merely fail."""
    if isinstance(error, (ValueError, EOFError)):
        return True
    made = type(error)
    # sqlite3's more special errors speak of locks and of statements.
    return made.__module__.partition(".")[0] in _DECODERS or (made.__module__, made.__name__) == (
        "sqlite3",
        "DatabaseError",
    )
