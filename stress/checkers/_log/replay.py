"""What single looks at a log saw, rebuilt from the last look of the same process that found a beginning of the truth.

A process notes with each look only what was new to it. To know what it saw at one of them, all of its looks before
could be gone through; but where one of those found a beginning of the truth, the truth says what that was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stress.checkers._columns import grouping, segment_starts
from stress.checkers._log.append_order import Log, Rows
from stress.history.history import History
from stress.history.notes import LogDelta
from stress.history.record import ABSENT, Kind, Outcome

__all__ = ["ReplayedRead", "replay_reads"]


@dataclass(slots=True)
class ReplayedRead:
    """What was seen: the first ``shared`` bytes of the truth, and then ``rest``."""

    row: int
    shared: int
    rest: bytes
    known: bool = True
    """False once bytes were seen that were not kept."""


def replay_reads(history: History, log: Log, index: int, wanted: Rows) -> Iterator[ReplayedRead]:
    """What the looks ``wanted`` saw, process by process and in order of time."""
    ops = history.ops
    rows = history.rows(index, Kind.READ, Kind.OBSERVE, Kind.RECOVER, outcome=Outcome.OK)
    rows = rows[ops["version"][rows] != ABSENT]  # these change nothing of what their process saw last
    rows = rows[np.isin(ops["process"][rows], np.unique(ops["process"][wanted]))]
    rows = rows[grouping(ops["process"][rows])]
    if not len(rows):
        return
    starts = segment_starts(ops["process"][rows])
    is_wanted, plain = np.isin(rows, wanted), np.isin(rows, log.prefix_reads)
    # Needed is what stands between a wanted look and the last one before it that found a beginning of the truth.
    places = np.arange(len(rows))
    behind = np.minimum.accumulate(np.where(is_wanted, places, len(rows))[::-1])[::-1]
    stop = np.minimum.accumulate(np.where(np.append(starts[1:], True) | plain, places, len(rows))[::-1])[::-1]
    needed = np.flatnonzero(~plain & (behind <= stop))
    look = ReplayedRead(-1, 0, b"")
    for place in needed.tolist():
        if starts[place]:
            look = ReplayedRead(-1, 0, b"")
        elif plain[place - 1]:
            look = ReplayedRead(-1, int(ops["size"][rows[place - 1]]), b"")
        _look_again(history, int(rows[place]), look)
        if is_wanted[place]:
            yield look


def _look_again(history: History, row: int, look: ReplayedRead) -> None:
    """Change ``look`` to what its process saw next, at ``row``."""
    look.row = row
    delta = history.note(row)
    if not isinstance(delta, LogDelta):
        return
    known = look.known or delta.keep == 0
    if delta.keep <= look.shared:
        look.shared, look.rest = delta.keep, delta.data
    else:
        look.rest = look.rest[: delta.keep - look.shared] + delta.data
    look.known = known and look.shared + len(look.rest) == history.ops["size"][row]  # else not all was kept
