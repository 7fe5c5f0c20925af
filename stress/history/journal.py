"""The journal: what each process did, written before the call and after it, where a SIGKILL of the process can't
take it.

One process, two files. ``pNNNNNN.ops`` is a page of header and then rows of `RECORD`, memory-mapped, so that a row
costs two stores and no system call, and outlives its writer in the page cache. ``pNNNNNN.notes`` holds what has
no fixed size: messages, and the bytes that a reader saw. Blocks are allocated before they are mapped, so a full disk
is an error here (ENOSPC) and never a SIGBUS.
"""

from __future__ import annotations

import errno
import functools
import io
import mmap
import os
import resource
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from stress.history.history import Columns, Note
from stress.history.record import NO_VERSION, RECORD, Kind, Language, Outcome

__all__ = ["FINISHED", "READY", "RUNNING", "Header", "Journal", "read_header", "read_note", "read_rows", "read_rows_at"]

T = TypeVar("T")

_HEADER = struct.Struct("<8s4i7q")
_MAGIC = b"STRESSJ1"
_HEADER_SIZE = 4096
_ROW_SIZE = RECORD.itemsize
# The fields that invoke writes, up to and including `note_at`; those that complete writes, from `version` on.
_WHOLE = struct.Struct("<ii4Bi9qii")
_REST = struct.Struct("<9qi")
_OUTCOME_AT = 9
_VERSION_AT = 16
assert _WHOLE.size == _ROW_SIZE, "the packed row and the columns must be the same bytes"

_FIRST_CHUNK = 256 * 256
_LARGEST_CHUNK = 4 << 20
NOTES_BUDGET_BYTES = 64 << 20
"""Evidence that one process may keep; what comes after is counted, not kept."""

READY, RUNNING, FINISHED = 1, 2, 3
"""States of a process: at the gate, through it, come to its end by itself."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first page of a journal."""

    process: int
    worker: int
    language: Language
    writer: bool
    state: int
    rows: int
    cpu_ns: int
    """CPU time that the process spent from the gate to its end; 0 if it did not come to an end."""
    cpu_operations_ns: int
    """The part of it inside the operations under test."""
    cpu_before_ns: int
    """CPU time that it spent before, on getting ready."""


