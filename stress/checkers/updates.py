"""``updates``: no update is lost.

Each update says which version it started from. Two that took effect and started from one version: one of them
overwrote the other. Where no version has two children, the updates form chains, and nothing may come between the links
of a chain: the block of its versions has to find a place among the others as one.

Theory and sources: `stress.checkers._register.clusters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stress.anomalies import ABORTED_READ, DUPLICATE_UPDATE, FUTURE_READ, LOST_UPDATE, PHANTOM_READ, TORN_READ
from stress.checkers._columns import Ints
from stress.checkers._register.clusters import FAILED, OWN, PHANTOM, WITHOUT
from stress.checkers._register.interleaving import Interleaving, interleavings
from stress.checkers._register.read_analysis import ReadAnalysis, analyse_reads
from stress.checkers._words import did, finding, moment, span, who
from stress.checkers.registry import checker
from stress.history.history import History
from stress.history.kinds import Kind, Language, Recovery
from stress.history.record import ABSENT, GARBAGE, NO_VERSION, Operation
from stress.result import Details, Finding
from stress.units import counted


@checker("updates")
def updates(history: History) -> Iterable[Finding]:
    """Lost updates, and updates that started from what was not there."""
    for index, facts in history.files_for("updates"):
        if not facts.form.is_document or not len(history.rows(index, Kind.UPDATE)):
            continue
        reads = analyse_reads(history, index)
        from_nothing, from_garbage = _without(reads)
        yield from _lost(history, reads, from_nothing)
        yield from _torn(history, reads, from_garbage)
        yield from _twice(history, reads)
        yield from _future(history, reads)
        yield from _strange(history, reads)


def _without(reads: ReadAnalysis) -> tuple[Ints, Ints]:
    """The updates that started from nothing though there was something, and those that read what was no document."""
    made = reads.made
    initial = made.facts.initial
    from_absent = (made.parent == 0) & (made.parent_version == ABSENT)
    without = made.parent == WITHOUT
    there = np.full(len(made.version), initial not in (ABSENT, GARBAGE))
    written = made.ret[1:][made.ok[1:]]
    if len(written):
        there |= made.invoke > written.min()
    garbage = without & ~there & (made.parent_version == GARBAGE) & (initial != GARBAGE)
    return np.flatnonzero((from_absent | without) & there), np.flatnonzero(garbage)


@dataclass
class _Case:
    """One way to lose updates: how many, and what it looks like."""

    count: int
    message: str
    rows: list[int]
    detail: Details = ()


def _lost(history: History, reads: ReadAnalysis, from_nothing: Ints) -> Iterator[Finding]:
    made = reads.made
    tried = (
        _one_parent(history, reads),
        _nothing(history, reads, from_nothing),
        _between(history, reads, interleavings(reads, from_nothing)),
        _gone(history, reads),
        _unasked(history, reads),
    )
    cases = [case for case in tried if case is not None]
    if not cases:
        return
    first = cases[0]
    count, message, descent = sum(case.count for case in cases), first.message, _descent(reads)
    if descent is not None and descent[1] < descent[0]:
        count = descent[0] - descent[1]
        message += (
            f" {counted(descent[0], 'update was', 'updates were')} acknowledged; the final document descends from only "
            f"{descent[1]:,} of them."
        )
    rows = reads.proven(history, first.rows)
    yield finding(history, "updates", LOST_UPDATE, made.facts, message, rows, first.detail, count)


def _descent(reads: ReadAnalysis) -> tuple[int, int] | None:
    """How many updates were acknowledged, and how many of these the final document comes from; None where blind
    writes make the two differ anyhow, or where the end is not known.
    """
    made = reads.made
    if not made.update[1:].all() or not reads.final.any() or (made.parent == OWN).any():
        return None
    at, line = int(made.read_of[reads.final][0]), set[int]()
    while at > 0 and at not in line:
        line.add(at)
        at = int(made.parent[at])
    acknowledged = np.flatnonzero(made.ok & made.update)
    return len(acknowledged), int(made.ok[list(line)].sum())


def _one_parent(history: History, reads: ReadAnalysis) -> _Case | None:
    """Two or more updates from one version."""
    made = reads.made
    branching = reads.chains.branching
    children = np.flatnonzero((made.parent >= 0) & branching[np.maximum(made.parent, 0)])
    if not len(children):
        return None
    count = len(children) - int(branching.sum())
    order = children[np.lexsort((made.ret[children], ~made.ok[children], made.parent[children]))]
    same = made.parent[order[1:]] == made.parent[order[:-1]]
    pairs = np.flatnonzero(same)
    unsure = ~(made.ok[order[pairs]] & made.ok[order[pairs + 1]])
    best = pairs[np.lexsort((made.ret[order[pairs + 1]], unsure))[0]]
    one, two = int(order[best]), int(order[best + 1])
    first, second = history.operation(int(made.rows[one])), history.operation(int(made.rows[two]))
    parent = history.names.version(int(made.parent_version[one]))
    message = (
        f"{who(history, first)} updated {parent} to {history.names.version(first.version)} at {span(history, first)}, "
        f"and {who(history, second)} updated the same {parent} to {history.names.version(second.version)} at "
        f"{span(history, second)}: neither saw the other's change, so the one that was written last destroyed the "
        "other."
    )
    detail = (("expected", "the second update to start from the first"), ("seen", f"both started from {parent}"))
    rows = [made.rows[one], made.rows[two], made.rows[made.parent[one]]]
    rows += [reads.last_observation(one), reads.last_observation(two)]
    if (by := _taken_back(history, first, second)) is not None:
        message += f" Meanwhile {did(history, history.operation(by))}, and may have taken back what was written."
        rows.insert(1, by)
    return _Case(count, message, rows, detail)


def _taken_back(history: History, first: Operation, second: Operation) -> int | None:
    """The row of the last recovery that may have put back, between two updates, the version both started from."""
    facts, ops = history.files[first.file], history.ops
    if facts.recovery is not Recovery.RESTORE or first.parent != facts.recovered:
        return None
    rows = history.rows(first.file, Kind.RECOVER)
    may = rows[(ops["return"][rows] > first.invoke) & (ops["invoke"][rows] < second.ret)]
    return int(may[np.argmax(ops["return"][may])]) if len(may) else None


def _nothing(history: History, reads: ReadAnalysis, from_nothing: Ints) -> _Case | None:
    """An update that did not find the document that was there."""
    made = reads.made
    if not len(from_nothing):
        return None
    update = int(from_nothing[np.argmin(made.invoke[from_nothing])])
    op = history.operation(int(made.rows[update]))
    before = np.flatnonzero(made.ok & (made.ret < op.invoke))
    last = int(before[np.argmax(made.ret[before])]) if len(before) else 0
    what = "no document" if op.parent == ABSENT else "something that is no document"
    if last:
        there = history.operation(int(made.rows[last]))
        had = f"{did(history, there)} and it was acknowledged"
    else:
        had = f"the file had held {history.names.version(made.facts.initial)} since before the run"
    message = (
        f"{who(history, op)} started an update from nothing at {span(history, op)}: it found {what}, although {had}. "
        f"What the document held is lost in {history.names.version(op.version)}."
    )
    return _Case(len(from_nothing), message, [made.rows[update], made.rows[last]], (("seen", what),))


def _between(history: History, reads: ReadAnalysis, found: Interleaving | None) -> _Case | None:
    """A version that came after the one an update started from, and before the one that it wrote."""
    if found is None:
        return None
    made = reads.made
    lost = history.names.version(int(made.version[found.lost]))
    rows = [reads.row_of(found.lost), reads.last_observation(found.lost), reads.first_observation(found.lost)]
    rows += [reads.first_observation(found.first), reads.last_observation(found.last)]
    if found.update < 0:
        first, last = found.sides[::2], found.sides[1::2]
        rows = [reads.first_observation(side) for side in first] + [reads.last_observation(side) for side in last]
        rows += [reads.row_of(side) for side in found.sides]
        other = history.names.version(int(made.version[found.first]))
        message = (
            f"The updates that led to {lost} and those that led to {other} overwrote each other: each was there before "
            "the other was made, and neither was made from the other."
        )
        return _Case(found.count, message, rows)
    op = history.operation(reads.row_of(found.update))
    parent = history.names.version(int(made.parent_version[found.update]))
    message = (
        f"{who(history, op)} updated {parent} to {history.names.version(op.version)} at {span(history, op)} and "
        f"overwrote {lost}, which it had not seen: {_sight(history, reads.row_of(found.lost))}, after "
        f"{_sight(history, reads.first_observation(found.first))}, and it was there before "
        f"{_sight(history, reads.last_observation(found.last))}."
    )
    detail = (
        ("expected", f"{history.names.version(op.version)} made from {lost} or something newer"),
        ("seen", f"{history.names.version(op.version)} made from {parent}"),
    )
    return _Case(found.count, message, [reads.row_of(found.update), *rows], detail)


def _sight(history: History, row: int) -> str:
    return did(history, history.operation(row)) if row >= 0 else "the run began"


def _gone(history: History, reads: ReadAnalysis) -> _Case | None:
    """Updates that the final state is older than."""
    made = reads.made
    last, newer = reads.after_the_end()
    newer = newer[made.parent[newer] >= 0]
    if not len(newer):
        return None
    acknowledged = newer[made.ok[newer]]
    chosen = acknowledged if len(acknowledged) else newer
    update = int(chosen[np.argmax(made.invoke[chosen])])
    op = history.operation(int(made.rows[update]))
    left = history.names.version(int(made.version[last]))
    message = (
        f"{did(history, op)}, but when all had ended the file held {left}, which was there before: the update is gone."
    )
    detail = (("expected", f"{history.names.version(op.version)} or what was made of it"), ("seen", left))
    return _Case(len(newer), message, [made.rows[update], made.rows[last], reads.last_observation(update)], detail)


def _unasked(history: History, reads: ReadAnalysis) -> _Case | None:
    """Updates that were acknowledged, and never asked for the change: only our own Python side always knows."""
    made = reads.made
    rows = made.rows[made.update & made.ok & (made.parent_version == NO_VERSION)]
    rows = rows[(rows >= 0) & (history.ops["language"][rows] == Language.PYTHON)]
    if not history.processes or not len(rows):
        return None
    op = history.operation(int(rows[0]))
    message = (
        f"{who(history, op)} had its update acknowledged at {span(history, op)}, but what it was to change was never "
        "asked for: nothing was changed."
    )
    return _Case(len(rows), message, [int(rows[0])], (("expected", "a call of change(document)"),))


def _torn(history: History, reads: ReadAnalysis, torn: Ints) -> Iterator[Finding]:
    if len(torn):
        made = reads.made
        update = int(torn[np.argmin(made.invoke[torn])])
        op = history.operation(int(made.rows[update]))
        message = (
            f"{who(history, op)} started an update at {span(history, op)} and found something that is no document: a "
            "part of a write that was under way."
        )
        shown = reads.proven(history, [made.rows[update]])
        yield finding(history, "updates", TORN_READ, made.facts, message, shown, count=len(torn))


def _twice(history: History, reads: ReadAnalysis) -> Iterator[Finding]:
    """Updates that started from their own version, or from one that was made of it."""
    made = reads.made
    own = made.parent == OWN
    twice = np.flatnonzero(own | (reads.chains.cyclic & (made.invoke <= reads.child_bound)))
    if not len(twice):
        return
    at = int(twice[np.argmax(own[twice])])
    op, parent = history.operation(int(made.rows[at])), int(made.parent[at])
    name = history.names.version(op.version)
    message = f"{who(history, op)} updated to {name} at {span(history, op)}, and started from "
    if parent < 0:
        message += f"{name} itself: its change had been made already, and was made once more."
    else:
        started = history.names.version(int(made.version[parent]))
        message += f"{started}, which comes from {name}: that was there before, and was written once more."
    rows = reads.proven(history, [made.rows[at], *(made.rows[parent : parent + 1] if parent >= 0 else ())])
    left, count = set(twice.tolist()), 0
    while left:  # each round of parents is one
        count, at = count + 1, left.pop()
        while (at := int(made.parent[at])) in left:
            left.remove(at)
    yield finding(history, "updates", DUPLICATE_UPDATE, made.facts, message, rows, count=count)


def _future(history: History, reads: ReadAnalysis) -> Iterator[Finding]:
    """Versions that had children before they were written."""
    made = reads.made
    wrong = np.flatnonzero(made.invoke > reads.child_bound)
    if not len(wrong):
        return
    at = int(wrong[0])
    child = int(reads.child[at])
    writing, proof = history.operation(int(made.rows[at])), history.operation(reads.first_observation(child))
    message = (
        f"{did(history, writing)}; but {history.names.version(int(made.version[child]))}, which comes from it, was "
        f"there by {moment(history, proof.ret)} already ({did(history, proof)})."
    )
    rows = [made.rows[at], made.rows[child], reads.first_observation(child)]
    rows = reads.proven(history, rows)
    yield finding(history, "updates", FUTURE_READ, made.facts, message, rows, count=len(wrong))


def _strange(history: History, reads: ReadAnalysis) -> Iterator[Finding]:
    """Updates that started from a version that no write can have put there."""
    made = reads.made
    for mark, anomaly, why in (
        (FAILED, ABORTED_READ, "whose write had certainly failed"),
        (PHANTOM, PHANTOM_READ, "a version that nobody wrote to this file in this run"),
    ):
        wrong = np.flatnonzero(made.parent == mark)
        if not len(wrong) or (mark == PHANTOM and not history.final):
            continue
        row, parent = reads.row_of(int(wrong[0])), int(made.parent_version[wrong[0]])
        op = history.operation(row)
        rows, ops = history.rows(op.file), history.ops
        written = rows[ops["version"][rows] == parent][:1]
        start = f"{who(history, op)} updated {history.names.version(parent)}, {why},"
        message = f"{start} to {history.names.version(op.version)} at {span(history, op)}."
        shown = reads.proven(history, [row, *written])
        yield finding(history, "updates", anomaly, made.facts, message, shown, count=len(wrong))
