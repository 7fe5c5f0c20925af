"""``recovery``: what was broken comes back as the newest valid version, what was valid stays, nothing is destroyed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from stress.anomalies import BAD_RECOVERY, LOST_EVIDENCE
from stress.checkers._columns import Rows
from stress.checkers._words import did, finding, moment, span, who
from stress.checkers.registry import checker
from stress.history.history import FileFacts, History
from stress.history.kinds import End, Kind, Outcome, Recovery
from stress.history.machine_errors import MACHINE_ERRORS
from stress.history.notes import ErrorNote, words_of
from stress.history.record import ABSENT, GARBAGE, Operation, format_version
from stress.result import Finding

Wrong = tuple[str, list[int]]
"""What is wrong, as a sentence, and the rows that show it."""
_TOLD_MAX = 4


@checker("recovery")
def recovery(history: History) -> Iterable[Finding]:
    """Recoveries to the wrong version, of what was valid, or of what can't be recovered; evidence that is gone."""
    judges = {Recovery.RESTORE: _restore, Recovery.KEEP: _keep, Recovery.REFUSE: _refuse}
    for index, facts in history.files_for("recovery"):
        if facts.recovery is None:
            continue
        wrong = list(judges[facts.recovery](history, index, facts))
        if wrong:
            message, rows = wrong[0]
            wanted = {
                Recovery.RESTORE: f"{format_version(facts.recovered)}, the newest valid backup",
                Recovery.KEEP: f"{format_version(facts.initial)}, as it was: it is valid",
                Recovery.REFUSE: "a refusal, and the file as it was: no backup of it is valid",
            }[facts.recovery]
            detail = (("expected", wanted), *(("also", other) for other, _ in wrong[1:_TOLD_MAX]))
            yield finding(history, "recovery", BAD_RECOVERY, facts, message, rows, detail, len(wrong))
        if history.final and not history.final[index].evidence_kept:
            rows = history.rows(index, Kind.RECOVER)[:1].tolist()
            by = f"; first, {did(history, history.operation(rows[0]))}" if rows else ""
            message = (
                f"The {len(facts.corrupt):,} corrupt bytes that the file held before the run are in no file beside it "
                f"any more: what could still be saved of them is lost{by}."
            )
            yield finding(history, "recovery", LOST_EVIDENCE, facts, message, rows)


def _each(rows: Rows, tell: Callable[[int], Wrong]) -> Iterator[Wrong]:
    """What is wrong with each of ``rows``: in words of the first ones alone, as there may be a million of them."""
    yield from map(tell, rows[:_TOLD_MAX].tolist())
    yield from itertools.repeat(("", []), len(rows[_TOLD_MAX:]))


def _saw(op: Operation) -> str:
    words = {ABSENT: "no document", GARBAGE: "something that is no document"}
    return words.get(op.version, format_version(op.version))


def _left(history: History, index: int) -> str:
    final = history.final[index]
    if not final.exists:
        return "there was no file"
    return "the file held " + ("no document" if final.version == GARBAGE else format_version(final.version))


def _reads(history: History, index: int, written: tuple[int, ...]) -> tuple[Rows, NDArray[np.bool_]]:
    """What was seen of the file, by readers and by recoverers when they were done; and which of it is none of
    ``written``, nor what somebody wrote in the run.
    """
    ops = history.ops
    changes = history.rows(index, Kind.WRITE, Kind.UPDATE)
    made = ops["version"][changes[ops["outcome"][changes] != Outcome.FAIL]]
    rows = history.rows(index, Kind.READ, Kind.OBSERVE, Kind.RECOVER, outcome=Outcome.OK)
    return rows, ~np.isin(ops["version"][rows], np.append(made, written))


