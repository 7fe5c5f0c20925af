"""Reads of a log that are no prefix of its final content, each compared with it record by record.

What can be wrong with one: a record that is gone later, one that nobody appended, one that is there twice, one missing
although its append had been acknowledged before, or two in another order. Of reads with the same content one is taken,
and no more than `EXAMINED_MAX`. A read costs what differs in it, not the whole log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stress.checkers._columns import Ints, Rows, VersionIndex, grouping
from stress.checkers._log.append_order import Log
from stress.checkers._register.clusters import FIRST
from stress.history.history import History
from stress.history.kinds import Outcome
from stress.workload.log_replay import ReplayedRead, replay_reads
from stress.workload.payload import parse_log

EXAMINED_MAX = 300
"""Different contents of one log that are taken apart."""


@dataclass
class NonPrefixReads:
    """What is wrong with them. Reads are row numbers, appends are places in `Log.rows`."""

    vanished: dict[int, int] = field(default_factory=dict)
    """Append → the first read that found its record, which was gone later."""
    phantom: dict[int, int] = field(default_factory=dict)
    """Version → the first read that found its record, which nobody appended, or whose append had failed."""
    doubled: dict[int, int] = field(default_factory=dict)
    """Version → the first read that found its record twice."""
    stale: list[tuple[int, int]] = field(default_factory=list)
    """(read, an append that had been acknowledged before it, and whose record it did not find)."""
    crossed: list[tuple[int, int, int]] = field(default_factory=list)
    """(read, an append, another that stands before it in the read and behind it in the end; -1: not seen at all)."""


def find_non_prefix_reads(history: History, log: Log, index: int) -> NonPrefixReads:
    """Take the reads apart that are no prefix of the final log."""
    found = NonPrefixReads()
    if not len(log.non_prefix):
        return found
    final = _Final(history, log)
    for read in replay_reads(history, index, _different(history, log.non_prefix), log.prefix_reads):
        if read.known:
            _take_apart(final, read, found)
        else:
            found.crossed.append((read.row, -1, -1))
    return found


def _different(history: History, rows: Rows) -> Rows:
    """Of reads with different contents, one each, process by process; no more than are to be examined."""
    ops = history.ops
    rows = rows[grouping(ops["process"][rows])]
    what = ops["size"][rows] << 32 | ops["digest"][rows] & 0xFFFFFFFF
    firsts = np.sort(np.unique(what, return_index=True)[1])
    chosen: Rows = rows[firsts[:EXAMINED_MAX]]
    return chosen


class _Final:
    """The final content, indexed for comparisons."""

    def __init__(self, history: History, log: Log) -> None:
        self.history, self.log = history, log
        self.appends = VersionIndex(log.version)
        ret = np.where(log.append >= 0, log.ret[log.append] if len(log.ret) else 0, FIRST)
        self.ret: Ints = ret
        """By when each record of the log had been acknowledged."""
        self.least: Ints = np.minimum.accumulate(ret[::-1])[::-1]
        """Of each record and all behind it, the least of those."""
        order = np.argsort(log.tokens, kind="stable")
        again = order[1:][log.tokens[order[1:]] == log.tokens[order[:-1]]]
        self.doubled = int(again.min()) if len(again) else len(log.tokens) + 1
        """Which record is the first that was there before."""


def _take_apart(final: _Final, read: ReplayedRead, found: NonPrefixReads) -> None:
    log = final.log
    skipped, behind = _behind(log, read)
    tail = np.array(parse_log(behind)[0], np.int64)
    append = final.appends.find(tail)
    written = (append >= 0) & (log.outcome[append] != Outcome.FAIL if len(log.outcome) else False)
    flaws = 0
    for version in tail[~written & ~log.pre_made(tail)].tolist():
        found.phantom.setdefault(version, read.row)
        flaws += 1
    places = np.where(append >= 0, log.place[append] if len(log.place) else -1, -1)
    for gone in append[written & (places < 0)].tolist():
        found.vanished.setdefault(gone, read.row)
        flaws += 1
    values, counts = np.unique(tail, return_counts=True)
    twice = values[counts > 1].tolist()
    twice += tail[(places >= 0) & (places < skipped)].tolist()
    if (strangers := tail[append < 0]).size:
        twice += strangers[np.isin(strangers, log.tokens[:skipped])].tolist()
    for version in twice:
        found.doubled.setdefault(version, read.row)
        flaws += 1
    flaws += final.doubled <= skipped  # the next that the log holds may be the second of one that was seen
    invoke = int(final.history.ops["invoke"][read.row])
    # What is behind the last record that had been acknowledged by then need not be looked at.
    last = int(np.searchsorted(final.least, invoke, side="left"))
    missing = np.flatnonzero((final.ret[skipped:last] < invoke) & ~np.isin(log.tokens[skipped:last], tail)) + skipped
    if len(missing):
        found.stale.append((read.row, int(log.append[missing[0]])))
        flaws += 1
    shared = np.flatnonzero(places >= 0)
    back = np.flatnonzero(places[shared[1:]] < places[shared[:-1]])
    if len(back):
        found.crossed.append((read.row, int(append[shared[back[0] + 1]]), int(append[shared[back[0]]])))
    elif not flaws:
        skip = int(log.append[skipped]) if skipped < len(log.append) else -1
        found.crossed.append((read.row, skip, -1))


def _behind(log: Log, read: ReplayedRead) -> tuple[int, bytes]:
    """How many records at its beginning a read shares with the final content, and the bytes that it saw behind them."""
    there = log.content[read.shared : read.shared + len(read.rest)]
    length = len(there)
    differ = np.flatnonzero(np.frombuffer(there, np.uint8) != np.frombuffer(read.rest, np.uint8, length))
    common = read.shared + (int(differ[0]) if len(differ) else length)
    skipped = int(np.searchsorted(log.ends, common, side="right"))
    start = int(log.ends[skipped - 1]) if skipped else 0
    if start >= read.shared:
        return skipped, bytes(read.rest[start - read.shared :])
    return skipped, log.content[start : read.shared] + read.rest
