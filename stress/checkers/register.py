"""``register``: each document is a linearizable register (see `stress.checkers._clusters` for the theory and sources).

What makes an update atomic, that nothing comes between the version it read and the one it wrote, is checked by
``updates``, which shares the clusters; together the two are exact: they find something iff no order of the operations explains
the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from stress.checkers._chains import Chains, chains
from stress.checkers._clusters import FINAL, LAST, Clusters, clusters_of, conflict_after, conflicting, extremes
from stress.checkers._columns import Flags, Ints
from stress.checkers._words import counted, did, finding, moment, span, who
from stress.checkers.registry import checker
from stress.history.history import History
from stress.history.record import ABSENT, NO_VERSION, format_version
from stress.result import Finding

__all__ = ["Judged", "judge", "register"]


class Judged:
    """Clusters, with which of their reads can't be: each saw a version that was overwritten, or not there yet."""

    def __init__(self, made: Clusters) -> None:
        self.made = made
        self.f, self.s = extremes(made)
        self.bound = conflict_after(self.f, self.s)
        """Of each cluster: what began after this is too late."""
        self.late: Flags = made.read_invoke > self.bound[made.read_of]
        """Reads that saw a version after another, which stands after it, had been seen or acknowledged."""
        self.early: Flags = made.read_ret < made.invoke[made.read_of]
        """Reads that ended before the write of what they saw had begun."""
        self.chains: Chains = chains(np.maximum(made.parent, -1), made.ret)
        self.heir_bound, self.heir = self.chains.least_after(self.f)
        """Of each cluster: when one of those built upon it was there for certain, and which."""
        self.outlived: Flags = made.read_invoke > self.heir_bound[made.read_of]
        """Reads that saw a version after one that was built upon it was there."""

    def rival(self, cluster: int) -> int:
        """The cluster that makes reads of ``cluster`` late or outlived."""
        if self.heir_bound[cluster] < self.s[cluster]:
            return int(self.heir[cluster])
        return conflicting(self.f, self.s, cluster)


def judge(history: History, file: int) -> Judged:
    """The clusters of a document and its impossible reads."""
    return Judged(clusters_of(history, file))


@checker("register")
def register(history: History) -> Iterable[Finding]:
    """Stale, future, aborted and phantom reads of documents, and acknowledged writes that are gone at the end."""
    for index, facts in history.files_for("register"):
        if facts.form not in ("object", "list"):
            continue
        judged = judge(history, index)
        yield from _stale(history, judged)
        yield from _lost(history, judged)
        yield from _early(history, judged)
        yield from _strange(history, judged.made)


def first_of(rows: NDArray[np.intp], times: Ints) -> int:
    """The position of the one that came first."""
    return int(np.lexsort((rows, times))[0])


def earliest(judged: Judged, cluster: int) -> int:
    """The row of the operation of a cluster that ended first: that tells since when its version was there."""
    made = judged.made
    if made.ret[cluster] == judged.f[cluster]:
        return int(made.rows[cluster])
    reads = np.flatnonzero((made.read_of == cluster) & (made.read_ret == judged.f[cluster]))
    return int(made.read_rows[reads[0]])


def latest(judged: Judged, cluster: int) -> int:
    """The row of the operation of a cluster that began last: that tells until when its version was there."""
    made = judged.made
    if made.invoke[cluster] == judged.s[cluster]:
        return int(made.rows[cluster])
    reads = np.flatnonzero((made.read_of == cluster) & (made.read_invoke == judged.s[cluster]))
    return int(made.read_rows[reads[-1]])


def _stale(history: History, judged: Judged) -> Iterator[Finding]:
    made = judged.made
    stale = np.flatnonzero((judged.late | judged.outlived) & (made.read_rows != FINAL))
    if not len(stale):
        return
    read = stale[first_of(made.read_rows[stale], made.read_invoke[stale])]
    old, row = int(made.read_of[read]), int(made.read_rows[read])
    # The rival of this read, and not of the cluster's latest.
    new = int(judged.heir[old]) if judged.outlived[read] else conflicting(judged.f, _until(judged, old, row), old)
    op = history.operation(row)
    proof = history.operation(earliest(judged, new))
    saw = "no file, as at the start" if op.version == ABSENT else format_version(op.version)
    message = (
        f"{who(op)} read {saw} at {span(history, op)}, but {format_version(int(made.version[new]))} had replaced it "
        f"for certain by {moment(history, proof.ret)}: {did(history, proof)}."
    )
    rows = [row, earliest(judged, new), made.rows[new], made.rows[old], earliest(judged, old)]
    rows += [] if judged.outlived[read] else [latest(judged, new)]
    detail = [
        f"expected: {format_version(int(made.version[new]))} or something newer",
        f"seen:     {saw}",
        "order:    " + _order(history, judged, old, new, bool(judged.outlived[read])),
    ]
    yield finding(history, "register", "stale-read", made.facts, message, rows, detail, len(stale))