def _restore(history: History, index: int, facts: FileFacts) -> Iterator[Wrong]:
    ops = history.ops
    done = history.rows(index, Kind.RECOVER, outcome=Outcome.OK)
    rows, other = _reads(history, index, (facts.recovered,))
    first = int(done[np.argmin(ops["return"][done])]) if len(done) else -1
    own = ops["kind"][rows] == Kind.RECOVER
    since = own | (ops["invoke"][rows] > ops["return"][first]) if first >= 0 else np.zeros(len(rows), np.bool_)

    def not_restored(row: int) -> Wrong:
        op = history.operation(row)
        if op.kind is Kind.RECOVER:
            said = (
                f"{who(history, op)} recovered the file at {span(history, op)}, was told that it was done, and then saw"
            )
        else:
            recovered = history.operation(first)
            said = (
                f"{who(history, recovered)} had recovered the file by {moment(history, recovered.ret)}, but "
                f"{who(history, op)} read it at {span(history, op)} and saw"
            )
        return f"{said} {_saw(op)} in place of {format_version(facts.recovered)}.", [row, first]

    def strange(row: int) -> Wrong:
        words = did(history, history.operation(row))
        return f"{words}, which is neither what was there nor what had to be recovered.", [row]

    yield from _each(rows[other & since], not_restored)
    before = ~np.isin(ops["version"][rows], (ABSENT, GARBAGE))
    yield from _each(rows[other & before & ~since], strange)
    if not history.final:
        return
    allowed = {facts.recovered, *ops["version"][history.rows(index, Kind.WRITE, Kind.UPDATE)].tolist()}
    if first >= 0 and history.final[index].version not in allowed:
        said = f"{did(history, history.operation(first))} and it was acknowledged"
        yield f"{said}, but when all had ended {_left(history, index)}.", [first]
    elif first < 0 and history.final[index].version not in allowed:
        yield from _refused(history, index, facts)


def _refused(history: History, index: int, facts: FileFacts) -> Iterator[Wrong]:
    """Nobody recovered what could be; those that were killed in it are excused, or met a fault of the machine's."""
    ops = history.ops
    rows = history.rows(index, Kind.RECOVER)
    excused = [process.process for process in history.processes if process.end is not End.FINISHED]
    tried = rows[(ops["outcome"][rows] == Outcome.FAIL) | ~np.isin(ops["process"][rows], excused)]
    for row in tried.tolist():
        op = history.operation(row)
        if isinstance(op.note, ErrorNote) and op.note.errno in MACHINE_ERRORS:
            continue
        why = f" ({said.splitlines()[0][:200]})" if (said := words_of(op.note)) else ""
        yield (
            f"{who(history, op)} was to recover the file at {span(history, op)} and could not{why}, although "
            f"a valid backup of "
            f"{format_version(facts.recovered)} lies beside it; nobody else recovered it either.",
            [row],
        )
        return


def _keep(history: History, index: int, facts: FileFacts) -> Iterator[Wrong]:
    def other_seen(row: int) -> Wrong:
        op = history.operation(row)
        saw = f"{who(history, op)} saw {_saw(op)} at {span(history, op)}"
        return f"The file was valid and was to be left alone, but {saw}.", [row]

    rows, other = _reads(history, index, (facts.initial,))
    yield from _each(rows[other], other_seen)
    written = history.ops["version"][history.rows(index, Kind.WRITE, Kind.UPDATE)].tolist()
    if history.final and history.final[index].version not in (facts.initial, *written):
        message = f"The file was valid and was to be left alone, but when all had ended {_left(history, index)}."
        yield message, history.rows(index, Kind.RECOVER, outcome=Outcome.OK)[:1].tolist()


def _refuse(history: History, index: int, facts: FileFacts) -> Iterator[Wrong]:
    def done(row: int) -> Wrong:
        op = history.operation(row)
        said = f"{who(history, op)} recovered the file at {span(history, op)} and was told that it was done"
        return f"{said}, but there is nothing valid to recover it from; then it held {_saw(op)}.", [row]

    def held(row: int) -> Wrong:
        words = did(history, history.operation(row))
        return f"{words}, although there is nothing valid that the file can hold.", [row]

    ops = history.ops
    yield from _each(history.rows(index, Kind.RECOVER, outcome=Outcome.OK), done)
    rows, other = _reads(history, index, (ABSENT, GARBAGE, facts.initial))
    yield from _each(rows[other & (ops["kind"][rows] != Kind.RECOVER)], held)
    written = ops["version"][history.rows(index, Kind.WRITE, Kind.UPDATE)].tolist()
    if not history.final or history.final[index].version in written:
        return
    final = history.final[index]
    if final.exists != (facts.initial != ABSENT) or (final.exists and final.content != facts.corrupt):
        tried = history.rows(index, Kind.RECOVER)[:1].tolist()
        message = "The file can't be recovered and was to be left as it is, but when all had ended "
        yield message + (f"it held {len(final.content):,} other bytes." if final.exists else "it was gone."), tried
