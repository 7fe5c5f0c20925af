"""What single reads of a log saw, replayed from the last read of the same process that found a prefix of the final log.

A process notes with each read only what is new to it (`LogDelta`). What it saw at one of them follows from all of its
reads before; but one of those that found a prefix is known from the final log, so the replay starts there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stress.checkers._columns import Rows, grouping, segment_starts
from stress.checkers._log.append_order import Log
from stress.history.history import History
from stress.history.notes import LogDelta
from stress.history.record import ABSENT, Kind, Outcome


@dataclass(slots=True)
class ReplayedRead:
    """What was seen: the first ``shared`` bytes of the final log, and then ``rest``."""

    row: int
    shared: int
    rest: bytes
    known: bool = True
    """False once bytes were seen that were not kept."""


def replay_reads(history: History, log: Log, index: int, wanted: Rows) -> Iterator[ReplayedRead]:
    """What the reads ``wanted`` saw, process by process and in order of time."""
    ops = history.ops
    rows = history.rows(index, Kind.READ, Kind.OBSERVE, Kind.RECOVER, outcome=Outcome.OK)
    rows = rows[ops["version"][rows] != ABSENT]  # these change nothing of what their process saw last
    rows = rows[np.isin(ops["process"][rows], np.unique(ops["process"][wanted]))]
    rows = rows[grouping(ops["process"][rows])]
    if not len(rows):
        return
    starts = segment_starts(ops["process"][rows])
    is_wanted, plain = np.isin(rows, wanted), np.isin(rows, log.prefix_reads)
    # Needed are those between a wanted read and the last one before it that found a prefix.
    places = np.arange(len(rows))
    behind = np.minimum.accumulate(np.where(is_wanted, places, len(rows))[::-1])[::-1]
    stop = np.minimum.accumulate(np.where(np.append(starts[1:], True) | plain, places, len(rows))[::-1])[::-1]
    needed = np.flatnonzero(~plain & (behind <= stop))
    read = ReplayedRead(-1, 0, b"")
    for place in needed.tolist():
        if starts[place]:
            read = ReplayedRead(-1, 0, b"")
        elif plain[place - 1]:
            read = ReplayedRead(-1, int(ops["size"][rows[place - 1]]), b"")
        _replay(history, int(rows[place]), read)
        if is_wanted[place]:
            yield read


def _replay(history: History, row: int, read: ReplayedRead) -> None:
    """Change ``read`` to what its process saw next, at ``row``."""
    read.row = row
    delta = history.note(row)
    if not isinstance(delta, LogDelta):
        return
    known = read.known or delta.keep == 0
    if delta.keep <= read.shared:
        read.shared, read.rest = delta.keep, delta.data
    else:
        read.rest = read.rest[: delta.keep - read.shared] + delta.data
    read.known = known and read.shared + len(read.rest) == history.ops["size"][row]  # else not all was kept
