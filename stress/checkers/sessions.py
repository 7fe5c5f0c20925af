"""``sessions``: each process by itself sees time go forward: monotonic reads, and reads of its own writes.

The session guarantees of D. Terry et al., "Session guarantees for weakly consistent replicated data", PDIS 1994. A
version is older than another only where that is certain: its write had returned before the other's began, or the other
was made from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stress.anomalies import NON_MONOTONIC_READ, STALE_READ, Anomaly
from stress.checkers._columns import Flags, Ints, Rows, grouping, segment_starts, segmented_max_before
from stress.checkers._register.chains import Chains, chains
from stress.checkers._register.clusters import FIRST, Clusters, clusters_of
from stress.checkers._words import finding, span, who
from stress.checkers.registry import checker
from stress.history.history import History
from stress.result import Finding


@dataclass(frozen=True)
class _Sessions:
    """What each process knew of a document, in order: versions that it read, and that it wrote itself."""

    made: Clusters
    rows: Rows
    cluster: Ints
    own: Flags
    starts: Flags
    """Where the next process begins."""


@checker("sessions")
def sessions(history: History) -> Iterable[Finding]:
    """Reads of what the same process knew to be over."""
    for index, facts in history.files_for("sessions"):
        if not facts.form.is_document:
            continue
        known = _sessions(history, clusters_of(history, index))
        if len(known.rows):
            yield from _backwards(history, known)


def _sessions(history: History, made: Clusters) -> _Sessions:
    writes = np.flatnonzero(made.ok & (made.rows >= 0))
    reads = np.flatnonzero(made.read_rows >= 0)
    rows = np.concatenate([made.rows[writes], made.read_rows[reads]])
    cluster = np.concatenate([writes, made.read_of[reads]])
    own = np.arange(len(rows)) < len(writes)
    in_time = np.argsort(rows, kind="stable")  # two ascending columns are merged in a time that is linear
    process = history.ops["process"][rows[in_time]]
    by_process = grouping(process)
    order = in_time[by_process]
    starts = segment_starts(process[by_process].astype(np.int64))
    return _Sessions(made, rows[order], cluster[order], own[order], starts)


def _backwards(history: History, known: _Sessions) -> Iterator[Finding]:
    made, cluster = known.made, known.cluster
    began = made.invoke[cluster]
    newest, at = segmented_max_before(began, known.starts)
    stale = ~known.own & (at >= 0) & (made.ret[cluster] < newest) & (newest > FIRST)
    line: Chains = chains(np.maximum(made.parent, -1), made.ret)
    older = np.zeros(len(cluster), np.bool_)
    older[1:] = (line.root[cluster[1:]] == line.root[cluster[:-1]]) & (
        line.depth[cluster[1:]] < line.depth[cluster[:-1]]
    )
    older &= ~known.own & ~known.starts
    before = np.where(stale, at, np.arange(len(cluster)) - 1)
    wrong = np.flatnonzero(stale | older)
    for own, anomaly in ((False, NON_MONOTONIC_READ), (True, STALE_READ)):
        those = wrong[known.own[before[wrong]] == own]
        if len(those):
            first = int(those[np.argmin(known.rows[those])])
            yield _told(history, known, first, int(before[first]), anomaly, bool(stale[first]), len(those))


def _told(
    history: History, known: _Sessions, late: int, before: int, anomaly: Anomaly, timed: bool, count: int
) -> Finding:
    made = known.made
    old, new = int(known.cluster[late]), int(known.cluster[before])
    op, earlier = history.operation(int(known.rows[late])), history.operation(int(known.rows[before]))
    names = [history.names.seen(version) for version in (op.version, earlier.version)]
    if not timed:
        why = f"which {names[1]} was made from"
    elif old == 0:
        why = "as it was before the run"
    else:
        why = f"whose write had returned before that of {names[1]} began"
    message = (
        f"{who(history, op)} {'wrote' if known.own[before] else 'read'} {names[1]} at {span(history, earlier)}, and "
        f"then read the older {names[0]} at {span(history, op)}, {why}."
    )
    detail = (("expected", f"{names[1]} or a newer version"), ("seen", names[0]))
    rows = [known.rows[late], known.rows[before], made.rows[new], made.rows[old]]
    return finding(history, "sessions", anomaly, made.facts, message, rows, detail, count)
