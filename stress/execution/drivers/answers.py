"""What a worker that is driven over pipes left in its files, examined: how its operation ended, and what it saw."""

from __future__ import annotations

import json
from pathlib import Path

from stress.execution.drivers.observe import (
    EVIDENCE_BYTES,
    WORDS_MAX,
    Observation,
    Observer,
    read_file,
    saved_observation,
)
from stress.history.kinds import Kind, Outcome
from stress.history.machine_errors import errno_in
from stress.history.notes import ErrorNote, SeenBytes
from stress.history.record import ABSENT, GARBAGE, NO_VERSION
from stress.workload.payload import document_of, edit_list, jq_program, log_record, parent_in, words_in
from stress.workload.scenario import Request

_MISSING, _NO_DOCUMENT = 66, 65


def given(request: Request, version: int, form: str, *, edits: bool = False) -> str:
    """What a worker is given in its file ``in``: the document, the record, or how to change one; empty for what looks.

    Args:
        version: What it writes.
        form: The file's format, as in `stress.workload.scenario.SharedFile`.
        edits: Whether the worker takes a list of edits, and no jq program.
    """
    if request.kind is Kind.WRITE:
        return json.dumps(document_of(version, request.size, request.shape))
    if request.kind is Kind.APPEND:
        return log_record(version, request.size)
    if request.kind is Kind.UPDATE:
        return (edit_list if edits else jq_program)(version, request.size, request.edits, form=form)
    return ""


class Answers:
    """Examines the files ``out`` and ``err`` of one worker, which are in ``folder``.

    Attributes:
        definite: Exit statuses that say that nothing was changed.
    """

    def __init__(self, folder: Path, observer: Observer) -> None:
        self._folder, self._observer = folder, observer
        self.definite: frozenset[int] = frozenset()

    def observation(self, request: Request, form: str, status: int) -> Observation:
        """What an operation came to that ended with ``status``; ``form`` as of `given`."""
        kind = request.kind
        if status == 0:
            return self._saw(request, form)
        if status == _MISSING and kind in (Kind.READ, Kind.OBSERVE, Kind.OBSERVE_BACKUP):
            return Observation(ABSENT)
        said = self.said()
        if status == _NO_DOCUMENT and kind is Kind.READ:
            seen = self.read("out") or b""
            return Observation(GARBAGE, size=len(seen), note=SeenBytes(seen[:EVIDENCE_BYTES], said[-WORDS_MAX:]))
        outcome = Outcome.FAIL if status in self.definite else Outcome.INFO
        note = ErrorNote(f"exit status {status}: {words_in(said)[-WORDS_MAX:]}", errno_in(said))
        return Observation(parent=self.parent(request), note=note, outcome=outcome)

    def parent(self, request: Request) -> int:
        """What an update says that it started from."""
        return parent_in(self.said()) if request.kind is Kind.UPDATE else NO_VERSION

    def said(self) -> str:
        """What the operation printed on standard error."""
        return (self.read("err") or b"").decode("utf-8", "replace").strip()

    def _saw(self, request: Request, form: str) -> Observation:
        kind = request.kind
        if kind.is_change:
            return Observation(parent=self.parent(request))
        if kind in (Kind.BACKUP, Kind.OBSERVE_BACKUP):
            printed = (self.read("out") or b"").decode("utf-8", "replace").strip().splitlines()
            if not printed:
                return Observation(outcome=Outcome.INFO, note=ErrorNote("backup printed no path of what it made"))
            return self.saved(kind, printed[-1])
        content = self.recovered(request.path) if kind is Kind.RECOVER else self.read("out")
        return self._observer.inspect(request.path, form, content)

    def read(self, name: str) -> bytes | None:
        """The content of ``out`` or ``err``; None where there is no such file."""
        return read_file(str(self._folder / name))

    def recovered(self, path: str) -> bytes | None:
        """What lies at a path after its recovery."""
        return read_file(path)

    def saved(self, kind: Kind, path: str) -> Observation:
        """A backup that the operation says it has made, or seen, at ``path``."""
        return saved_observation(path)
