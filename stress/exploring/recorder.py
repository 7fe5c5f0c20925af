"""What scheduled processes record: their rows in memory, stamped with steps of the schedule.

Memory is shared between the supervisor and the processes that it forks, so that neither a stamp nor a row is a syscall.
"""

from __future__ import annotations

import pickle
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from mmap import mmap
from struct import Struct
from typing import Any

from stress.history.kinds import CHANGES, Kind, Language, Outcome
from stress.history.notes import Note
from stress.history.record import NO_VERSION, Operation, version_of
from stress.syscalls import Mark, mark
from stress.syscalls.calls import Call, Scheduler, Step

STEP_NS = 1_000_000
"""A step of the schedule takes one millisecond, in histories and in what is said of them."""

INVOKE, HELD, _RETURN = "invoke", "held", "return"
"""What a mark says of an operation, after its number: see also worker.bash."""

_NUMBER = Struct("<q")
_OPEN = int(Outcome.OPEN)
_CHANGES = frozenset(map(int, CHANGES))

Row = Operation
"""An operation whose times are stamps, which `Stamps` turns into times."""

_FIELDS = [field.name for field in fields(Row)]  # all but the last, which is the note, are numbers
_KIND, _VERSION, _PARENT, _RET, _OUTCOME, _LANGUAGE, _HELD_FROM, _HELD_TO, _SIZE, _DIGEST = map(
    _FIELDS.index, ("kind", "version", "parent", "ret", "outcome", "language", "held_from", "held_to", "size", "digest")
)
_NOTE_AT, _NOTE_BYTES = len(_FIELDS) - 1, len(_FIELDS)
_ROW = Struct(f"<{len(_FIELDS) + 1}q")
"""A row in memory: its numbers, and where its note is and how many bytes it has."""


class Counting:
    """Passes on to a scheduler, and tells the processes how many steps there were.

    Args:
        steps: Memory that they share: the number is in its first eight bytes.
    """

    def __init__(self, scheduler: Scheduler, steps: mmap) -> None:
        self._pick, self._steps = scheduler.pick, steps
        self.begin, self.end, self.source = scheduler.begin, scheduler.end, scheduler.source
        _NUMBER.pack_into(steps, 0, 0)

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """What the scheduler picks."""
        picked = self._pick(enabled, trace)
        _NUMBER.pack_into(self._steps, 0, len(trace) + 1)
        return picked


class Edges:
    """Passes on to a scheduler, and tells of each step whether an operation began with it, or was over after it.

    An operation begins with the first step after its mark, as nothing before could be noticed; it ends, and a lock that
    it held was held or free, after the last one.

    Args:
        marks: The marks of the execution, until now.
    """

    def __init__(self, scheduler: Scheduler, marks: Callable[[], Sequence[Mark]]) -> None:
        self._scheduler, self._marks = scheduler, marks
        self.begin, self.source = scheduler.begin, scheduler.source
        self._marks_seen = self._steps_seen = 0
        self._begun: set[int] = set()

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """What the scheduler picks."""
        self._tell(trace)
        return self._scheduler.pick(enabled, trace)

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """The execution is over."""
        self._tell(trace)
        self._scheduler.end(trace, blocked)

    def _tell(self, trace: Sequence[Step]) -> None:
        for step in trace[self._steps_seen :]:
            if step.call.agent in self._begun:
                self._begun.remove(step.call.agent)
                _add(step, "begins")
        marks = self._marks()
        for told in marks[self._marks_seen :]:
            what = told.text.split()[1]
            if what == INVOKE:
                self._begun.add(told.agent)
            elif own := [step for step in trace[: told.step] if step.call.agent == told.agent]:
                _add(own[-1], "both" if what == HELD else "begins" if what == "from" else "ends")
        self._steps_seen, self._marks_seen = len(trace), len(marks)


def _add(step: Step, edge: str) -> None:
    step.edge = edge if step.edge in ("", edge) else "both"


