"""``register``: each document is a linearizable register. Theory and sources: `stress.checkers._register.clusters`.

That nothing stands between the version that an update read and the one that it wrote is checked by ``updates``, over
the same clusters. The two are exact: they find something iff no order of the operations explains the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from stress.anomalies import ABORTED_READ, FUTURE_READ, LOST_WRITE, PHANTOM_READ, STALE_READ
from stress.checkers._register.clusters import FINAL, Clusters
from stress.checkers._register.read_analysis import ReadAnalysis, analyse_reads
from stress.checkers._words import did, finding, moment, span, who
from stress.checkers.registry import checker
from stress.history.history import History
from stress.history.kinds import Outcome
from stress.history.record import ABSENT, NO_VERSION
from stress.result import Finding


@checker("register")
def register(history: History) -> Iterable[Finding]:
    """Stale, future, aborted and phantom reads of documents, and acknowledged writes that are gone at the end."""
    for index, facts in history.files_for("register"):
        if not facts.form.is_document:
            continue
        reads = analyse_reads(history, index)
        yield from _stale(history, reads)
        yield from _lost(history, reads)
        yield from _early(history, reads)
        yield from _aborted(history, reads.made, index)
        yield from _phantom(history, reads.made, index)


def _stale(history: History, reads: ReadAnalysis) -> Iterator[Finding]:
    made = reads.made
    stale = np.flatnonzero(reads.stale)
    if not len(stale):
        return
    certain = stale[(reads.stale_by_write | reads.stale_by_descendant)[stale]]
    chosen = certain if len(certain) else stale
    # The earliest: what comes after it may be no more than its consequence. Of those that only contradict each other,
    # the last seen: the others were not wrong yet.
    at = np.argmin(made.read_invoke[chosen]) if len(certain) else np.argmax(made.read_invoke[chosen])
    read = int(chosen[at])
    old, row = int(made.read_of[read]), int(made.read_rows[read])
    if reads.stale_by_descendant[read]:
        new, why = int(reads.child[old]), "was made from it"
    elif reads.stale_by_write[read]:
        new, why = int(reads.replaced_by[old]), "was written after it was there"
    else:
        new, why = _other(reads, old, int(made.read_invoke[read])), "had been seen after it"
    op, proof = history.operation(row), history.operation(reads.first_observation(new))
    saw = history.names.seen(op.version) + (", as at the start" if op.version == ABSENT else "")
    newer = history.names.version(int(made.version[new]))
    message = (
        f"{who(history, op)} read {saw} at {span(history, op)}, but {newer}, which {why}, was in its place by "
        f"{moment(history, proof.ret)}: {did(history, proof)}."
    )
    rows = [row, reads.first_observation(new), made.rows[new], made.rows[old], reads.first_observation(old)]
    if not (reads.stale_by_write[read] or reads.stale_by_descendant[read]):
        rows.append(reads.last_observation(new))
    detail = (("expected", f"{newer} or a newer version"), ("seen", saw))
    yield finding(history, "register", STALE_READ, made.facts, message, reads.proven(history, rows), detail, len(stale))


def _other(reads: ReadAnalysis, old: int, invoke: int) -> int:
    """The cluster with which ``old`` can't be put in an order."""
    behind = (reads.latest_invoke > reads.earliest_return[old]) & (reads.earliest_return < invoke)
    behind[[0, old]] = False
    found = np.flatnonzero(behind)
    return int(found[np.argmin(reads.earliest_return[found])]) if len(found) else old


def _lost(history: History, reads: ReadAnalysis) -> Iterator[Finding]:
    """The final state is older than a blind write; of updates that are gone, ``updates`` tells."""
    made = reads.made
    old, newer = reads.after_the_end()
    newer = newer[made.parent[newer] < 0]
    if not len(newer):
        return
    acknowledged = newer[made.ok[newer]]
    chosen = acknowledged if len(acknowledged) else newer
    last = int(chosen[np.argmax(made.invoke[chosen])])
    op = history.operation(int(made.rows[last]))
    name = history.names.version(int(made.version[old]))
    left = "there was no file" if made.version[old] == ABSENT else f"the file held {name}"
    by = moment(history, int(reads.earliest_return[old]))
    since = "as before the run" if old == 0 else f"which was there by {by} already"
    known = "and it was acknowledged" if op.outcome is Outcome.OK else "and it was seen"
    message = f"{did(history, op)} {known}, but when all had ended {left}, {since}."
    detail = (("expected", f"{history.names.version(op.version)} or a newer version"), ("seen", left))
    rows = [made.rows[last], made.rows[old], reads.first_observation(old), reads.last_observation(last)]
    yield finding(history, "register", LOST_WRITE, made.facts, message, reads.proven(history, rows), detail, len(newer))


def _early(history: History, reads: ReadAnalysis) -> Iterator[Finding]:
    made = reads.made
    early = np.flatnonzero(reads.early)
    if not len(early):
        return
    read = int(early[np.argmin(made.read_invoke[early])])
    row, write = int(made.read_rows[read]), int(made.rows[made.read_of[read]])
    op, writing = history.operation(row), history.operation(write)
    message = (
        f"{who(history, op)} read {history.names.version(op.version)} at {span(history, op)}, before "
        f"{who(history, writing)} had begun to write it at {moment(history, writing.invoke)}."
    )
    shown = reads.proven(history, [row, write])
    yield finding(history, "register", FUTURE_READ, made.facts, message, shown, count=len(early))


def _aborted(history: History, made: Clusters, index: int) -> Iterator[Finding]:
    """Versions that were seen although their write had certainly failed."""
    ends = made.final_state != NO_VERSION and len(_failed(history, index, made.final_state)) > 0
    if not len(made.aborted) and not ends:
        return
    if len(made.aborted):
        row = int(made.aborted[0])
        op = history.operation(row)
        failed = _failed(history, index, op.version)
        said, rows = did(history, op), [row, *failed]
    else:
        failed = rows = _failed(history, index, made.final_state)
        said = f"When all had ended the file held {history.names.version(made.final_state)}"
    message = f"{said}, but that write had failed for certain: {did(history, history.operation(failed[0]))}."
    count = len(made.aborted) + ends
    yield finding(history, "register", ABORTED_READ, made.facts, message, rows, count=count)


def _failed(history: History, index: int, version: int) -> list[int]:
    rows, ops = history.rows(index), history.ops
    return [int(row) for row in rows[(ops["version"][rows] == version) & (ops["outcome"][rows] == Outcome.FAIL)][:1]]


def _phantom(history: History, made: Clusters, index: int) -> Iterator[Finding]:
    ends = made.final_state != NO_VERSION and not _failed(history, index, made.final_state)
    # While a run is under way, what was read may have been written by an operation that is not in the history yet.
    reads = made.phantom[made.phantom != FINAL] if history.final else made.phantom[:0]
    if len(reads):
        op = history.operation(int(reads[0]))
        said = f"{did(history, op)}: a whole document"
    elif ends:
        said = f"When all had ended the file held {history.names.version(made.final_state)}: a whole document"
    else:
        return
    message = f"{said}, but of a version that nobody wrote to this file in this run."
    yield finding(history, "register", PHANTOM_READ, made.facts, message, reads[:1], count=len(reads) + ends)
