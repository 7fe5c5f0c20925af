"""The versions of one document as clusters: each write with the reads that saw it (Gibbons & Korach 1997).

Every version is unique, so a read tells which write it saw, and whether a history of a register is linearizable is
decided in O(n log n): P. Gibbons and E. Korach, "Testing shared memories", SIAM J. Computing 26(4), 1997; zones as in
W. Golab, X. Li and M. Shah, "Analyzing consistency properties for fun and profit", PODC 2011. Intervals are closed and
all comparisons strict: operations that only touch are concurrent.

Let f(A) be the earliest return and s(A) the latest invoke of the operations of cluster A (`extremes`). Something in A
ended before something in B began iff f(A) < s(B): then A stands before B. Two clusters conflict iff each has to stand
before the other. (In terms of zones: two forward zones overlap, or a backward zone lies inside a forward one.) The
relation is a Ferrers relation, so where no two conflict there is no longer cycle either, and an order exists. That
holds for any f and s, so also for groups of clusters that must stand together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.checkers._columns import Flags, Ints, Rows, VersionIndex
from stress.history.history import FileFacts, History
from stress.history.kinds import Kind, Outcome
from stress.history.record import ABSENT, GARBAGE, NO_VERSION

FIRST, LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
FINAL = -1
"""In place of a row: the harness's own read of the file when every process had ended."""

# In place of the cluster of a parent:
UNKNOWN = -1  # there is none, or it could not be learnt
WITHOUT = -2  # an update that started from nothing: no file, or what was no document
FAILED = -3  # a version whose write certainly failed
PHANTOM = -4  # a version that nobody wrote
OWN = -5  # the very version that it made: it was done twice, and where it first started from is not known


@dataclass(frozen=True)
class Clusters:
    """Cluster 0 is the initial value (`FileFacts.root`), written before everything; the others are writes that took, or
    may have taken, effect. Writes that failed, and those of unknown outcome that nobody saw, are left out.
    """

    facts: FileFacts
    rows: Rows
    """Of the writes; `FINAL` for the initial value."""
    version: Ints
    invoke: Ints
    ret: Ints
    ok: Flags
    update: Flags
    parent: Ints
    """For updates: the cluster of the version they started from, or `UNKNOWN` and so on."""
    parent_version: Ints
    read_rows: Rows
    """Of the reads that saw one of the clusters' versions; last of all the final state, where it is one of them."""
    read_of: Ints
    """Which cluster each read saw."""
    read_invoke: Ints
    read_ret: Ints
    aborted: Rows
    """Rows of reads that saw a version whose write certainly failed."""
    phantom: Rows
    """Rows of reads that saw a version that nobody wrote."""
    final_state: int
    """Where the final state is no version of the history: its version; else `NO_VERSION`."""


