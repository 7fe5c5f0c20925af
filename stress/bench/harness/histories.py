"""Large histories made by rule: what real ones look like to a checker, at any size, without running anything.

Operations take place at points, one after the other; around its point each has an interval that overlaps those of
others, and no process does two things at once. So a history is correct by construction, at any size. In a broken one,
about one operation in `BROKEN_ONE_IN` of each kind has done or seen something that can't be.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stress.history.history import Columns, FileFacts, FinalFile, History, ProcessFacts
from stress.history.kinds import Format, Kind, Language, Outcome, Recovery, WorkerRole
from stress.history.notes import BackupNote, LogDelta, Note, SeenBytes
from stress.history.record import GARBAGE, INITIAL, NO_VERSION, RECORD
from stress.workload.payload import log_record

BROKEN_ONE_IN = 200
CHANGING, READING = 16, 48
"""Processes that change something, and that look at it."""
FILES = 4
_SEED = 7
STEP_NS = 1000
_REACH = CHANGING // 2 - 1  # steps to either side: the points of one process are CHANGING steps apart, or more
_LATE = 64
"""How many changes of its file a broken operation is behind."""
_TORN = b'{"stress": {"version": "p1.1", "parent": null, "size": 100, "crc": 1, "pad": "p1.1;p1.1;p1'

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Maker(Protocol):
    """Makes a history of so many operations, always the same one."""

    def __call__(self, count: int, *, broken: bool = False) -> History: ...


@dataclass(frozen=True)
class _Scene:
    """Operations in order of their points, with no kind and no version yet."""

    ops: Columns
    changing: Flags
    broken: Flags
    files: int
    draw: np.random.Generator

    def newest(self, behind: int = 0) -> Numbers:
        """Of each operation: the last change to its file before it (and so many changes ``behind``); -1: none."""
        newest = np.full(len(self.ops), -1, np.int64)
        for own in self.by_file():
            changes, done = own[self.changing[own]], np.cumsum(self.changing[own], dtype=np.int64)
            done -= self.changing[own] + np.int64(1 + behind)
            newest[own[done >= 0]] = changes[done[done >= 0]]
        return newest

    def by_file(self) -> list[Numbers]:
        """The operations on each file."""
        return [np.flatnonzero(self.ops["file"] == file) for file in range(self.files)]


def _scene(count: int, changing: float, *, broken: bool, files: int = FILES) -> _Scene:
    draw = np.random.default_rng(_SEED)
    number = np.arange(count, dtype=np.int64)
    changes = draw.random(count) < changing
    process = np.where(changes, 1 + number % CHANGING, 1 + CHANGING + number % READING)
    order = np.argsort(process, kind="stable")
    starts = np.searchsorted(process[order], np.arange(CHANGING + READING + 2))
    ops = np.zeros(count, RECORD)
    ops["process"], ops["outcome"], ops["language"] = process, Outcome.OK, Language.PYTHON
    ops["seq"][order] = number - starts[process[order]] + 1
    ops["file"] = draw.integers(0, files, count)
    ops["invoke"] = (number + CHANGING) * STEP_NS - draw.integers(0, _REACH * STEP_NS, count)
    ops["return"] = (number + CHANGING) * STEP_NS + draw.integers(0, _REACH * STEP_NS, count)
    ops["version"] = ops["parent"] = NO_VERSION
    ops["size"] = ops["digest"] = ops["note_at"] = -1
    wrong = draw.random(count) < (1 / BROKEN_ONE_IN if broken else 0)
    return _Scene(ops, changes, wrong, files, draw)


def documents(count: int, *, broken: bool = False, updates: float = 0.5, files: int = FILES) -> History:
    """Documents: a quarter writes and ``updates`` (so much of it), under a lock, and the rest reads.

    Broken: stale and torn reads, lost updates, locks held by two.
    """
    scene = _scene(count, 0.25, broken=broken, files=files)
    ops, changing, wrong = scene.ops, scene.changing, scene.broken
    own = ops["process"].astype(np.int64) << 32 | ops["seq"]
    source = np.where(wrong, scene.newest(_LATE), scene.newest())
    seen = np.where(source < 0, INITIAL, own[source])
    update = changing & (scene.draw.random(count) < updates)
    ops["kind"] = np.where(update, Kind.UPDATE, np.where(changing, Kind.WRITE, Kind.READ))
    ops["version"] = np.where(changing, own, seen)
    ops["parent"][update] = seen[update]
    torn = wrong & ~changing & (scene.draw.random(count) < 0.1)
    ops["version"][torn], ops["note_at"][torn], ops["note_size"][torn] = GARBAGE, 0, len(_TORN) + 1
    at = (np.flatnonzero(changing) + CHANGING) * STEP_NS
    ops["held_from"][changing] = at - STEP_NS // 4
    ops["held_to"][changing] = at + np.where(wrong[changing], 4 * CHANGING * STEP_NS, STEP_NS // 4)
    last = [int(own[rows[changing[rows]][-1]]) if changing[rows].any() else INITIAL for rows in scene.by_file()]
    checkers = frozenset({"register", "updates", "sessions", "torn", "locks"})
    final = [FinalFile(exists=True, version=version) for version in last]
    return _history(ops, Format.OBJECT, checkers, final, lambda process, at, size: SeenBytes(_TORN))


def backups(count: int, *, broken: bool = False) -> History:
    """Documents of which backups are made: one operation in twenty is a write, and one a backup.

    Broken: backups that are late, and some that are gone.
    """
    scene = _scene(count, 0.05, broken=broken)
    ops, changing, wrong = scene.ops, scene.changing, scene.broken
    own = ops["process"].astype(np.int64) << 32 | ops["seq"]
    saving = ~changing & (scene.draw.random(count) < 0.05)
    source = np.where(wrong & saving, scene.newest(_LATE), scene.newest())
    ops["kind"] = np.where(changing, Kind.WRITE, np.where(saving, Kind.BACKUP, Kind.READ))
    ops["version"] = np.where(changing, own, np.where(source < 0, INITIAL, own[source]))
    made = np.flatnonzero(saving)
    notes: list[Note] = [BackupNote(f"state-{number}.bak", f"{number:064x}") for number in range(len(made))]
    ops["note_at"][made], ops["note_size"][made] = np.arange(len(made)), 80
    kept = {
        f"state-{number}.bak": (int(version), f"{number:064x}")
        for number, version in enumerate(ops["version"][made].tolist())
    }
    for number in np.flatnonzero(wrong[made])[::2].tolist():
        del kept[f"state-{number}.bak"]
    last = [int(own[rows[changing[rows]][-1]]) if changing[rows].any() else INITIAL for rows in scene.by_file()]
    final = [FinalFile(exists=True, version=version) for version in last]
    return _history(ops, Format.OBJECT, frozenset({"backups"}), final, lambda process, at, size: notes[at], kept)


def logs(count: int, *, broken: bool = False) -> History:
    """Logs: one operation in twenty appends, the others read.

    Broken: appends that are lost, and reads that found something else than what came of the log.
    """
    scene = _scene(count, 0.05, broken=broken)
    ops, changing, wrong = scene.ops, scene.changing, scene.broken
    ops["kind"] = np.where(changing, Kind.APPEND, Kind.READ)
    own = ops["process"].astype(np.int64) << 32 | ops["seq"]
    ops["version"][changing] = own[changing]
    notes: list[Note] = []
    final = []
    for rows in scene.by_file():
        content, ends, crcs = _log([INITIAL, *own[rows[changing[rows] & ~wrong[rows]]].tolist()])
        final.append(FinalFile(exists=True, content=content))
        there = 1 + np.cumsum(changing[rows] & ~wrong[rows])
        reads = ~changing[rows]
        ops["size"][rows[reads]] = ends[there[reads]]
        ops["digest"][rows[reads]] = crcs[there[reads]]
        _note_reads(ops, rows[reads], content, notes, wrong)
    return _history(ops, Format.LOG, frozenset({"appends", "torn"}), final, lambda process, at, size: notes[at])


def _log(versions: Sequence[int]) -> tuple[bytes, Numbers, Numbers]:
    """A log of these records: its bytes, and after how many bytes, with which checksum, each number of them ends."""
    records = [log_record(version, 16).encode() for version in versions]
    ends = np.append(0, np.cumsum([len(record) for record in records], dtype=np.int64))
    crcs = np.zeros(len(records) + 1, np.int64)
    crc = 0
    for number, record in enumerate(records):
        crcs[number + 1] = crc = zlib.crc32(record, crc)
    return b"".join(records), ends, crcs


def _note_reads(ops: Columns, reads: Numbers, content: bytes, notes: list[Note], wrong: Flags) -> None:
    """Note with each read what is new to its process, as a worker does; a wrong read has a byte at its end."""
    order = reads[np.argsort(ops["process"][reads], kind="stable")]
    size = ops["size"][order]
    first = np.append(True, ops["process"][order[1:]] != ops["process"][order[:-1]])
    before = np.where(first, 0, np.append(0, size[:-1]))
    told = np.flatnonzero(size != before)
    ops["note_at"][order[told]] = len(notes) + np.arange(len(told))
    ops["note_size"][order[told]] = size[told] - before[told] + 12
    notes += [
        LogDelta(start, content[start:stop])
        for start, stop in zip(before[told].tolist(), size[told].tolist(), strict=True)
    ]
    ops["digest"][reads[wrong[reads]]] ^= 1


def recoveries(count: int, *, broken: bool = False) -> History:
    """A file that is recovered at first and read from then on; broken: the reads find another version at times."""
    scene = _scene(count, 0.001, broken=broken)
    ops = scene.ops
    ops["kind"] = np.where(scene.changing, Kind.RECOVER, Kind.READ)
    ops["version"] = np.where(scene.broken & ~scene.changing, (1 << 32) + 7, INITIAL)
    final = [FinalFile(exists=True, version=INITIAL)] * FILES
    return _history(ops, Format.OBJECT, frozenset({"recovery"}), final, lambda process, at, size: None)


def _history(
    ops: Columns,
    form: Format,
    checkers: frozenset[str],
    final: Sequence[FinalFile],
    notes: Callable[[int, int, int], Note | None],
    kept: dict[str, tuple[int, str]] | None = None,
) -> History:
    ops = ops[np.argsort(ops["invoke"], kind="stable")]
    began, ended = STEP_NS, int(ops["return"].max(initial=0)) + STEP_NS
    recovery = Recovery.RESTORE if "recovery" in checkers else None
    return History(
        ops=ops,
        files=tuple(
            FileFacts(f"file-{file}", "bench", form=form, checkers=checkers, recovery=recovery, recovered=INITIAL)
            for file in range(len(final))
        ),
        processes=tuple(
            ProcessFacts(process, process, Language.PYTHON, _role(process), began, ended)
            for process in range(1, CHANGING + READING + 1)
        ),
        scenarios=("bench",),
        final=tuple(final),
        backups=kept or {},
        began=began,
        ended=ended,
        limit=10**9,
        notes=notes,
    )


def _role(process: int) -> WorkerRole:
    return WorkerRole.WRITER if process <= CHANGING else WorkerRole.READER
