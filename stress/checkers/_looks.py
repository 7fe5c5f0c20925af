"""Looks at a log that are no beginning of what it held in the end: what about each of them can't be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from stress.checkers._appended import Log
from stress.checkers._columns import Ints, VersionIndex
from stress.checkers._logs import View, views
from stress.history.history import History
from stress.history.record import Kind, Outcome
from stress.payload import common_prefix, parse_log

__all__ = ["Strange", "strange_looks"]

_HEAD = re.compile(rb"^=== (?:p|initial)", re.M)

EXAMINED_MAX = 300
"""Different contents of one log that are taken apart."""


@dataclass
class Strange:
    """What was found. Rows of looks; appends by their place in `Log.rows`."""

    vanished: dict[int, int] = field(default_factory=dict)
    """Append → the first look that found a record which was gone later."""
    phantom: dict[int, int] = field(default_factory=dict)
    """Version → the first look that found a record that nobody appended, or whose append had failed."""
    doubled: dict[int, int] = field(default_factory=dict)
    """Version → the first look that found its record twice."""
    stale: list[tuple[int, int]] = field(default_factory=list)
    """(look, an append that had been acknowledged before, and whose record it did not find)."""
    crossed: list[tuple[int, int, int]] = field(default_factory=list)
    """(look, an append, another that stands before it in the look and after it in the end; -1: not seen at all)."""


def strange_looks(history: History, log: Log, index: int) -> Strange:
    """Take the strange looks apart."""
    found = Strange()
    if not len(log.strange):
        return found
    ops = history.ops
    strange = set(log.strange.tolist())
    appends = VersionIndex(log.version)
    ret = np.where(log.append >= 0, log.ret[log.append] if len(log.ret) else 0, np.iinfo(np.int64).min)
    heads = np.array([head.start() for head in _HEAD.finditer(log.content)], np.int64)
    done: set[tuple[int, int]] = set()
    for view in _all_views(history, index, {int(process) for process in np.unique(ops["process"][log.strange])}):
        what = int(ops["size"][view.row]), int(ops["digest"][view.row])
        if view.row not in strange or what in done:
            continue
        done.add(what)
        if not view.known:
            found.crossed.append((view.row, -1, -1))
            continue
        _take_apart(history, log, view, appends, ret, heads, found)
        if len(done) >= EXAMINED_MAX:
            break
    return found


def _all_views(history: History, index: int, processes: set[int]) -> Iterator[View]:
    looks = history.rows(index, Kind.READ, Kind.OBSERVE, Kind.RECOVER, outcome=Outcome.OK)
    owner = history.ops["process"][looks]
    for process in sorted(processes):
        yield from views(history, looks[owner == process].tolist())


def _take_apart(
    history: History, log: Log, view: View, appends: VersionIndex, ret: Ints, heads: Ints, found: Strange,
) -> None:  # fmt: skip
    content = bytes(view.content)
    start, skipped = _same(content, log, heads)
    tail = np.array(parse_log(content, start)[0], np.int64)
    append = appends.find(tail)
    written = (append >= 0) & (log.outcome[append] != Outcome.FAIL if len(log.outcome) else False)
    flaws = 0
    for version in tail[~written & ~log.pre_made(tail)].tolist():
        found.phantom.setdefault(version, view.row)
        flaws += 1
    places = np.where(append >= 0, log.place[append] if len(log.place) else -1, -1)
    for gone in append[written & (places < 0)].tolist():
        found.vanished.setdefault(gone, view.row)
        flaws += 1
    values, counts = np.unique(tail, return_counts=True)
    before = tail[
        ((places >= 0) & (places < skipped)) | (log.pre_made(tail) & np.isin(tail, log.tokens[:1]) & (skipped > 0))
    ]
    for version in np.union1d(values[counts > 1], before).tolist():
        found.doubled.setdefault(version, view.row)
        flaws += 1
    invoke = int(history.ops["invoke"][view.row])
    missing = np.flatnonzero(ret[skipped:] < invoke) + skipped
    missing = missing[~np.isin(log.tokens[missing], tail)]
    if len(missing):
        found.stale.append((view.row, int(log.append[missing[0]])))
        flaws += 1
    shared = np.flatnonzero(places >= 0)
    back = np.flatnonzero(places[shared[1:]] < places[shared[:-1]])
    if len(back):
        found.crossed.append((view.row, int(append[shared[back[0] + 1]]), int(append[shared[back[0]]])))
    elif not flaws:
        skip = int(log.append[skipped]) if skipped < len(log.append) else -1
        found.crossed.append((view.row, skip, -1))


def _same(content: bytes, log: Log, heads: Ints) -> tuple[int, int]:
    """Where the first record begins that a look and the truth do not share, and how many they do."""
    truth = log.content
    common = common_prefix(content, truth)
    if log.torn and common > log.torn[0][0]:
        versions, end = parse_log(content[:common])
        return end, len(versions)
    if common == len(content):
        before = max(0, int(np.searchsorted(heads, common)) - 1)
        versions, end = parse_log(content, int(heads[before]) if len(heads) else 0)
        return end, before + len(versions)
    # Behind all of the truth, or in the middle of a record: up to there the two are the same, record for record.
    start = common if common == len(truth) else max(0, content.rfind(b"\n=== p", 0, common + 1) + 1)
    return start, int(np.searchsorted(heads, start))
