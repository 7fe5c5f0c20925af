"""A simulated SDK agent: a Python process that calls the target's functions."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from stress.execution.barrier import StartBarrier
from stress.execution.drivers.observe import (
    Observation,
    Observer,
    Parsed,
    document_observation,
    parsed_observation,
    read_document,
    read_file,
    saved_observation,
    unreadable_observation,
)
from stress.execution.operations import OperationStream
from stress.history.journal import FINISHED, READY, RUNNING, Journal, row_of
from stress.history.notes import ErrorNote, Note
from stress.history.record import ABSENT, GARBAGE, NO_VERSION, Kind, Outcome, version_of
from stress.workload.payload import apply_edits, document_of, examine_document, log_record
from stress.workload.scenario import Answer, Request
from stress.workload.target import DefiniteFailure, Target

__all__ = ["EXIT_JOURNAL", "PythonSide", "Recorder", "Unwatched", "work"]

EXIT_JOURNAL = 74
"""Exit status of a worker that could not write its journal."""

_TIMED_MASK = 7
"""Of eight operations the CPU time until the next is taken, for all of them: asking for it costs more than recording
does.
"""
_BURST = 16
"""Operations that a reader does at a stretch."""

Json = Any

# Named once: before Python 3.12 each look-up of an enumeration's member is a call, and `do` is paid for by every
# operation under test.
_WRITE, _READ, _OBSERVE, _UPDATE, _APPEND = Kind.WRITE, Kind.READ, Kind.OBSERVE, Kind.UPDATE, Kind.APPEND
_BACKUP, _OBSERVE_BACKUP, _RECOVER = Kind.BACKUP, Kind.OBSERVE_BACKUP, Kind.RECOVER
_CHANGES = (_WRITE, _APPEND, _UPDATE)
_OK = Outcome.OK


class Recorder(Protocol):
    """Where a worker's operations are recorded: see `stress.history.journal.Journal`."""

    process: int
    rows: int
    cpu_harness_ns: int
    unrecorded: int

    def invoke(self, row: int, value: int = NO_VERSION, /) -> int:
        """Open a row."""

    def record_parent(self, parent: int) -> None:
        """What an update started from."""

    def attach(
        self, *, size: int = -1, digest: int = -1, held_from: int = 0, held_to: int = 0, note: Note | None = None
    ) -> None:
        """What few rows have."""

    def complete(self, ret: int, outcome: Outcome, value: int, parent: int = NO_VERSION, /) -> None:
        """Close the row."""


