"""A history: all that a run's processes did and saw, as columns, with what was on the disk when they had ended.

Checkers are pure functions of it: it has no clock, reads no file under test, and is never changed.
"""

from __future__ import annotations

import functools
import operator
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stress.history.events import LeftBehind, MetadataSeen
from stress.history.kinds import CHANGES, End, Format, Kind, Language, Outcome, Recovery, WorkerRole
from stress.history.naming import Naming
from stress.history.notes import BackupNote, Note
from stress.history.record import INITIAL, NO_VERSION, RECORD, Operation

Columns = NDArray[np.void]
"""A structured array of `RECORD`, one row an operation."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a shared file before the run. ``path`` is relative to the directory under test."""

    path: str
    scenario: str
    form: Format = Format.OBJECT
    initial: int = INITIAL
    """The version it held at the start, or ``ABSENT``."""
    checkers: frozenset[str] = frozenset()
    mode: int = 0o644
    shared: bool = False
    """Whether two users of one group work with it, each of whom may own it."""
    link: str | None = None
    """Where it is a symbolic link: what it says."""
    recovery: Recovery | None = None
    """For a file that is to be recovered: what a recovery must do; `Recovery.RESTORE` puts ``recovered`` there."""
    recovered: int = NO_VERSION
    """The version that it must hold after a recovery that was acknowledged."""
    corrupt: bytes = b""
    """The bytes that were injected; where they are not empty, some file beside it must still hold them at the end."""
    elsewhere: bool = False
    """Whether the target says that what it keeps may lie elsewhere (``OBSERVE = False``)."""

    def __post_init__(self) -> None:
        # From a file they come as text; what is none of them raises ValueError.
        object.__setattr__(self, "form", Format(self.form))
        object.__setattr__(self, "recovery", None if self.recovery is None else Recovery(self.recovery))

    @property
    def root(self) -> int:
        """The version that the first update builds on: what a recovery puts there, or what was there."""
        restored = self.recovery is Recovery.RESTORE and self.recovered != NO_VERSION
        return self.recovered if restored else self.initial


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """One process of the run: its worker (a replacement is the same one), language, and how it ended."""

    process: int
    worker: int
    language: Language
    role: WorkerRole
    started: int = 0
    """ns, when it was let through the start barrier."""
    ended: int = 0
    """ns, when its whole process tree had been reaped."""
    end: End = End.FINISHED
    status: str = ""
    """For one that died: its exit status and its last words."""
    within: int = 0
    """The process whose signal handler it is; 0: it is one of its own."""

    @property
    def about(self) -> str:
        """``python writer``, and how it ended where it did not end as it should."""
        ended = f", {self.end}" if self.end in (End.KILLED, End.HUNG, End.DIED, End.STAYED) else ""
        return f"{self.language.label} {f'signal handler in p{self.within}' if self.within else self.role}{ended}"


@dataclass(frozen=True, slots=True)
class FinalFile:
    """A shared file as the harness found it when every process had ended."""

    exists: bool
    version: int = NO_VERSION
    """Of a document; ``GARBAGE`` where it is none."""
    parent: int = NO_VERSION
    content: bytes = b""
    """A log's bytes, and those of a document that is none."""
    mode: int = 0
    link: str | None = None
    xattrs_lost: tuple[str, ...] = ()
    owner_changed: bool = False
    evidence_kept: bool = True
    """For a file that was corrupted on purpose: whether the corrupt bytes were found beside it."""


@dataclass(frozen=True, slots=True)
class FinalState:
    """What was on the disk when every process had ended: see the fields of that name of `History`."""

    files: tuple[FinalFile, ...] = ()
    backups: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    leftovers: tuple[str, ...] = ()


