"""Small tools over columns: joining versions to their writes, and running extremes within segments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.intp]
"""Row numbers of a history."""

_SLACK = 1024
"""Places that a table may have beyond those which its versions account for: no more than they cost to fill."""


class VersionIndex:
    """Where each version stands in a column: an open-addressed join, since versions are (process, sequence) pairs.

    A table with a place for every sequence number of every process is about as long as the history is; it is
    several times faster than a search among sorted versions, which is the way out where numbers are sparse.
    """

    def __init__(self, versions: Ints) -> None:
        self._sorted: Ints | None = None
        self._size = len(versions)
        process, seq = versions >> 32, versions & 0xFFFFFFFF
        self._processes = int(process.max(initial=-1)) + 1
        if self._processes <= 16 * len(versions) + _SLACK and process.min(initial=0) >= 0:
            longest = np.zeros(self._processes, np.int64)
            np.maximum.at(longest, process, seq + 1)
            self._longest = longest
            self._first = np.cumsum(longest) - longest
            if longest.sum() <= 16 * len(versions) + _SLACK:
                self._table = np.full(int(longest.sum()), -1, np.int64)
                self._table[self._first[process] + seq] = np.arange(len(versions))
                return
        self._order = np.argsort(versions, kind="stable")
        self._sorted = versions[self._order]

    def find(self, versions: Ints) -> Ints:
        """The position of each version; -1 where it is not there."""
        if not self._size:
            return np.full(len(versions), -1, np.int64)
        if self._sorted is not None:
            at = np.minimum(np.searchsorted(self._sorted, versions), self._size - 1)
            return np.where(self._sorted[at] == versions, self._order[at], -1)
        process, seq = versions >> 32, versions & 0xFFFFFFFF
        known = (process >= 0) & (process < self._processes)
        process = np.where(known, process, 0)
        known &= seq < self._longest[process]
        return np.where(known, self._table[np.where(known, self._first[process] + seq, 0)], -1)


def grouping(labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """An order in which equal labels stand together, each group in the order that it had."""
    # numpy sorts 16-bit numbers by radix, in a time that is linear; processes and files are hardly ever more.
    if len(labels) and labels.min() >= 0 and labels.max() < 1 << 16:
        labels = labels.astype(np.uint16)
    return np.argsort(labels, kind="stable")


def among(column: NDArray[np.uint8], values: Iterable[int]) -> Flags:
    """Which of a column of small numbers are among ``values``."""
    table = np.zeros(256, np.bool_)
    table[list(values)] = True
    return table[column]


def running_argmax(values: Ints) -> Ints:
    """For each position, where the greatest value up to and including it stands (the last of equals)."""
    reached = np.maximum.accumulate(values) == values
    return np.maximum.accumulate(np.where(reached, np.arange(len(values)), 0))


def segment_starts(labels: NDArray[np.integer]) -> Flags:
    """Where a new segment begins in a column in which equal labels stand together."""
    starts = np.ones(len(labels), np.bool_)
    starts[1:] = labels[1:] != labels[:-1]
    return starts


def segmented_max_before(values: Ints, starts: Flags) -> tuple[Ints, Ints]:
    """For each position, the greatest value before it in its segment, and where that stands (-1: it is the first)."""
    if not len(values):
        return values, values
    # Ranks and not the values themselves: the number of the segment, times the count, goes in front of them.
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values))
    segment = np.cumsum(starts) - 1
    best = np.maximum.accumulate(segment * len(values) + ranks)
    at = np.full(len(values), -1, np.int64)
    at[1:] = order[best[:-1] % len(values)]
    at[starts] = -1
    return np.where(at < 0, np.iinfo(np.int64).min, values[at]), at