class PythonSide:
    """Carries requests out by calls to the target, and journals them. Used by one process only."""

    def __init__(
        self,
        target: Target,
        journal: Recorder,
        files: dict[str, tuple[int, str]],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``files``: path → (index, form). ``clock`` stamps what ``journal`` does not stamp itself."""
        self._clock = clock
        self._target = target
        self._journal = journal
        self._files = files
        self._observer = Observer()
        self._cpu = 0
        self._functions = {
            name: target.call(name) for name in ("write", "read", "update", "append", "backup", "recover")
        }
        self._lock: Callable[[str], AbstractContextManager[Any]] | None = target.call("lock")

    def do(self, scenario: int, request: Request) -> Answer:
        """Carry one request out; what a target raises becomes an outcome, and never comes out of here."""
        journal = self._journal
        index, form = self._files[request.path]
        kind, size = request.kind, request.size
        version = version_of(journal.process, journal.rows + 1)
        held: list[int] = []
        call = self._prepare(request, version, form, held)
        if kind not in _CHANGES:
            version = size = NO_VERSION
        observation, failure, outcome = None, "", _OK
        timed = journal.rows & _TIMED_MASK == journal.process & _TIMED_MASK
        if self._cpu:
            journal.cpu_harness_ns += (time.thread_time_ns() - self._cpu) * (_TIMED_MASK + 1)
            self._cpu = 0
        journal.invoke(row_of(kind, index, scenario), size)
        try:
            seen = call()
            returned = self._clock()
        except DefiniteFailure as error:
            returned = self._clock()
            outcome, failure = Outcome.FAIL, _words(error)
        except Exception as error:
            returned = self._clock()
            if kind is _READ and isinstance(error, FileNotFoundError):
                observation = document_observation(None)
            elif kind is _READ and isinstance(error, ValueError):
                observation = unreadable_observation(error)
            else:
                outcome, failure = Outcome.INFO, _words(error)
        if timed:
            # Less what asking takes, here and now: seven of eight do not ask.
            before = time.thread_time_ns()
            self._cpu = 2 * time.thread_time_ns() - before
        if kind in _CHANGES:
            if failure or len(held) == 3:
                held_from, held_to = held[1:] if len(held) == 3 else (0, 0)
                journal.attach(held_from=held_from, held_to=held_to, note=ErrorNote(failure) if failure else None)
            journal.complete(returned, outcome, size)  # of an update the parent is stored already
        elif outcome is _OK:
            version = self._saw(observation or self._examine(request, form, seen), returned)
        else:
            journal.attach(note=ErrorNote(failure))
            journal.complete(returned, outcome, version)
        return Answer(outcome, version)

    def _saw(self, observation: Observation, returned: int) -> int:
        """Journal what was seen; returns the version."""
        if observation.rare:
            self._journal.attach(size=observation.size, digest=observation.digest, note=observation.note)
        self._journal.complete(returned, _OK, observation.version, observation.parent)
        return observation.version

    def _prepare(self, request: Request, version: int, form: str, held: list[int]) -> Callable[[], Any]:
        """The call that carries ``request`` out. An update puts into ``held`` its parent, and when it held the lock."""
        kind = request.kind
        if kind is _WRITE:
            return self._bind("write", request.path, document_of(version, request.size, request.shape))
        if kind is _APPEND:
            return self._bind("append", request.path, log_record(version, request.size))
        if kind is _UPDATE:
            return self._update(request, version, held)
        return self._reading(request, form)

    def _bind(self, operation: str, *arguments: Any) -> Callable[[], Any]:
        function = self._functions[operation]
        assert function is not None, f"a role asks for {operation}, which the target does not have"
        return lambda: function(*arguments)

    def _update(self, request: Request, version: int, held: list[int]) -> Callable[[], Any]:
        def change(document: Json) -> Json:
            started = self._clock()
            parent = ABSENT if document is None else examine_document(document).version
            self._journal.record_parent(parent)
            changed = apply_edits(document, parent, version, request.size, request.edits)
            # A target may call again (after a lost race of its own): the last call counts.
            held[:] = [parent, started, self._clock()] if self._target.exclusive else [parent]
            return changed

        read, write = self._functions["read"], self._functions["write"]
        if not request.locked or self._lock is None or read is None or write is None:
            return self._bind("update", request.path, change)
        lock = self._lock

        def locked() -> None:
            with lock(request.path):
                began = self._clock()
                write(request.path, change(read(request.path)))
                held[1:] = [began, self._clock()]

        return locked

    def _reading(self, request: Request, form: str) -> Callable[[], Any]:
        path = request.path
        if request.kind is _READ and self._functions["read"] is not None and form != "log":
            return self._bind("read", path)
        if request.kind in (_READ, _OBSERVE):
            return lambda: read_file(path) if form == "log" else read_document(path)
        if request.kind is _OBSERVE_BACKUP:
            return lambda: self._observer.inspect_backup(path)
        return self._bind("backup" if request.kind is _BACKUP else "recover", path)

    def _examine(self, request: Request, form: str, seen: Any) -> Observation:
        if isinstance(seen, Observation):
            return seen
        if isinstance(seen, Parsed):
            return parsed_observation(seen)
        if request.kind is _BACKUP:
            if not isinstance(seen, (str, os.PathLike)):
                return Observation(GARBAGE, note=ErrorNote(f"backup returned {seen!r}, not a path"))
            return saved_observation(os.fspath(seen))
        if request.kind is _RECOVER:
            return self._observer.inspect(request.path, form, read_file(request.path))
        if request.kind is _READ and self._functions["read"] is not None and form != "log":
            return document_observation(seen)
        return self._observer.inspect(request.path, form, seen)


class Unwatched(PythonSide):
    """For the benchmark that tells what watching costs: the same operations, of which nothing is recorded but how many
    there were, and what they see is not examined.
    """

    def do(self, scenario: int, request: Request) -> Answer:
        """Carry one request out."""
        journal = self._journal
        journal.unrecorded += 1
        try:
            self._prepare(request, version_of(journal.process, journal.unrecorded), self._files[request.path][1], [])()
        except Exception:
            return Answer(Outcome.INFO, NO_VERSION)
        return Answer(_OK, NO_VERSION)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


def work(
    side: PythonSide, journal: Journal, stream: OperationStream, barrier: StartBarrier, rest: Callable[[], float]
) -> None:
    """Do the operations of ``stream``, once the barrier opens, until it is time to stop or there are none left.

    ``rest`` says how many seconds to wait now and then: a reader that does nothing but read would leave the writers no
    processor, and see the same version a hundred times.
    """
    journal.write_header(state=READY)
    journal.woken_ns = barrier.wait()
    journal.write_header(state=RUNNING)
    journal.cpu_before_ns = cpu = time.process_time_ns()
    done = 0
    while not barrier.stopped and (turn := stream.next()) is not None:
        stream.answer(side.do(*turn))
        done += 1
        if done % _BURST == 0 and (pause_s := rest()):
            time.sleep(pause_s)
    journal.cpu_ns = time.process_time_ns() - cpu
    journal.write_header(state=FINISHED)
    journal.close()


def quieten() -> None:
    """In a fresh worker: leave the terminal's signals to the tool, and standard streams alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)


def last_words(path: str) -> str:
    """The last line that a worker wrote on standard error."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