@dataclass(frozen=True)
class History:
    """What happened. Rows of ``ops`` are in order of invocation; ``OPEN`` outcomes have become ``INFO``."""

    ops: Columns
    files: tuple[FileFacts, ...]
    processes: tuple[ProcessFacts, ...] = ()
    scenarios: tuple[str, ...] = ()
    final: tuple[FinalFile, ...] = ()
    """One for each of ``files``; empty while a run is under way."""
    backups: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """Backups that were still there at the end: path → (version, SHA-256 of the bytes)."""
    leftovers: tuple[str, ...] = ()
    """Paths under the directory when all had ended (after a sweep, where processes were killed and the target
    has one) that are no shared file, backup or declared residue."""
    unswept: tuple[LeftBehind, ...] = ()
    """What else would have been such, before the sweep."""
    metadata_seen: tuple[MetadataSeen, ...] = ()
    """How mode, owner and group of shared files were while the workers worked, where that was otherwise than before."""
    pauses: tuple[tuple[int, int], ...] = ()
    """When the nemesis kept some process from going on: ns from and to, in order, none of them overlapping."""
    cleanings: tuple[tuple[int, int], ...] = ()
    """When it removed what is not part of the scenario, lock files too: ns from and to, in order."""
    began: int = 0
    """ns, when the start barrier was opened."""
    ended: int = 0
    """ns, when the workers were told to stop."""
    limit: int = 0
    """ns that one operation may take; past that it hangs. 0: no limit."""
    required: tuple[frozenset[Kind], ...] = ()
    """For each of ``scenarios``: the kinds of operation without which it has proved nothing."""
    given: Naming | None = None
    """What its processes, versions and times are called where that is not ours to say: in a history from elsewhere."""
    notes: Callable[[int, int, int], Note | None] = lambda process, at, size: None
    """(process, offset, size) → the note that is there."""

    @functools.cached_property
    def names(self) -> Naming:
        """What its processes, versions and times are called."""
        handlers = {facts.process: facts.within for facts in self.processes if facts.within}
        return self.given or Naming(self.began, handlers=handlers)

    def note(self, row: int) -> Note | None:
        """What was noted with row ``row``."""
        op = self.ops[row]
        if op["note_at"] < 0:
            return None
        return self.notes(int(op["process"]), int(op["note_at"]), int(op["note_size"]))

    def notes_of(self, rows: NDArray[np.intp]) -> list[Note | None]:
        """`note` for each of ``rows``."""
        columns = (self.ops[name][rows].tolist() for name in ("process", "note_at", "note_size"))
        return [None if at < 0 else self.notes(process, at, size) for process, at, size in zip(*columns, strict=True)]

    def operation(self, row: int) -> Operation:
        """Row ``row``, unpacked, with its note."""
        return replace(self.without_note(row), note=self.note(row))

    def without_note(self, row: int) -> Operation:
        """Row ``row``, unpacked, without its note: nothing is read from a file."""
        op = dict(zip(_FIELDS, self.ops[row].item(), strict=False))
        op |= {"kind": Kind(op["kind"]), "outcome": Outcome(op["outcome"]), "language": Language(op["language"])}
        return Operation(**op)

    def files_for(self, checker: str) -> Iterable[tuple[int, FileFacts]]:
        """The files that ``checker`` is to look at: (index, facts)."""
        return ((index, facts) for index, facts in enumerate(self.files) if checker in facts.checkers)

    def rows(self, file: int, *kinds: Kind, outcome: Outcome | None = None) -> NDArray[np.intp]:
        """Row numbers, ascending, of the operations on ``file`` (of these kinds; with this outcome)."""
        start, stop = self._file_starts[file : file + 2].tolist()
        rows = self._rows_by_file[start:stop]
        if not kinds and outcome is None:
            return rows
        return rows[_wanted(kinds, outcome)[self._what_by_file[start:stop]]]

    def backups_made(self) -> frozenset[str]:
        """The paths of the backups whose making was acknowledged, as far as they were told."""
        rows = np.flatnonzero((self.ops["kind"] == Kind.BACKUP) & (self.ops["outcome"] == Outcome.OK))
        made = {note.path for note in self.notes_of(rows) if isinstance(note, BackupNote)}
        return frozenset(posixpath.normpath(path) for path in made if path)

    def as_of(self, time: int) -> History:
        """What had happened by ``time`` (ns, or a schedule's step): of what was invoked later nothing, and what had
        not returned yet is ``info``, with nothing seen.
        """
        ops = self.ops[self.ops["invoke"] <= time].copy()
        pending = ops["return"] > time
        ops["outcome"][pending], ops["return"][pending] = Outcome.INFO, time
        seen = pending & ~np.isin(ops["kind"], CHANGES)
        ops["version"][seen] = ops["parent"][seen] = NO_VERSION
        ops["size"][seen] = -1
        for name, nothing in (("held_from", 0), ("held_to", 0), ("digest", -1), ("note_at", -1), ("note_size", 0)):
            ops[name][pending] = nothing
        ended = min(self.ended, time) if self.ended else 0
        return replace(self, ops=ops, ended=ended, final=(), backups={}, leftovers=(), unswept=(), metadata_seen=())

    def with_final(self, final: FinalState) -> History:
        """The same with what was left on the disk."""
        return replace(self, final=final.files, backups=final.backups, leftovers=final.leftovers)

    def __post_init__(self) -> None:
        # Derived once: rows grouped by file, in order of invocation within each.
        file = self.ops["file"].copy()
        files = max(len(self.files), int(file.max(initial=-1)) + 1)
        few = len(file) and file.min() >= 0 and files <= 1 << 16
        # numpy sorts 16-bit numbers by radix, in linear time.
        order = np.argsort(file.astype(np.uint16) if few else file, kind="stable")
        object.__setattr__(self, "_rows_by_file", order)
        starts = np.searchsorted(file[order], np.arange(files + 1, dtype=file.dtype))
        object.__setattr__(self, "_file_starts", starts)
        # Kind and outcome stand side by side in a record: one gather for both, and for all the checkers.
        offset = self.ops.dtype.fields["kind"][1] if self.ops.dtype.fields else 0
        object.__setattr__(self, "_what_by_file", self.ops.getfield("<u2", offset)[order])

    _rows_by_file: NDArray[np.intp] = field(init=False, repr=False, compare=False)
    _file_starts: NDArray[np.intp] = field(init=False, repr=False, compare=False)
    _what_by_file: NDArray[np.uint16] = field(init=False, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        operations: Sequence[Operation],
        files: Sequence[FileFacts],
        *,
        processes: Sequence[ProcessFacts] = (),
        scenarios: Sequence[str] = (),
        final: Sequence[FinalFile] = (),
        backups: Mapping[str, tuple[int, str]] | None = None,
        leftovers: Sequence[str] = (),
        unswept: Sequence[LeftBehind] = (),
        metadata_seen: Sequence[MetadataSeen] = (),
        pauses: Sequence[tuple[int, int]] = (),
        cleanings: Sequence[tuple[int, int]] = (),
        began: int = 0,
        ended: int = 0,
        limit: int = 0,
        required: Sequence[frozenset[Kind]] = (),
        given: Naming | None = None,
    ) -> History:
        """A history written by hand: what tests and golden data use. ``seq`` 0 is numbered per process."""
        ops, notes = columns_of(operations)
        return cls(
            ops=ops,
            files=tuple(files),
            processes=tuple(processes),
            scenarios=tuple(scenarios),
            final=tuple(final),
            backups=dict(backups or {}),
            leftovers=tuple(leftovers),
            unswept=tuple(unswept),
            metadata_seen=tuple(metadata_seen),
            pauses=tuple(pauses),
            cleanings=tuple(cleanings),
            began=began,
            ended=ended,
            limit=limit,
            required=tuple(required),
            given=given,
            notes=lambda process, at, size: notes[at],
        )


