"""What a Bash process left in its files when an execution was over, examined as the free run examines it."""

from __future__ import annotations

from pathlib import Path

from stress.execution.drivers.observe import Observation, Observer, read_file, saved_observation
from stress.history.notes import ErrorNote, SeenBytes
from stress.history.record import ABSENT, GARBAGE, NO_VERSION, Kind, Outcome
from stress.workload.payload import parent_in, words_in
from stress.workload.scenario import Request

_MISSING, _NO_DOCUMENT = 66, 65


class Answers:
    """What a shell worker left in its files, examined. ``scratch`` has ``in``, ``out`` and ``err``."""

    def __init__(self, scratch: Path, files: dict[str, tuple[int, str]], observer: Observer) -> None:
        self._scratch, self._files, self._observer = scratch, files, observer

    def outcome(
        self, request: Request, version: int, status: int, definite: frozenset[int]
    ) -> tuple[Outcome, Observation]:
        """How the operation ended with ``status``, and what it saw; ``version`` is what a change wrote."""
        kind = request.kind
        if status == 0:
            return Outcome.OK, self._saw(request, version)
        if kind in (Kind.READ, Kind.OBSERVE) and status == _MISSING:
            return Outcome.OK, Observation(ABSENT)
        said = self.said()
        if kind is Kind.READ and status == _NO_DOCUMENT:
            seen = self._out()
            return Outcome.OK, Observation(GARBAGE, size=len(seen), note=SeenBytes(seen, said))
        parent = parent_in(said) if kind is Kind.UPDATE else NO_VERSION
        outcome = Outcome.FAIL if status in definite else Outcome.INFO
        note = ErrorNote(f"exit status {status}: {words_in(said)[-1500:]}")
        return outcome, Observation(version, parent, size=request.size, note=note)

    def _saw(self, request: Request, version: int) -> Observation:
        kind, path = request.kind, request.path
        if kind is Kind.UPDATE:
            return Observation(version, parent_in(self.said()), size=request.size)
        if kind in (Kind.WRITE, Kind.APPEND):
            return Observation(version, size=request.size)
        if kind is Kind.BACKUP:
            name = self._out().decode("utf-8", "replace").strip().splitlines()
            if not name:
                return Observation(GARBAGE, note=ErrorNote("backup printed no path"))
            return saved_observation(name[-1])
        form = self._files[path][1]
        if kind is Kind.RECOVER:
            return self._observer.inspect(path, form, self.recovered(path))
        return self._observer.inspect(path, form, self.read("out"))

    def read(self, name: str) -> bytes | None:
        """The content of ``in``, ``out`` or ``err``."""
        return read_file(str(self._scratch / name))

    def recovered(self, path: str) -> bytes | None:
        """What is there after a recovery."""
        return read_file(path)

    def _out(self) -> bytes:
        return self.read("out") or b""

    def said(self) -> str:
        """What it printed on standard error."""
        return (self.read("err") or b"").decode("utf-8", "replace").strip()
