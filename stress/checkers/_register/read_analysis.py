"""Reads of a document that no order of its writes explains.

Input: the clusters of one document. Output: a flag for each read and each way to be impossible. ``register`` reports
them; ``updates`` leaves them out, so that nothing is reported twice. Updates count as plain writes here.

Algorithm: a version is certainly replaced when another, whose write began after the first was there, has been seen or
acknowledged; a read that begins later than that is stale. The conflicts that remain (`conflict_after`) are mutual: each
of two versions was seen after the other. O(n log n).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stress.checkers._columns import Flags, Ints, running_argmax
from stress.checkers._register.chains import Chains, chains
from stress.checkers._register.clusters import FINAL, LAST, Clusters, clusters_of, conflict_after, extremes
from stress.checkers._words import pick
from stress.history.history import History
from stress.history.kinds import Kind
from stress.history.record import NO_VERSION


class ReadAnalysis:
    """Clusters, and which of their reads are impossible. The reads that are left are linearizable, updates taken for
    plain writes.
    """

    def __init__(self, made: Clusters) -> None:
        self.made = made
        self.final: Flags = made.read_rows == FINAL
        self.early: Flags = made.read_ret < made.invoke[made.read_of]
        """Reads that returned before the write of what they saw was invoked."""
        self.clean_earliest_return, self.clean_latest_invoke = extremes(made, ~(self.early | self.final))
        """Of each cluster, without its impossible reads and without the final state."""
        self.earliest_return, self.latest_invoke = self.clean_earliest_return, self.clean_latest_invoke.copy()
        self.latest_invoke[made.read_of[self.final]] = LAST
        self.chains: Chains = chains(np.maximum(made.parent, -1), made.ret)
        self.child_bound, self.child = self.chains.least_after(self.earliest_return)
        """Of each cluster: by when a version made from it was there for certain, and the cluster of that one."""
        late = made.read_invoke > self.child_bound[made.read_of]
        self.stale_by_descendant: Flags = late & ~self.final & ~self.early
        """Reads of a version that were invoked when one made from it was there."""
        self.stale_by_write: Flags = np.zeros(len(made.read_rows), np.bool_)
        """Reads of a version that were invoked when one was there whose write had been invoked after it."""
        self.stale_mutual: Flags = self.stale_by_write.copy()
        """Reads of two versions each of which was seen after the other: not all of them can be right."""
        self.replaced_by: Ints = np.full(len(made.version), -1)
        """Of each cluster: the one that replaced it first; -1: none did."""
        # Where no two clusters conflict, no read came after what replaced it: nothing is left to be found out.
        bound = conflict_after(self.clean_earliest_return, self.clean_latest_invoke)
        if self.stale_by_descendant.any() or (self.clean_latest_invoke > bound).any():
            self._find_stale()

    @property
    def stale(self) -> Flags:
        """Reads that saw a version that was no more."""
        return self.stale_by_descendant | self.stale_by_write | self.stale_mutual

    def _find_stale(self) -> None:
        made = self.made
        order = np.argsort(made.invoke, kind="stable")
        later = np.searchsorted(made.invoke[order], self.earliest_return, side="right")
        returns, at = self.earliest_return[order][::-1], order[::-1]
        reached = running_argmax(~returns)  # not negated: the least number has no opposite
        has = later < len(order)
        self.replaced_by[has] = at[reached[len(order) - 1 - later[has]]]
        bound = np.where(has, self.earliest_return[self.replaced_by], LAST)
        self.stale_by_write = (made.read_invoke > bound[made.read_of]) & ~self.final & ~self.early
        left = ~(self.early | self.final | self.stale)
        self.clean_earliest_return, self.clean_latest_invoke = extremes(made, left)
        bound = conflict_after(self.clean_earliest_return, self.clean_latest_invoke)
        if (self.clean_latest_invoke > bound).any():
            self.stale_mutual = left & (made.read_invoke > bound[made.read_of])
            self.clean_earliest_return, self.clean_latest_invoke = extremes(made, left & ~self.stale_mutual)

    def after_the_end(self) -> tuple[int, Ints]:
        """The cluster of the final state, and those that stand after it all the same; -1 if it is none of the
        history's.
        """
        if not self.final.any():
            return -1, np.zeros(0, np.int64)
        last = int(self.made.read_of[self.final][0])
        behind = self.clean_latest_invoke > self.clean_earliest_return[last]
        line = self.chains.root == self.chains.root[last]
        behind[line] = self.chains.depth[line] > self.chains.depth[last]
        return last, np.flatnonzero(behind)

    def row_of(self, cluster: int) -> int:
        """The row of a cluster's write; `FINAL` for the initial value."""
        return int(self.made.rows[cluster])

    def first_observation(self, cluster: int) -> int:
        """The row of the operation of a cluster that ended first: by then its version was there."""
        made = self.made
        if made.ret[cluster] <= self.earliest_return[cluster]:
            return int(made.rows[cluster])
        first = (made.read_of == cluster) & (made.read_ret == self.earliest_return[cluster]) & ~self.early
        return int(made.read_rows[first][0])

    def last_observation(self, cluster: int) -> int:
        """The row of the operation of a cluster that began last, the final state aside."""
        made = self.made
        chosen = np.flatnonzero((made.read_of == cluster) & ~self.final & ~self.early)
        if not len(chosen) or made.read_invoke[chosen].max() <= made.invoke[cluster]:
            return int(made.rows[cluster])
        return int(made.read_rows[chosen[np.argmax(made.read_invoke[chosen])]])

    def proven(self, history: History, rows: Iterable[int | None]) -> list[int]:
        """Rows of a witness, and behind them what shows that they took effect, or what they came from.

        A write of unknown outcome may never have happened: only who saw it, or built upon it, shows that it did.
        And an update that does not say what it started from is told of by who saw it.
        """
        shown = pick(rows)
        for row in shown:  # which grows meanwhile
            at = np.flatnonzero(self.made.rows == row)
            if len(at) and (more := self._proof(history, int(at[0]), shown)) is not None:
                shown.append(more)
        return shown

    def _proof(self, history: History, cluster: int, shown: list[int]) -> int | None:
        made, ops = self.made, history.ops
        row = made.rows[cluster]
        observations = made.read_rows[made.read_of == cluster]
        proofs: list[int] = []
        if made.update[cluster] and ops["parent"][row] == NO_VERSION:
            told = (observations != FINAL) & (ops["parent"][observations] != NO_VERSION)
            proofs = observations[told].tolist()
        if not proofs and not made.ok[cluster]:
            children = made.parent == cluster
            proofs = np.append(observations, made.rows[children & made.ok]).tolist()
            proofs = proofs or made.rows[children & ~made.ok].tolist()
        return None if not proofs or FINAL in proofs or set(proofs) & set(shown) else int(proofs[0])


def analyse_reads(history: History, file: int, *extra: Kind) -> ReadAnalysis:
    """The clusters of a document and its impossible reads."""
    return ReadAnalysis(clusters_of(history, file, *extra))
