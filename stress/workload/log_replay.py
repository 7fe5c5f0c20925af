"""What each process saw of a log, replayed from the differences that were noted with its reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stress.history.history import History
from stress.history.kinds import Kind, Outcome
from stress.history.notes import LogDelta
from stress.history.record import ABSENT
from stress.workload.payload import parse_records


@dataclass(frozen=True, slots=True)
class Records:
    """A log's content: the versions of its whole records in order, and the spans of bytes that belong to none."""

    versions: list[int]
    ends: list[int]
    """The offsets at which these records end."""
    torn: list[tuple[int, int]]


def records_of(content: bytes) -> Records:
    """All whole records, also those behind a torn one."""
    versions, ends = parse_records(content)
    torn: list[tuple[int, int]] = []
    at = ends[-1] if ends else 0
    while at < len(content):
        start = at
        while (at := content.find(b"=== p", at + 1)) >= 0:
            more, there = parse_records(content, at)
            if more:
                versions += more
                ends += there
                torn.append((start, at))
                at = there[-1]
                break
        else:
            torn.append((start, len(content)))
            break
    return Records(versions, ends, torn)


@dataclass(slots=True)
class ReplayedRead:
    """What a read of a log saw: the first ``shared`` bytes of a content that is known, and then ``rest``, which goes on
    being changed: copy what is to be kept.
    """

    row: int
    shared: int
    rest: bytearray
    known: bool = True
    """False once bytes were seen that were not kept."""


def replay_reads(
    history: History, file: int, wanted: NDArray[np.intp], prefix_reads: NDArray[np.intp] | None = None
) -> Iterator[ReplayedRead]:
    """What the reads ``wanted`` (rows) of the log number ``file`` saw, process by process and in order of time.

    A process notes with each read only what is new to it (`LogDelta`), so all of its reads before have a part in it:
    but for those before one of ``prefix_reads``, rows of reads that found no more than the first bytes of the content
    that is known.
    """
    ops = history.ops
    rows = history.rows(file, Kind.READ, Kind.OBSERVE, Kind.RECOVER, outcome=Outcome.OK)
    rows = rows[ops["version"][rows] != ABSENT]  # these change nothing of what their process saw last
    process = ops["process"][rows]
    is_wanted, is_prefix = np.isin(rows, wanted), np.isin(rows, () if prefix_reads is None else prefix_reads)
    for each in np.unique(process[is_wanted]).tolist():
        own = np.flatnonzero(process == each)
        read, start = ReplayedRead(-1, 0, bytearray()), 0
        for stop in np.flatnonzero(is_wanted[own]).tolist():
            if len(found := np.flatnonzero(is_prefix[own[start:stop]])):
                start += int(found[-1]) + 1
                read = ReplayedRead(-1, int(ops["size"][rows[own[start - 1]]]), bytearray())
            for row in rows[own[start : stop + 1]].tolist():
                _replay(history, row, read)
            start = stop + 1
            yield read


def _replay(history: History, row: int, read: ReplayedRead) -> None:
    """Change ``read`` to what its process saw next, at ``row``."""
    read.row = row
    delta = history.note(row)
    if not isinstance(delta, LogDelta):
        return
    known = read.known or delta.keep == 0
    del read.rest[max(0, delta.keep - read.shared) :]
    read.shared = min(read.shared, delta.keep)
    read.rest += delta.data
    read.known = known and read.shared + len(read.rest) == history.ops["size"][row]  # else not all was kept


def content_seen(history: History, row: int) -> bytes | None:
    """What the read ``row`` of a log saw; None where it found no log, or where not all of it was kept."""
    read = next(replay_reads(history, int(history.ops["file"][row]), np.array([row])), None)
    return None if read is None or not read.known else bytes(read.rest)
