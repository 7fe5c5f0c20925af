"""The order of a log's appends and reads, from the places that their records have in its final content.

Every record is unique, so the final content tells the place of each append; a read that found a prefix of it stands
behind the last record of that prefix. `overtaken` then compares these places with real time: one sweep over the
returns, O(n log n).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stress.checkers._columns import Flags, Ints, Rows, VersionIndex, running_argmax
from stress.checkers._register.clusters import FINAL, FIRST, LAST
from stress.history.history import FileFacts, History
from stress.history.kinds import Kind, Outcome
from stress.history.record import ABSENT, GARBAGE
from stress.workload.log_replay import content_seen, records_of

_PRE_MADE = 1 << 32
"""Versions below this are of no process of the run: they were in the log before it."""


@dataclass(frozen=True)
class Log:
    """A log with its appends and reads, each at its place in ``content``: the final content, or, while a run is under
    way, the longest that was read.
    """

    facts: FileFacts
    content: bytes
    torn: list[tuple[int, int]]
    """Spans of the content that belong to no record."""
    ends: Ints
    """The offsets at which the records before the first such span end."""
    at: int
    """When ``content`` was read, ns."""
    tokens: Ints
    """The versions of its records, in order."""
    append: Ints
    """For each of these, which of ``rows`` appended it; -1: none."""
    rows: Rows
    """The appends, in order of invocation."""
    version: Ints
    invoke: Ints
    ret: Ints
    outcome: NDArray[np.uint8]
    place: Ints
    """Of each append, the place of its record in ``content`` (of several the first); -1: not there."""
    prefix_reads: Rows
    """Reads that found a prefix of ``content``."""
    length: Ints
    """How many records each of them found."""
    non_prefix: Rows
    """Reads of whole records that are no prefix of ``content``."""
    garbled: Rows
    """Reads that found bytes which belong to no whole record."""

    def pre_made(self, tokens: Ints) -> Flags:
        """Which versions were in the log before the run."""
        return (tokens >= 0) & (tokens < _PRE_MADE) & (self.facts.initial != ABSENT)


def log_of(history: History, index: int) -> Log | None:
    """The log with the number ``index``; None where neither its final content nor a read of it is known."""
    facts, ops = history.files[index], history.ops
    seen = history.rows(index, Kind.READ, Kind.OBSERVE, outcome=Outcome.OK)
    saw = ops["version"][seen]
    missing = saw == ABSENT
    reads = seen[(saw != GARBAGE) & ~missing]
    if history.final:
        content, at = history.final[index].content, LAST
    else:
        if not len(reads):
            return None
        longest = int(reads[np.argmax(ops["size"][reads])])
        if (seen_then := content_seen(history, longest)) is None:
            return None
        content, at = seen_then, int(ops["invoke"][longest])
    records = records_of(content)
    tokens = np.array(records.versions, np.int64)
    rows = history.rows(index, Kind.APPEND)
    version = ops["version"][rows]
    append = VersionIndex(version).find(tokens)
    place = np.full(len(rows), -1, np.int64)
    appended = np.flatnonzero(append >= 0)[::-1]
    place[append[appended]] = appended
    ends = np.array(records.ends, np.int64)
    if records.torn:
        ends = ends[ends <= records.torn[0][0]]
    length = _lengths(content, ends, ops["size"][reads], ops["digest"][reads])
    known, none = length >= 0, np.zeros(0, np.intp)
    empty = seen[missing] if facts.initial == ABSENT else none  # where a log had to be, `torn` misses it
    return Log(
        facts=facts,
        content=content,
        torn=records.torn,
        ends=ends,
        at=at,
        tokens=tokens,
        append=append,
        rows=rows,
        version=version,
        invoke=ops["invoke"][rows],
        ret=ops["return"][rows],
        outcome=ops["outcome"][rows],
        place=place,
        prefix_reads=np.append(reads[known], empty),
        length=np.append(length[known], np.zeros(len(empty), np.int64)),
        non_prefix=reads[~known],
        garbled=seen[saw == GARBAGE],
    )


def _lengths(content: bytes, ends: Ints, sizes: Ints, digests: Ints) -> Ints:
    """For each read, by its size and checksum, how many records of ``content`` it found; -1: it is no prefix.

    ``ends`` are the offsets at which the records before the first torn one end. One sweep over the content for all.
    """
    edges = np.append(0, ends)
    crcs = np.zeros(len(edges), np.int64)
    view, before, crc = memoryview(content), 0, 0
    for number, end in enumerate(ends.tolist(), 1):
        crcs[number] = crc = zlib.crc32(view[before:end], crc)
        before = end
    at = np.minimum(np.searchsorted(edges, sizes), len(edges) - 1)
    return np.where((edges[at] == sizes) & (crcs[at] == digests), at, -1)


@dataclass(frozen=True)
class Overtaken:
    """Pairs of operations, as rows (`FINAL` for what was there before the run): ``first`` had ended when ``second``
    began, and stands behind it all the same.
    """

    first: Rows
    second: Rows


def overtaken(history: History, log: Log) -> Overtaken:
    """The pairs that stand in an order which real time forbids."""
    ops = history.ops
    inside = np.flatnonzero(log.place >= 0)
    before = np.flatnonzero(log.pre_made(log.tokens) & (log.append < 0))
    # Record i is appended at 2 i + 1; a read of k records stands at 2 k, between its last and the one that follows.
    keys = np.concatenate([2 * log.place[inside] + 1, 2 * before + 1, 2 * log.length])
    edge = np.full(len(before), FIRST)
    invoke = np.concatenate([log.invoke[inside], edge, ops["invoke"][log.prefix_reads]])
    ret = np.concatenate([log.ret[inside], edge, ops["return"][log.prefix_reads]])
    rows = np.concatenate([log.rows[inside], np.full(len(before), FINAL, np.intp), log.prefix_reads])
    if not len(rows):
        return Overtaken(rows, rows)
    order = np.argsort(ret, kind="stable")
    top = order[running_argmax(keys[order])]
    ended = np.searchsorted(ret[order], invoke, side="left")
    ahead = top[np.maximum(ended - 1, 0)]
    bad = np.flatnonzero((ended > 0) & (keys[ahead] > keys))
    first, second = rows[ahead[bad]], rows[bad]
    # A process does one thing after the other, even where its clock says that they touch.
    own = np.lexsort((ops["seq"][log.rows[inside]], ops["process"][log.rows[inside]]))
    mine, places = log.rows[inside][own], log.place[inside][own]
    back = np.flatnonzero((ops["process"][mine[1:]] == ops["process"][mine[:-1]]) & (places[1:] < places[:-1]))
    fresh = ~np.isin(mine[back + 1], second)
    return Overtaken(np.append(first, mine[back][fresh]), np.append(second, mine[back + 1][fresh]))