def clusters_of(history: History, file: int, *extra: Kind) -> Clusters:
    """The clusters of a document; reads are reads and observations, and rows of the kinds ``extra``."""
    facts, ops = history.files[file], history.ops
    rows = history.rows(file, Kind.WRITE, Kind.UPDATE, Kind.READ, Kind.OBSERVE, *extra)
    kind, outcome, version = ops["kind"][rows], ops["outcome"][rows], ops["version"][rows]
    writing = (kind == Kind.WRITE) | (kind == Kind.UPDATE)
    failed = version[writing & (outcome == Outcome.FAIL)]
    made, seeing = writing & (outcome != Outcome.FAIL), ~writing & (outcome == Outcome.OK)
    seeing &= (version >= 0) | ((version == ABSENT) & (facts.root == ABSENT))
    # What was taken out of the rows once is not taken out of them again: they are many, and far apart.
    w, w_version, w_ok, w_update = rows[made], version[made], outcome[made] == Outcome.OK, kind[made] == Kind.UPDATE
    r, seen = rows[seeing], version[seeing]
    del rows, kind, outcome, version, writing, made, seeing

    index = VersionIndex(w_version)
    seen_parent, invoke, ret = ops["parent"][r], ops["invoke"][r], ops["return"][r]
    end = history.final[file] if history.final else None
    if end is not None and (end.version >= 0 or end.version == facts.root == ABSENT):
        r, seen, seen_parent = np.append(r, FINAL), np.append(seen, end.version), np.append(seen_parent, end.parent)
        invoke, ret = np.append(invoke, LAST), np.append(ret, LAST)
    read_at = index.find(seen)

    update, parent_version = w_update, ops["parent"][w]
    parent_version[~update] = NO_VERSION
    unlearnt = update & (parent_version == NO_VERSION)
    if unlearnt.any():  # the document itself tells, to whoever has seen it
        telling = (read_at >= 0) & (seen_parent != NO_VERSION)
        telling[telling] = unlearnt[read_at[telling]]
        parent_version[read_at[telling]] = seen_parent[telling]
    parent_at = index.find(parent_version)

    kept = _kept(w_ok, read_at, parent_at)
    place = np.full(len(w) + 1, -1, np.int64)  # the last place is what index -1 finds
    place[:-1][kept] = np.arange(1, kept.sum() + 1)
    w, update, parent_version = w[kept], update[kept], parent_version[kept]
    parent = place[parent_at[kept]]
    if (lost := update & (parent < 0)).any():
        parent[lost] = _no_cluster(parent_version[lost], facts.root, failed)
    parent[parent == np.arange(1, len(parent) + 1)] = OWN
    cluster = place[read_at]
    cluster[seen == facts.root] = 0
    known = cluster >= 0
    unknown = r[~known]
    is_aborted = np.isin(seen[~known], failed)
    final_unknown = len(unknown) > 0 and unknown[-1] == FINAL
    return Clusters(
        facts=facts,
        rows=np.append(FINAL, w),
        version=np.append(facts.root, w_version[kept]),
        invoke=np.append(FIRST, ops["invoke"][w]),
        ret=np.append(FIRST, ops["return"][w]),
        ok=np.append(True, w_ok[kept]),
        update=np.append(False, update),
        parent=np.append(UNKNOWN, parent),
        parent_version=np.append(NO_VERSION, parent_version),
        read_rows=r[known],
        read_of=cluster[known],
        read_invoke=invoke[known],
        read_ret=ret[known],
        aborted=unknown[is_aborted & (unknown != FINAL)],
        phantom=unknown[~is_aborted & (unknown != FINAL)],
        final_state=int(seen[~known][-1]) if final_unknown else NO_VERSION,
    )


def _kept(definite: Flags, read_at: Ints, parent_at: Ints) -> Flags:
    """The writes that took effect for certain: acknowledged, seen by a read, or built upon by one of those."""
    kept = definite.copy()
    kept[read_at[read_at >= 0]] = True
    front = np.flatnonzero(kept)
    while len(front):
        above = parent_at[front]
        above = above[above >= 0]
        front = np.unique(above[~kept[above]])
        kept[front] = True
    return kept


def _no_cluster(parents: Ints, initial: int, failed: Ints) -> Ints:
    made = np.full(len(parents), PHANTOM, np.int64)
    made[np.isin(parents, failed)] = FAILED
    made[(parents == ABSENT) | (parents == GARBAGE)] = WITHOUT
    made[(parents == initial) & (initial not in (GARBAGE, NO_VERSION))] = 0
    made[(parents == NO_VERSION) | ((parents == GARBAGE) & (initial == GARBAGE))] = UNKNOWN
    return made


def extremes(clusters: Clusters, reads: Flags) -> tuple[Ints, Ints]:
    """The earliest return and the latest invoke of every cluster, with these of its reads."""
    earliest_return, latest_invoke = clusters.ret.copy(), clusters.invoke.copy()
    np.minimum.at(earliest_return, clusters.read_of[reads], clusters.read_ret[reads])
    np.maximum.at(latest_invoke, clusters.read_of[reads], clusters.read_invoke[reads])
    return earliest_return, latest_invoke


def conflict_after(earliest_return: Ints, latest_invoke: Ints) -> Ints:
    """For each cluster A: the earliest return among all others that stand after A. What of A began later than that is
    in conflict.
    """
    order = np.argsort(latest_invoke, kind="stable")
    backwards = earliest_return[order[::-1]]
    least = np.append(LAST, np.minimum.accumulate(backwards))
    # The second least too, for an A that is itself the one with the least.
    second = np.append(LAST, np.minimum.accumulate(np.append(LAST, np.maximum(backwards[1:], least[1:-1]))))
    after = len(order) - np.searchsorted(latest_invoke[order], earliest_return, side="right")
    own = (earliest_return < latest_invoke) & (earliest_return == least[after])
    return np.where(own, second[after], least[after])


def conflicting(earliest_return: Ints, latest_invoke: Ints, a: int) -> int:
    """The cluster that A conflicts with the earliest; -1 if there is none."""
    behind = latest_invoke > earliest_return[a]
    behind[a] = False
    found = np.flatnonzero(behind & (earliest_return < latest_invoke[a]))
    return int(found[np.argmin(earliest_return[found])]) if len(found) else -1
