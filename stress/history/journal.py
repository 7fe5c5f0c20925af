"""The journal: what each process did, written before the call and after it, where a SIGKILL of the process can't
take it.

One process, three files. ``pNNNNNN.ops`` is a page of header and then a row of 40 bytes for each operation,
memory-mapped, so that a row costs two stores and no system call, and outlives its writer in the page cache. What few
operations have (when a lock was held, a digest, where a note is) is in rows of ``pNNNNNN.extra``, mapped as well, which
is there from the first such row on. ``pNNNNNN.notes`` holds what has no fixed size: messages, and the bytes that a
reader saw, as `stress.history.notes` encodes them. Blocks are allocated before they are mapped, so a full disk is an
error here (ENOSPC) and never a SIGBUS.

A row is there from before the call, as open; it counts from when the header's count of rows says so, and is done when
its return time, the last of it to be written and by one store, is there. Whenever a kill comes, it leaves one open row
at the most.
"""

from __future__ import annotations

import errno
import functools
import mmap
import os
import resource
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from stress.history.history import Columns
from stress.history.kinds import CHANGES, Kind, Language, Outcome
from stress.history.notes import Note, decode, encode, without_data
from stress.history.record import NO_VERSION, RECORD, version_of
from stress.history.recorder import Clock

T = TypeVar("T")

_HEADER = struct.Struct("<8s4i6q16s")
_FAMILY = b"STRESSJ"
_MAGIC = _FAMILY + b"4"
_HEADER_SIZE = 4096
_ROWS_AT = 32

_ROW = np.dtype(
    [
        ("invoke", "<i8"),
        ("parent", "<i8"),
        ("value", "<i8"),  # of a change the length of its padding: its version is its process and number; else: seen
        ("return", "<i8"),  # 0: open
        # These four are one number of 64 bits to who writes them: `row_of`.
        ("file", "<u2"),
        ("what", "u1"),  # kind in the lower four bits, in the upper the outcome, where that is not ok
        ("scenario", "u1"),
        ("extra", "<u4"),  # the row in the extras, from 1; 0: none
    ]
)
_EXTRA = np.dtype(
    [
        ("held_from", "<i8"),
        ("held_to", "<i8"),
        ("size", "<i8"),
        ("digest", "<i8"),
        ("note_at", "<i8"),
        ("note_size", "<i4"),
        ("reserved", "<i4"),
    ]
)
_PACK_ROW = struct.Struct("<5q")
_PACK_EXTRA = struct.Struct("<5qii")
_PACK_ONE = struct.Struct("<q")
_PARENT_AT, _VALUE_AT, _WHAT_AT, _EXTRA_AT = 8, 16, 34, 36
_EXTRA_BYTES = _EXTRA.itemsize
ROW_BYTES = _ROW.itemsize
"""What one operation takes in a journal, bytes; those with more to tell take a row of extras besides."""
assert (_PACK_ROW.size, _PACK_EXTRA.size) == (_ROW.itemsize, _EXTRA.itemsize), "packed and columns are the same bytes"
_OK = Outcome.OK
_IS_CHANGE = np.isin(np.arange(256), CHANGES)
# Bound once: an operation is recorded in half a microsecond, of which each look-up is a part.
_monotonic_ns = time.monotonic_ns
_pack_row = _PACK_ROW.pack_into
_pack_extra, _pack_link = _PACK_EXTRA.pack_into, struct.Struct("<I").pack_into
_pack_seen, _pack_done = struct.Struct("<3q").pack_into, struct.Struct("<2q").pack_into

_FIRST_CHUNK = 256 * 256
_LARGEST_CHUNK = 4 << 20
NOTES_BUDGET_BYTES = 64 << 20
"""Evidence that one process may keep; what comes after is counted, not kept."""

READY, RUNNING, FINISHED = 1, 2, 3
"""States of a process: at the start barrier, through it, come to its end by itself."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first page of a journal."""

    process: int
    worker: int
    language: Language
    state: int
    rows: int
    cpu_ns: int
    """CPU time that the process spent from the start barrier to its end; 0 if it did not come to an end."""
    cpu_harness_ns: int
    """The part of it outside of the operations under test."""
    cpu_before_ns: int
    """CPU time that it spent before, on getting ready."""
    woken_ns: int
    """When the start barrier let it through; 0: not yet."""


class OldJournal(ValueError):
    """A journal of another version of this package; the message says which, and what would do."""