@functools.cache
def _wanted(kinds: tuple[Kind, ...], outcome: Outcome | None) -> NDArray[np.bool_]:
    """Which pairs of a kind and an outcome, as they stand side by side in a record, are these."""
    wanted = np.zeros((256, 256), np.bool_)
    wanted[slice(None) if outcome is None else outcome, list(kinds) if kinds else slice(None)] = True
    return wanted.ravel()


_FIELDS = tuple("ret" if name == "return" else name for name in RECORD.names or ())[:-3]
"""The fields of an operation in the order of the columns; the last three of these say where its note is."""
_fields_of = operator.attrgetter(*_FIELDS)


def columns_of(operations: Sequence[Operation]) -> tuple[Columns, list[Note]]:
    """Operations as columns in order of invocation, and their notes (``note_at`` indexes them)."""
    ordered = sorted(operations, key=lambda op: op.invoke)
    ops = np.array([(*_fields_of(op), -1, 0, 0) for op in ordered], RECORD)
    ops["outcome"][ops["outcome"] == Outcome.OPEN] = Outcome.INFO
    notes: list[Note] = []
    counts: dict[int, int] = {}
    for row, op in enumerate(ordered):
        counts[op.process] = op.seq or counts.get(op.process, 0) + 1
        if not op.seq:
            ops["seq"][row] = counts[op.process]
        if op.note is not None:
            ops["note_at"][row] = len(notes)
            notes.append(op.note)
    return ops, notes