class Journal:
    """The writing side; used by one process only. ``state`` and CPU times are for the harness to look at."""

    def __init__(self, folder: str, process: int, worker: int, language: Language, *, writer: bool) -> None:
        self._base = str(Path(folder) / f"p{process:06}")
        self.process = process
        self.rows = 0
        self.state = 0
        self.cpu_before_ns = 0
        self.cpu_ns = 0
        self.cpu_operations_ns = 0
        self._identity = (process, worker, language, int(writer))
        self._language = int(language)
        self._fd = os.open(self._base + ".ops", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._notes_fd = os.open(self._base + ".notes", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._notes_size = 0
        self._size = 0
        self._at = 0
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
            self.cpu_operations_ns,
            self.cpu_before_ns,
            0,
            0,
        )

    def invoke(self, kind: Kind, file: int, scenario: int, version: int = NO_VERSION, size: int = -1) -> int:
        """Open a row, just before the call; returns the time that it bears, ns."""
        self.rows += 1
        at = _HEADER_SIZE + (self.rows - 1) * _ROW_SIZE
        if at + _ROW_SIZE > self._size:
            self._map = self._grow(min(max(self._size, _FIRST_CHUNK), _LARGEST_CHUNK))
        self._at = at
        now = time.monotonic_ns()
        _WHOLE.pack_into(
            self._map, at, self.process, self.rows, kind, Outcome.OPEN, self._language, scenario, file,
            version, NO_VERSION, now, 0, 0, 0, size, -1, -1, 0, 0,
        )  # fmt: skip
        struct.pack_into("<q", self._map, 32, self.rows)  # only now does the row count
        return now

    def know_parent(self, parent: int) -> None:
        """Store what an update started from as soon as it is known: it must survive a kill in the write."""
        struct.pack_into("<q", self._map, self._at + 24, parent)

    def complete(
        self,
        invoke: int,
        ret: int,
        outcome: Outcome,
        version: int,
        *,
        parent: int = NO_VERSION,
        size: int = -1,
        digest: int = -1,
        held_from: int = 0,
        held_to: int = 0,
        text: str = "",
        data: bytes = b"",
    ) -> None:
        """Close the open row; ``ret`` is the time just after the call, ns."""
        note_at, note_size = -1, 0
        if text or data:
            note_at, note_size = self._note(text, data)
        _REST.pack_into(
            self._map, self._at + _VERSION_AT, version, parent, invoke, ret, held_from, held_to, size, digest,
            note_at, note_size,
        )  # fmt: skip
        self._map[self._at + _OUTCOME_AT] = outcome  # last: until here a kill leaves an open row

    def close(self) -> None:
        """Cut the file to its length and let go of it."""
        self._map.close()
        _beyond_limit(lambda: os.ftruncate(self._fd, _HEADER_SIZE + self.rows * _ROW_SIZE))
        os.close(self._fd)
        os.close(self._notes_fd)

    def _grow(self, by: int) -> mmap.mmap:
        if self._size:
            self._map.close()
        _beyond_limit(lambda: os.posix_fallocate(self._fd, self._size, by))
        self._size += by
        return mmap.mmap(self._fd, self._size)

    def _note(self, text: str, data: bytes) -> tuple[int, int]:
        if self._notes_size + len(data) > NOTES_BUDGET_BYTES:
            text, data = f"{text}\nthe bytes seen ({len(data)}) were not kept: too many already", b""
        blob = text.encode("utf-8", "backslashreplace").replace(b"\0", b"?") + b"\0" + data
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


def read_header(fd: int) -> Header | None:
    """The header of the journal open as ``fd``; None while its process has not got that far."""
    page = os.pread(fd, _HEADER.size, 0)
    if len(page) < _HEADER.size or not page.startswith(_MAGIC):
        return None
    _, process, worker, language, writer, state, rows, cpu_ns, cpu_operations_ns, cpu_before_ns, *_ = _HEADER.unpack(
        page
    )
    return Header(
        process, worker, Language(language), bool(writer), state, rows, cpu_ns, cpu_operations_ns, cpu_before_ns
    )


def read_rows(*paths: Path) -> Columns:
    """The rows of the journals at ``paths``, one journal after the other; of a process that still runs, up to now.

    They are read to where they belong: a long run's rows are gigabytes, and are held once.
    """
    counts = []
    for path in paths:
        with path.open("rb") as file:
            header = read_header(file.fileno())
            held = max(0, os.fstat(file.fileno()).st_size - _HEADER_SIZE) // _ROW_SIZE
            counts.append(min(header.rows, held) if header else 0)
    rows = np.empty(sum(counts), RECORD)
    at = 0
    for path, count in zip(paths, counts, strict=True):
        if count:
            with path.open("rb", buffering=0) as file:
                file.seek(_HEADER_SIZE)
                at += _read_into(file, rows[at : at + count])
    return rows[:at]


def _read_into(file: io.FileIO, rows: Columns) -> int:
    """Fill ``rows`` from here on; how many whole ones there were."""
    room, done = rows.view(np.uint8).data, 0
    while got := file.readinto(room[done:]):
        done += got
    return done // _ROW_SIZE


def read_rows_at(fd: int, first: int, after: int) -> Columns:
    """Rows ``first`` to before ``after`` of the journal open as ``fd``."""
    content = os.pread(fd, (after - first) * _ROW_SIZE, _HEADER_SIZE + first * _ROW_SIZE)
    return np.frombuffer(content[: len(content) // _ROW_SIZE * _ROW_SIZE], RECORD)


def read_note(folder: Path, process: int, at: int, size: int) -> Note:
    """The words and the bytes of one note."""
    # One read and no buffer: a long run's backups and looks at logs have a million notes.
    fd = os.open(folder / f"p{process:06}.notes", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text, _, data = os.pread(fd, size, at).partition(b"\0")
    finally:
        os.close(fd)
    return text.decode("utf-8"), data
