"""Interleaved updates: a version that stands between an update and the version that the update started from.

An update is atomic, so the versions of a chain (each made from the one before it) have to stand together. Algorithm:
each chain becomes one block, whose earliest return and latest invoke are those of its members; two blocks that conflict
(`stress.checkers._register.clusters`) are interleaved. Then the single version and the single link are sought that show
it. O(n log n), and a bounded search for what to show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.checkers._columns import Ints, Rows
from stress.checkers._register.chains import chains
from stress.checkers._register.clusters import LAST, conflict_after, conflicting
from stress.checkers._register.read_analysis import ReadAnalysis


@dataclass(frozen=True, slots=True)
class Interleaving:
    """An update that overwrote ``lost``, which has to stand between it and what it started from."""

    update: int
    """A cluster; -1 where several stand in several, and no single one can be blamed."""
    lost: int
    first: int
    """The cluster on the one side of the update's chain that shows that ``lost`` came after it."""
    last: int
    """The cluster on the other side that shows that ``lost`` came before it."""
    count: int
    sides: tuple[int, ...] = ()
    """Where no update is to blame: of the one chain the cluster that was there first and the one that was seen or made
    last, and the same two of the other."""


@dataclass(frozen=True, slots=True)
class _Blocks:
    members: Ints
    """Clusters, block by block, each from root to end."""
    starts: Rows
    """Where each block begins among them."""
    earliest_return: Ints
    latest_invoke: Ints

    def of(self, block: int) -> Ints:
        """The clusters of one block."""
        ends = self.starts[block + 1 : block + 2].tolist()
        return self.members[self.starts[block] : ends[0] if ends else None]


def interleavings(reads: ReadAnalysis, unlinked: Ints) -> Interleaving | None:
    """The earliest version that an update overwrote without having seen it; ``unlinked``: updates that are
    known to have started from nothing. None if there is none.

    Impossible reads are left out before: they have been reported, and would be blamed on an update here.
    """
    blocks, earliest, latest = _blocks(reads, unlinked)
    bound = conflict_after(blocks.earliest_return, blocks.latest_invoke)
    wrong = np.flatnonzero(blocks.latest_invoke > bound)
    if not len(wrong):
        return None
    count = max(1, len(wrong) - 1)
    for a in wrong[np.argsort(bound[wrong], kind="stable")][:100].tolist():
        b = conflicting(blocks.earliest_return, blocks.latest_invoke, a)
        for chain, rival in ((a, b), (b, a)):
            interleaved = _inside(blocks, earliest, latest, chain, rival, count)
            if interleaved is not None:
                return interleaved
    a = int(wrong[0])
    b = conflicting(blocks.earliest_return, blocks.latest_invoke, a)
    one, two = blocks.of(a), blocks.of(b)
    # Each of the two was there before the other was seen or made for the last time.
    sides = tuple(
        int(each)
        for block in (one, two)
        for each in (block[np.argmin(earliest[block])], block[np.argmax(latest[block])])
    )
    return Interleaving(-1, int(two[-1]), int(one[-1]), int(two[0]), count, sides)


def _blocks(reads: ReadAnalysis, unlinked: Ints) -> tuple[_Blocks, Ints, Ints]:
    """The blocks, and the earliest return and the latest invoke of each cluster.

    A block is a chain: all clusters that descend from one root, each made from its parent. A cluster in ``unlinked``
    is the root of a chain of its own. A block's earliest return is the least of its clusters', its latest invoke the
    greatest.
    """
    made, line = reads.made, reads.chains
    if len(unlinked):
        parent = line.parent.copy()
        parent[unlinked] = -1
        line = chains(parent, made.ret)
    earliest, latest = reads.clean_earliest_return, reads.clean_latest_invoke.copy()
    last, newer = reads.after_the_end()
    if last >= 0 and not len(newer):
        latest[last] = LAST
    members = np.lexsort((line.depth, line.root))
    starts = np.flatnonzero(line.depth[members] == 0)
    earliest_of_block = np.minimum.reduceat(earliest[members], starts)
    latest_of_block = np.maximum.reduceat(latest[members], starts)
    return _Blocks(members, starts, earliest_of_block, latest_of_block), earliest, latest


def _inside(blocks: _Blocks, earliest: Ints, latest: Ints, chain: int, rival: int, count: int) -> Interleaving | None:
    """A single version of ``rival`` inside a single link of ``chain``."""
    links, others = blocks.of(chain), blocks.of(rival)
    # Before the n-th link and the next something had been seen by the least return up to it; behind them something
    # began as late as the greatest invoke from there on. Both fall from link to link, so the links that have a version
    # between them are one stretch.
    before = np.minimum.accumulate(earliest[links])[:-1]
    behind = np.maximum.accumulate(latest[links][::-1])[::-1][1:]
    first = len(before) - np.searchsorted(before[::-1], latest[others])
    after = len(behind) - np.searchsorted(behind[::-1], earliest[others], side="right")
    found = np.flatnonzero(first < after)
    if not len(found):
        return None
    lost, at = int(others[found[0]]), int(first[found[0]]) + 1
    head, tail = links[:at], links[at:]
    first_at, last_at = head[np.argmin(earliest[head])], tail[np.argmax(latest[tail])]
    return Interleaving(int(links[at]), lost, int(first_at), int(last_at), count)