class Journal:
    """The writing side; used by one process only. ``state`` and CPU times are for the harness to look at."""

    def __init__(self, folder: str, process: int, worker: int, language: Language) -> None:
        self._base = os.path.join(folder, f"p{process:06}")
        self.process = process
        self.rows = 0
        self.clock: Clock = _monotonic_ns
        self.state = 0
        self.cpu_before_ns = 0
        self.woken_ns = 0
        self.cpu_ns = 0
        self.cpu_harness_ns = 0
        self._identity = (process, worker, language, 0)  # the last is not used
        self._label = language.label.encode("ascii")
        self._fd = os.open(self._base + ".ops", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._notes_fd = os.open(self._base + ".notes", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._notes_size = 0
        self._extra_fd = -1
        self._extra: mmap.mmap | None = None
        self._extra_size = 0
        self._extras = 0
        self._size = 0
        self._at = _HEADER_SIZE - ROW_BYTES
        self._last = 0
        self._counted: memoryview[int]
        self._map = self._grow(_FIRST_CHUNK)
        self.write_header()

    def write_header(self, *, state: int | None = None) -> None:
        """Store the header, with a new ``state`` if one is given."""
        if state is not None:
            self.state = state
        _HEADER.pack_into(
            self._map,
            0,
            _MAGIC,
            *self._identity,
            self.state,
            self.rows,
            self.cpu_ns,
            self.cpu_harness_ns,
            self.cpu_before_ns,
            self.woken_ns,
            self._label,
        )

    def invoke(self, row: int, value: int = NO_VERSION, /) -> int:
        """Open a row, just before the call; returns the time that it bears, ns.

        ``row`` is `row_of` the operation's kind, file and scenario. ``value`` is the length of a change's padding,
        bytes. The version of a change is the process's next, `version_of` (process, rows + 1), and is not stored.
        """
        at = self._at = self._at + ROW_BYTES
        if at > self._last:
            self._map = self._grow(min(max(self._size, _FIRST_CHUNK), _LARGEST_CHUNK))
        now = _monotonic_ns()
        _pack_row(self._map, at, now, NO_VERSION, value, 0, row)
        self._counted[0] = self.rows = self.rows + 1  # only now does the row count
        return now

    def record_parent(self, parent: int) -> None:
        """Store what an update started from as soon as it is known: it must survive a kill in the write."""
        at = self._at + _PARENT_AT
        self._map[at : at + 8] = _PACK_ONE.pack(parent)  # one store: packing into the map would first put zeros there

    def attach(
        self, *, size: int = -1, digest: int = -1, held_from: int = 0, held_to: int = 0, note: Note | None = None
    ) -> None:
        """Store what few operations have, of the open row, before it is completed. Fields as in `RECORD`; a change's
        ``size`` is its row's, and the length of a whole document is not kept.
        """
        note_at, note_size = (-1, 0) if note is None else self._note(note)
        at = self._extras * _EXTRA_BYTES
        if self._extra is None or at + _EXTRA_BYTES > self._extra_size:
            self._extra = self._grow_extra()
        _pack_extra(self._extra, at, held_from, held_to, size, digest, note_at, note_size, 0)
        self._extras += 1
        _pack_link(self._map, self._at + _EXTRA_AT, self._extras)

    def complete(self, ret: int, outcome: Outcome, value: int, parent: int = NO_VERSION, /) -> None:
        """Close the open row; ``ret`` is the time just after the call, ns.

        ``value`` is what was seen, or the length of a change's padding; without a ``parent`` what `record_parent` said
        stands.
        """
        if outcome is not _OK:
            self._map[self._at + _WHAT_AT] |= outcome << 4
        # Packed in the order of the fields, so the time comes last: until then a kill leaves an open row.
        if parent == NO_VERSION:
            _pack_done(self._map, self._at + _VALUE_AT, value, ret)
        else:
            _pack_seen(self._map, self._at + _PARENT_AT, parent, value, ret)

    def open_extras(self) -> None:
        """Make the file of extras now, while that may be done."""
        self._extra = self._extra or self._grow_extra()

    def close(self) -> None:
        """Cut the file to its length and let go of it."""
        self._counted.release()
        self._map.close()
        _beyond_limit(lambda: os.ftruncate(self._fd, _HEADER_SIZE + self.rows * ROW_BYTES))
        os.close(self._fd)
        if self._extra is not None:
            self._extra.close()
            _beyond_limit(lambda: os.ftruncate(self._extra_fd, self._extras * _EXTRA_BYTES))
            os.close(self._extra_fd)
        os.close(self._notes_fd)

    def _grow(self, by: int) -> mmap.mmap:
        _beyond_limit(lambda: os.posix_fallocate(self._fd, self._size, by))
        if self._size:
            self._counted.release()
            self._map.close()
        self._size += by
        self._last = self._size - ROW_BYTES
        grown = mmap.mmap(self._fd, self._size)
        self._counted = memoryview(grown)[_ROWS_AT : _ROWS_AT + 8].cast("q")
        return grown

    def _grow_extra(self) -> mmap.mmap:
        if self._extra is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._extra_fd = os.open(self._base + ".extra", flags, 0o644)
        else:
            self._extra.close()
        by = min(max(self._extra_size, _FIRST_CHUNK // 4), _LARGEST_CHUNK)
        _beyond_limit(lambda: os.posix_fallocate(self._extra_fd, self._extra_size, by))
        self._extra_size += by
        return mmap.mmap(self._extra_fd, self._extra_size)

    def _note(self, note: Note) -> tuple[int, int]:
        blob = encode(note)
        if self._notes_size + len(blob) > NOTES_BUDGET_BYTES:
            blob = encode(without_data(note))
        at, done = self._notes_size, 0
        while done < len(blob):
            rest = blob[done:]
            done += _beyond_limit(functools.partial(os.write, self._notes_fd, rest))
        self._notes_size += len(blob)
        return at, len(blob)


def _beyond_limit(call: Callable[[], T]) -> T:
    """Do ``call``; where a file size limit is in its way (the fill nemesis sets one), lift the limit: evidence
    first.
    """
    try:
        return call()
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        return call()


def row_of(kind: Kind, file: int, scenario: int) -> int:
    """What `Journal.invoke` is told of an operation; the same for all of a kind, a file and a scenario."""
    return file | kind << 16 | scenario << 24


def read_header(fd: int) -> Header | None:
    """The header of the journal open as ``fd``; None while its process has not got that far. Raises `OldJournal`."""
    page = os.pread(fd, _HEADER.size, 0)
    if len(page) < _HEADER.size or not page.startswith(_MAGIC):
        if page.startswith(_FAMILY):
            theirs, ours = (magic[len(_FAMILY) : len(_MAGIC)].decode("ascii", "replace") for magic in (page, _MAGIC))
            raise OldJournal(f"its journals are of version {theirs}, and this stress reads version {ours}")
        return None
    _, process, worker, number, _, *numbers, label = _HEADER.unpack(page)
    # A foreign language's number is that of the process that wrote it; an older journal has no label.
    language = Language.named(label.rstrip(b"\0").decode("ascii")) if label[0] else Language(number)
    return Header(process, worker, language, *numbers)


def row_with_parent(fd: int) -> int:
    """The number of the open row of the journal open as ``fd``, if `Journal.record_parent` was called for it: its
    update has read and has not returned. 0: there is no such.
    """
    header = read_header(fd)
    rows = 0 if header is None else header.rows
    found = np.frombuffer(_rows_of(fd, max(0, rows - 1), rows), _ROW)
    return rows if ((found["return"] == 0) & (found["parent"] != NO_VERSION)).any() else 0


def read_rows(*paths: Path) -> Columns:
    """The rows of the journals at ``paths``, one journal after the other, with their extras; of a process that still
    runs, up to now.

    They are put to where they belong: a long run's rows are gigabytes, and are held once.
    """
    counts = []
    for path in paths:
        with path.open("rb") as file:
            header = read_header(file.fileno())
            held = max(0, os.fstat(file.fileno()).st_size - _HEADER_SIZE) // ROW_BYTES
            if header and held < header.rows:
                raise ValueError(f"{path.name} is cut off: it has {held:,} of {header.rows:,} rows")
            counts.append(header.rows if header else 0)
    ops, at = np.zeros(sum(counts), RECORD), 0
    for path, count in zip(paths, counts, strict=True):
        if count:
            at += _read_journal(path, ops[at : at + count])
    return ops[:at]


def _read_journal(path: Path, ops: Columns) -> int:
    """Fill ``ops`` with the first rows of a journal; how many whole ones there were."""
    with path.open("rb") as file:
        header = read_header(file.fileno())
        assert header is not None, "it had one a moment ago"
        found = np.frombuffer(_rows_of(file.fileno(), 0, len(ops)), _ROW)
    ops = ops[: len(found)]
    ops["process"], ops["language"] = header.process, header.language
    ops["seq"] = np.arange(1, len(found) + 1)
    _unpack(found, ops)
    chosen = np.flatnonzero(found["extra"])
    if len(chosen):
        with path.with_suffix(".extra").open("rb") as file:
            extras = np.fromfile(file, _EXTRA)
        if found["extra"].max() > len(extras):
            raise ValueError(f"{path.stem}.extra is cut off")
        rows = extras[found["extra"][chosen] - 1]
        for name in ("held_from", "held_to", "digest", "note_at", "note_size"):
            ops[name][chosen] = rows[name]
        seen = ~_IS_CHANGE[ops["kind"][chosen]]
        ops["size"][chosen[seen]] = rows["size"][seen]
    return len(found)


def read_more_rows(journals: Sequence[tuple[int, int]]) -> tuple[Columns, list[int]]:
    """What has been added to journals since the last look, without extras: ``journals`` are pairs of a descriptor and
    how many rows are known. One journal after the other; and how many there are of each.
    """
    blocks, heads = [], []
    for fd, known in journals:
        header = read_header(fd)
        block = b"" if header is None or header.rows <= known else _rows_of(fd, known, header.rows)
        blocks.append(block)
        heads.append((header.process, header.language, known) if header is not None and block else (0, 0, 0))
    counts = [len(block) // ROW_BYTES for block in blocks]
    found = np.frombuffer(b"".join(blocks), _ROW)
    ops = np.zeros(len(found), RECORD)
    ops["process"], ops["language"], before = np.repeat(np.array(heads, np.int64).reshape(-1, 3), counts, axis=0).T
    ops["seq"] = before + 1 + np.arange(len(found)) - np.repeat(np.cumsum(counts) - counts, counts)
    _unpack(found, ops)
    return ops, counts


def _rows_of(fd: int, first: int, after: int) -> bytes:
    """Whole rows as they are in the file."""
    content = os.pread(fd, (after - first) * ROW_BYTES, _HEADER_SIZE + first * ROW_BYTES)
    return content[: len(content) // ROW_BYTES * ROW_BYTES]


def _unpack(found: Columns, ops: Columns) -> None:
    """Rows of a file as columns, where process and number are there."""
    ops["kind"], outcome = found["what"] & 15, found["what"] >> 4
    outcome[outcome == 0] = Outcome.OK
    ops["outcome"] = np.where(found["return"] == 0, Outcome.OPEN, outcome)
    for name in ("invoke", "return", "parent", "file", "scenario"):
        ops[name] = found[name]
    change = _IS_CHANGE[ops["kind"]]
    ops["version"] = found["value"]
    ops["version"][change] = version_of(ops["process"][change].astype(np.int64), ops["seq"][change])
    ops["size"] = np.where(change, found["value"], -1)
    ops["digest"] = ops["note_at"] = -1


def pack_rows(ops: Columns) -> tuple[bytes, bytes]:
    """The inverse of `read_rows` for one process's rows, in order: what stands in ``.ops`` behind the header, and in
    ``.extra``. For histories that nobody recorded; of whole documents the size is not kept.
    """
    found = np.zeros(len(ops), _ROW)
    for name in ("invoke", "return", "parent", "file", "scenario"):
        found[name] = ops[name]
    found["what"] = ops["kind"] | np.where(ops["outcome"] == Outcome.OK, 0, ops["outcome"]) << 4
    found["value"] = np.where(_IS_CHANGE[ops["kind"]], ops["size"], ops["version"])
    chosen = np.flatnonzero((ops["held_from"] != 0) | (ops["digest"] >= 0) | (ops["note_at"] >= 0))
    found["extra"][chosen] = np.arange(1, len(chosen) + 1)
    extras = np.zeros(len(chosen), _EXTRA)
    for name in ("held_from", "held_to", "size", "digest", "note_at", "note_size"):
        extras[name] = ops[name][chosen]
    return found.tobytes(), extras.tobytes()


def read_note(folder: Path, process: int, at: int, size: int) -> Note:
    """One note of a journal."""
    # One read and no buffer: a long run's backups and reads of logs have a million notes.
    fd = os.open(folder / f"p{process:06}.notes", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return decode(os.pread(fd, size, at))
    finally:
        os.close(fd)
