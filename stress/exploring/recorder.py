"""What scheduled processes record: their rows in memory, stamped with steps of the schedule.

Memory is shared between the supervisor and the processes that it forks, so that neither a stamp nor a row is a syscall.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from mmap import mmap
from operator import attrgetter

from stress.history.notes import Note
from stress.history.record import NO_VERSION, Kind, Language, Operation, Outcome, version_of
from stress.syscalls.calls import Call, Scheduler, Step

__all__ = ["Counting", "Memory", "Row", "Stamps", "kept_rows"]

STEP_NS = 1_000_000
"""A step of the schedule takes one millisecond, in histories and in what is said of them."""

_CHANGES = (Kind.WRITE, Kind.UPDATE, Kind.APPEND)
_LENGTH_BYTES = 8

Row = Operation
"""An operation whose times are stamps, which `Stamps` turns into times."""

_FIELDS = attrgetter(*(field.name for field in fields(Row)))  # a tuple is pickled in a fraction of the time


class Counting:
    """Passes on to a scheduler, and tells the processes how many steps there were.

    Args:
        steps: Memory that they share: the number is in its first eight bytes.
    """

    def __init__(self, scheduler: Scheduler, steps: mmap) -> None:
        self._scheduler, self._steps = scheduler, steps
        self.begin, self.draw, self.end = scheduler.begin, scheduler.draw, scheduler.end
        steps[:_LENGTH_BYTES] = bytes(_LENGTH_BYTES)

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """What the scheduler picks."""
        picked = self._scheduler.pick(enabled, trace)
        self._steps[:_LENGTH_BYTES] = (len(trace) + 1).to_bytes(_LENGTH_BYTES, "little")
        return picked


class Memory:
    """The writing side, as `stress.history.journal.Journal`, into memory that the supervisor reads.

    Args:
        rows: That memory. Rows are added as they change, so that a process that never ends has them there too.
        steps: How many steps there were: see `Counting`.
    """

    def __init__(self, rows: mmap, steps: mmap, process: int, language: Language) -> None:
        self.process, self.rows, self.clock = process, 0, self.now
        self._memory, self._steps, self._language = rows, steps, language
        self._row = Operation(process, Kind.READ)

    def now(self) -> int:
        """The stamp: one more than the steps until now, as 0 means none."""
        return int.from_bytes(self._steps[:_LENGTH_BYTES], "little") + 1

    def invoke(self, row: int, value: int = NO_VERSION, /) -> int:
        """Open a row: see `Journal.invoke`."""
        self.rows += 1
        kind = Kind(row >> 16 & 255)
        change = kind in _CHANGES
        self._row = Operation(
            self.process, kind, row & 0xFFFF, invoke=self.now(), outcome=Outcome.OPEN, seq=self.rows,
            language=self._language, scenario=row >> 24,
            version=version_of(self.process, self.rows) if change else NO_VERSION, size=value if change else -1,
        )  # fmt: skip
        self._keep()
        return self._row.invoke

    def record_parent(self, parent: int) -> None:
        """What an update started from."""
        self._row = replace(self._row, parent=parent)
        self._keep()

    def attach(
        self, *, size: int = -1, digest: int = -1, held_from: int = 0, held_to: int = 0, note: Note | None = None
    ) -> None:
        """What few rows have: see `Journal.attach`."""
        size = self._row.size if self._row.kind in _CHANGES else size
        self._row = replace(
            self._row, size=size, digest=digest, held_from=held_from, held_to=held_to, note=note or self._row.note
        )

    def complete(self, ret: int, outcome: Outcome, value: int, parent: int = NO_VERSION, /) -> None:
        """Close the row: see `Journal.complete`."""
        version = self._row.version if self._row.kind in _CHANGES else value
        parent = self._row.parent if parent == NO_VERSION else parent
        self._row = replace(self._row, ret=ret, outcome=outcome, version=version, parent=parent)
        self._keep()

    def _keep(self) -> None:
        start = _LENGTH_BYTES + int.from_bytes(self._memory[:_LENGTH_BYTES], "little")
        content = pickle.dumps(_FIELDS(self._row))
        self._memory[start : start + len(content)] = content
        self._memory[:_LENGTH_BYTES] = (start + len(content) - _LENGTH_BYTES).to_bytes(_LENGTH_BYTES, "little")


def kept_rows(memory: mmap) -> list[Row]:
    """What a `Memory` has kept, the last of each row; it is empty then."""
    length = int.from_bytes(memory[:_LENGTH_BYTES], "little")
    content = io.BytesIO(memory[_LENGTH_BYTES : _LENGTH_BYTES + length])
    memory[:_LENGTH_BYTES] = bytes(_LENGTH_BYTES)
    rows: dict[int, Row] = {}
    while True:
        try:
            row = Row(*pickle.load(content))
        except (EOFError, pickle.UnpicklingError):
            return [rows[seq] for seq in sorted(rows)]
        rows[row.seq] = row


class Stamps:
    """The times of one agent's stamps.

    Args:
        steps: Stamp → how many steps had been done when it was made.
        own: Indices of the steps that the agent did, ascending.
        steps_all: How many steps the execution had.

    An operation begins with its first step, as nothing that it did before could be noticed, and ends after its last.
    """

    def __init__(self, steps: Mapping[int, int], own: list[int], steps_all: int) -> None:
        self._steps, self._own, self._all = steps, own, steps_all

    def timed(self, row: Row) -> Operation:
        """The row with times, ns from one step before the first."""
        ret = self._after(row.ret) if row.ret else (self._all + 2) * STEP_NS
        begun = self._steps.get(row.invoke, 0)
        first = next((index for index in self._own if index >= begun), None)
        invoke = ret - 1 if first is None else min((first + 1) * STEP_NS + 1, ret - 1)
        held = [self._after(stamp) if stamp else 0 for stamp in (row.held_from, row.held_to)]
        outcome = Outcome.INFO if row.outcome is Outcome.OPEN else row.outcome
        return replace(row, invoke=invoke, ret=ret, held_from=held[0], held_to=held[1], outcome=outcome)

    def _after(self, stamp: int) -> int:
        return (self._steps.get(stamp, 0) + 1) * STEP_NS - 1
