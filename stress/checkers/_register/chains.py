"""Chains of updates: which version came from which, as a root and a depth for every version.

An atomic update of p to v leaves no room between them, so the versions of one chain stand together in every order
that explains a history. Pointer doubling (Wyllie 1979) finds roots and depths in O(n log n) without a loop over rows;
runs that are in order of return already, which in a correct history is nearly all of it, are contracted before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.checkers._columns import Flags, Ints, segment_starts, segmented_max_before


@dataclass(frozen=True)
class Chains:
    """Positions are those of the versions that were linked."""

    parent: Ints
    """Links that are in doubt (two children, cycles) cut: -1."""
    root: Ints
    depth: Ints
    branching: Flags
    """Versions from which two or more came."""
    cyclic: Flags
    """Versions whose line of parents comes back to them."""

    def in_order(self) -> tuple[Ints, Flags]:
        """The versions of chains of two and more, chain by chain from root to end, and where each chain begins."""
        linked = self.parent >= 0
        linked[self.parent[linked]] = True
        members = np.flatnonzero(linked)
        members = members[np.lexsort((self.depth[members], self.root[members]))]
        return members, segment_starts(self.root[members])

    def least_after(self, values: Ints) -> tuple[Ints, Ints]:
        """For each version, the least value among those that came after it in its chain, and which one has it (-1:
        none).
        """
        least = np.full(len(values), np.iinfo(np.int64).max)
        where = np.full(len(values), -1, np.int64)
        members, starts = self.in_order()
        if len(members):
            ends = np.append(starts[1:], True)[::-1]
            # Not negated: the least number has no opposite. ~x is -x - 1, and keeps the order reversed.
            most, at = segmented_max_before(~values[members][::-1], ends)
            found = at >= 0
            least[members[::-1][found]] = ~most[found]
            where[members[::-1][found]] = members[::-1][at[found]]
        return least, where


def chains(parent: Ints, ret: Ints) -> Chains:
    """Roots and depths from each version's parent (a position, or -1); ``ret``: by when each was written."""
    count = len(parent)
    has = parent >= 0
    children = np.bincount(parent[has], minlength=count) if count else np.zeros(0, np.int64)
    branching = children > 1
    parent = parent.copy()
    parent[has & branching[np.where(has, parent, 0)]] = -1
    root, depth, cyclic = _doubled(parent, ret)
    if cyclic.any():
        parent[cyclic] = -1
        root[cyclic], depth[cyclic] = np.flatnonzero(cyclic), 0
    return Chains(parent, root, depth, branching, cyclic)


def _doubled(parent: Ints, ret: Ints) -> tuple[Ints, Ints, Flags]:
    count = len(parent)
    order = np.argsort(ret, kind="stable")
    begins = np.ones(count, np.bool_)
    begins[1:] = (parent[order[1:]] != order[:-1]) | (parent[order[1:]] < 0)
    run_at = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    run = np.empty(count, np.int64)
    offset = np.empty(count, np.int64)
    run[order] = run_at
    offset[order] = np.arange(count) - first[run_at]
    head = order[first]
    above = parent[head]
    rooted = above < 0
    up = np.where(rooted, np.arange(len(head)), run[above])
    distance = np.where(rooted, 0, offset[above] + 1)
    for _ in range(len(head).bit_length() + 1):
        if rooted[up].all():
            break
        distance = distance + distance[up]
        up = up[up]
    cyclic = ~rooted[up]
    return head[up[run]], distance[run] + offset, cyclic[run]