class Memory:
    """The writing side, as `stress.history.journal.Journal`, into memory that the supervisor reads.

    Args:
        rows: That memory: rows from its beginning, notes from its middle. A row is there as soon as it is opened, so
            that a process that never ends has it there too.
        steps: How many steps there were: see `Counting`.
        marks: Whether to say when an operation begins and ends, for `Edges`: that costs a syscall each time.
    """

    def __init__(self, rows: mmap, steps: mmap, process: int, language: Language, *, marks: bool) -> None:
        self.process, self.rows, self.clock = process, 0, self.over
        self._memory, self._steps, self._language, self._marks = rows, steps, language, marks

    def now(self) -> int:
        """The stamp: one more than the steps until now, as 0 means none."""
        number: int = _NUMBER.unpack_from(self._steps)[0]
        return number + 1

    def over(self) -> int:
        """The stamp of the end of an operation."""
        self._mark(_RETURN)
        return self.now()

    def held(self) -> int:
        """The stamp of when a lock was taken, or given back."""
        self._mark(HELD)
        return self.now()

    def _mark(self, what: str) -> None:
        if self._marks:
            mark(f"{self.rows} {what}")

    def invoke(self, row: int, value: int = NO_VERSION, /) -> int:
        """Open a row: see `Journal.invoke`."""
        note_at = self._after_notes()
        self.rows += 1
        self._mark(INVOKE)
        kind, invoked, version, size = row >> 16 & 255, self.now(), NO_VERSION, -1
        if kind in _CHANGES:
            version, size = version_of(self.process, self.rows), value
        _ROW.pack_into(
            self._memory, self._at(0), self.process, kind, row & 0xFFFF, version, NO_VERSION, invoked, 0, _OPEN,
            self.rows, self._language, row >> 24, 0, 0, size, -1, note_at, 0,
        )  # fmt: skip
        return invoked

    def record_parent(self, parent: int) -> None:
        """What an update started from."""
        self._set(_PARENT, parent)

    def attach(
        self, *, size: int = -1, digest: int = -1, held_from: int = 0, held_to: int = 0, note: Note | None = None
    ) -> None:
        """What few rows have: see `Journal.attach`."""
        for field, value in ((_HELD_FROM, held_from), (_HELD_TO, held_to), (_DIGEST, digest)):
            self._set(field, value)
        if not self._is_change():
            self._set(_SIZE, size)
        if note is not None:
            content, start = pickle.dumps(note), self._get(_NOTE_AT)
            self._memory[start : start + len(content)] = content
            self._set(_NOTE_BYTES, len(content))

    def complete(self, ret: int, outcome: Outcome, value: int, parent: int = NO_VERSION, /) -> None:
        """Close the row: see `Journal.complete`."""
        self._set(_RET, ret)
        self._set(_OUTCOME, outcome)
        if not self._is_change():
            self._set(_VERSION, value)
        if parent != NO_VERSION:
            self._set(_PARENT, parent)

    # Each field is put in by itself, and nothing is kept elsewhere: a target may do a part of its operation in a child.

    def _at(self, field: int) -> int:
        return (self.rows - 1) * _ROW.size + field * _NUMBER.size

    def _get(self, field: int) -> int:
        number: int = _NUMBER.unpack_from(self._memory, self._at(field))[0]
        return number

    def _set(self, field: int, value: int) -> None:
        _NUMBER.pack_into(self._memory, self._at(field), value)

    def _is_change(self) -> bool:
        return self._get(_KIND) in _CHANGES

    def _after_notes(self) -> int:
        """Where the next note goes: behind that of the last row."""
        return self._get(_NOTE_AT) + self._get(_NOTE_BYTES) if self.rows else len(self._memory) // 2


def kept_rows(memory: mmap) -> list[Row]:
    """What a `Memory` has kept; it is empty then."""
    rows: list[Row] = []
    for start in range(0, len(memory) // 2 - _ROW.size, _ROW.size):
        *numbers, note_at, note_bytes = _ROW.unpack_from(memory, start)
        if not numbers[0]:
            break
        row: list[Any] = numbers
        row[_KIND], row[_OUTCOME], row[_LANGUAGE] = Kind(row[_KIND]), Outcome(row[_OUTCOME]), Language(row[_LANGUAGE])
        row.append(pickle.loads(memory[note_at : note_at + note_bytes]) if note_bytes else None)
        rows.append(Row(*row))
    memory[: len(rows) * _ROW.size] = bytes(len(rows) * _ROW.size)
    return rows


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
        first = bisect_left(self._own, self._steps.get(row.invoke, 0))
        invoke = ret - 1 if first == len(self._own) else min((self._own[first] + 1) * STEP_NS + 1, ret - 1)
        held_from, held_to = (self._after(stamp) if stamp else 0 for stamp in (row.held_from, row.held_to))
        return Operation(
            row.process, row.kind, row.file, row.version, row.parent, invoke, ret,
            Outcome.INFO if row.outcome is Outcome.OPEN else row.outcome,
            row.seq, row.language, row.scenario, held_from, held_to, row.size, row.digest, row.note,
        )  # fmt: skip

    def _after(self, stamp: int) -> int:
        return (self._steps.get(stamp, 0) + 1) * STEP_NS - 1
