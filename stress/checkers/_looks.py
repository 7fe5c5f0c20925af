"""Looks at a log that are no beginning of what it held in the end: what about each of them can't be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from stress.checkers._appended import Log
from stress.checkers._columns import VersionIndex
from stress.checkers._logs import View, views
from stress.history.history import History
from stress.history.record import Kind, Outcome
from stress.payload import parse_log

__all__ = ["Strange", "strange_looks"]

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
    done: set[tuple[int, int]] = set()
    for view in _all_views(history, index, {int(process) for process in np.unique(ops["process"][log.strange])}):
        what = int(ops["size"][view.row]), int(ops["digest"][view.row])
        if view.row not in strange or what in done:
            continue
        done.add(what)
        if not view.known:
            found.crossed.append((view.row, -1, -1))
            continue
        _take_apart(history, log, view, appends, ret, found)
        if len(done) >= EXAMINED_MAX:
            break
    return found


def _all_views(history: History, index: int, processes: set[int]) -> Iterator[View]:
    looks = history.rows(index, Kind.READ, Kind.OBSERVE, Kind.RECOVER, outcome=Outcome.OK)
    owner = history.ops["process"][looks]
    for process in sorted(processes):
        yield from views(history, looks[owner == process].tolist())


def _take_apart(
    history: History, log: Log, view: View, appends: VersionIndex, ret: np.ndarray[tuple[int], np.dtype[np.int64]],
    found: Strange,
) -> None:  # fmt: skip
    content = bytes(view.content)
    start, skipped = _same(content, log.content)
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
    values, counts = np.unique(np.append(tail, log.tokens[:skipped]), return_counts=True)
    for version in values[counts > 1].tolist():
        found.doubled.setdefault(version, view.row)
        flaws += 1
    invoke = int(history.ops["invoke"][view.row])
    missing = np.flatnonzero((ret[skipped:] < invoke) & ~np.isin(log.tokens[skipped:], tail)) + skipped
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


def _same(content: bytes, truth: bytes) -> tuple[int, int]:
    """Where the first record begins that the two do not share, and how many they do."""
    length = min(len(content), len(truth))
    differ = np.flatnonzero(
        np.frombuffer(content, np.uint8, length) != np.frombuffer(truth, np.uint8, length)
    )  # fmt: skip
    common = int(differ[0]) if len(differ) else length
    if common == len(content):
        versions, end = parse_log(content)
        return end, len(versions)
    if common == len(truth):  # what is behind all of the truth
        return common, len(parse_log(truth)[0])
    start = max(0, content.rfind(b"\n=== p", 0, common + 1) + 1)
    return start, len(parse_log(content[:start])[0])
