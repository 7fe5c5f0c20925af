"""Operations recorded in memory, by a clock of steps: for tests of what takes any recorder."""

from __future__ import annotations

from typing import Any

from stress.history.kinds import Kind, Language, Outcome
from stress.history.notes import Note
from stress.history.record import NO_VERSION, Operation, version_of
from stress.history.recorder import Clock

__all__ = ["ListRecorder", "StepClock"]


class StepClock:
    """A clock that moves by one whenever it is asked: of two readings one is the earlier, in the order of asking.

    Processes that are scheduled one at a time share one; `now` may be set to the step of a schedule between readings.
    """

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        """The next step, from 1."""
        self.now += 1
        return self.now


class ListRecorder:
    """Keeps the operations of one process in memory, for `History.of`. Fields as those of `Operation`."""

    def __init__(self, process: int, language: Language, clock: Clock) -> None:
        self.process = process
        self.rows = 0
        self.clock = clock
        self._language = language
        self._rows: list[dict[str, Any]] = []

    def invoke(self, row: int, value: int = NO_VERSION, /) -> int:
        """See `Recorder`; ``row`` is `stress.history.journal.row_of` the operation's kind, file and scenario."""
        now = self.clock()
        self.rows += 1
        kind = Kind(row >> 16 & 255)
        fields = {"kind": kind, "file": row & 0xFFFF, "scenario": row >> 24, "invoke": now, "seq": self.rows}
        if kind.is_change:
            fields |= {"version": version_of(self.process, self.rows), "size": value}
        self._rows.append(fields | {"outcome": Outcome.OPEN})
        return now

    def record_parent(self, parent: int) -> None:
        """See `Recorder`."""
        self._rows[-1]["parent"] = parent

    def attach(
        self, *, size: int = -1, digest: int = -1, held_from: int = 0, held_to: int = 0, note: Note | None = None
    ) -> None:
        """See `Recorder`."""
        row = self._rows[-1]
        row |= {"digest": digest, "held_from": held_from, "held_to": held_to, "note": note}
        if not row["kind"].is_change:
            row["size"] = size

    def complete(self, ret: int, outcome: Outcome, value: int, parent: int = NO_VERSION, /) -> None:
        """See `Recorder`."""
        row = self._rows[-1]
        row |= {"ret": ret, "outcome": outcome}
        if not row["kind"].is_change:
            row["version"] = value
        if parent != NO_VERSION:
            row["parent"] = parent

    def operations(self, ended: int = 0) -> list[Operation]:
        """What was recorded. One that is still open is ``info``, and returns at ``ended``, its process's end."""
        rows = [row if "ret" in row else row | {"ret": ended, "outcome": Outcome.INFO} for row in self._rows]
        return [Operation(process=self.process, language=self._language, **row) for row in rows]