def _until(judged: Judged, cluster: int, row: int) -> Ints:
    """``s`` as it is where ``row`` is the last read of ``cluster``."""
    s = judged.s.copy()
    s[cluster] = judged.made.read_invoke[judged.made.read_rows == row][0]
    return s


def _order(history: History, judged: Judged, old: int, new: int, chained: bool) -> str:
    """Why ``new`` stands after ``old``."""
    made = judged.made
    names = format_version(int(made.version[old])), format_version(int(made.version[new]))
    if chained:
        return f"{names[1]} was made from {names[0]}, by {judged.chains.depth[new] - judged.chains.depth[old]} update(s)"
    if old == 0:
        return f"{names[0]} is what the file held before the run"
    ended, began = history.operation(earliest(judged, old)), history.operation(latest(judged, new))
    return (
        f"{names[0]} was there by {moment(history, ended.ret)} ({who(ended)}), before {who(began)} began at "
        f"{moment(history, began.invoke)} and found or wrote {names[1]}"
    )


def _lost(history: History, judged: Judged) -> Iterator[Finding]:
    """The final state is older than a blind write that was acknowledged; of updates, ``updates`` tells."""
    made = judged.made
    final = np.flatnonzero((made.read_rows == FINAL) & judged.late)
    if not len(final):
        return
    old = int(made.read_of[final[0]])
    f, s = judged.f, judged.s
    newer = np.flatnonzero((s > f[old]) & (f < LAST) & (made.parent < 0) & made.ok)
    newer = newer[(newer != old) & (newer != 0)]
    if not len(newer):
        return
    last = int(newer[np.argmax(made.invoke[newer])])
    op = history.operation(int(made.rows[last]))
    left = "there is no file" if made.version[old] == ABSENT else f"the file holds {format_version(int(made.version[old]))}"
    message = (
        f"{did(history, op)} and it was acknowledged, but when all had ended {left}, which "
        f"{'it held before the run' if old == 0 else f'was there by {moment(history, int(f[old]))} already'}."
    )
    detail = [f"expected: {format_version(op.version)} or something newer", f"seen:     {left}"]
    rows = [made.rows[last], made.rows[old], earliest(judged, old)]
    yield finding(history, "register", "lost-write", made.facts, message, rows, detail, len(newer))


def _early(history: History, judged: Judged) -> Iterator[Finding]:
    made = judged.made
    early = np.flatnonzero(judged.early & (made.read_rows != FINAL))
    if not len(early):
        return
    read = early[first_of(made.read_rows[early], made.read_invoke[early])]
    row, write = int(made.read_rows[read]), int(made.rows[made.read_of[read]])
    op, writing = history.operation(row), history.operation(write)
    message = (
        f"{who(op)} read {format_version(op.version)} at {span(history, op)}, before {who(writing)} had begun to write "
        f"it at {moment(history, writing.invoke)}."
    )
    yield finding(history, "register", "future-read", made.facts, message, [row, write], count=len(early))


def _strange(history: History, made: Clusters) -> Iterator[Finding]:
    """Reads of versions whose write failed, or that nobody wrote."""
    facts = made.facts
    if len(made.aborted):
        row = int(made.aborted[0])
        op = history.operation(row)
        file_rows = history.rows(history.files.index(facts))
        same = file_rows[history.ops["version"][file_rows] == op.version]
        failed = [int(other) for other in same if history.operation(int(other)).outcome.label == "fail"][:1]
        message = f"{did(history, op)}, whose write had certainly failed" + (
            f": {did(history, history.operation(failed[0]))}." if failed else "."
        )
        yield finding(
            history, "register", "aborted-read", facts, message, [row, *failed], count=len(made.aborted)
        )  # fmt: skip
    if len(made.phantom) and history.final:
        row = int(made.phantom[0])
        op = history.operation(row)
        message = f"{did(history, op)}: a whole document, of a version that nobody wrote to this file in this run."
        yield finding(history, "register", "phantom-read", facts, message, [row], count=len(made.phantom))
    if made.final_state != NO_VERSION:
        yield _strange_end(history, made)


def _strange_end(history: History, made: Clusters) -> Finding:
    version = made.final_state
    rows = history.rows(history.files.index(made.facts))
    written = rows[(history.ops["version"][rows] == version)][:1]
    name = format_version(version)
    if len(written):
        message = f"when all had ended the file held {name}, whose write had certainly failed."
        return finding(history, "register", "aborted-read", made.facts, message, written)
    message = f"when all had ended the file held {name}, a version that nobody wrote to it in this run."
    return finding(history, "register", "phantom-read", made.facts, message)


def summary(judged: Judged) -> str:
    """How many versions and reads there were, for detail lines."""
    made = judged.made
    return f"{counted(len(made.rows) - 1, 'version')} and {counted(len(made.read_rows), 'read')} in all"
