"""``vacuity``: a run that proved nothing, or whose records can't be relied on, is *unknown* and never passes.

The engine has it look at every history; its findings are doubts, not violations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stress.anomalies import NO_OVERLAP, TOO_FEW_OPERATIONS, UNACCOUNTED, WORKER_DIED, Anomaly
from stress.checkers._columns import Flags, Ints, among, grouping, segment_starts
from stress.checkers._words import counted, did, finding
from stress.checkers.registry import checker
from stress.history.history import History
from stress.history.notes import words_of
from stress.history.record import End, Kind, Outcome
from stress.result import Details, Finding, Verdict

__all__ = ["vacuity"]

CHANGES = (Kind.WRITE, Kind.UPDATE, Kind.APPEND, Kind.BACKUP, Kind.RECOVER)
LOOKS = (Kind.READ, Kind.OBSERVE, Kind.OBSERVE_BACKUP)
_BLOCK = 1 << 16
EXPECTED_FROM = 50
"""Changes of one scenario from which on some must have met another operation; fewer may miss all by chance."""


@checker("vacuity")
def vacuity(history: History) -> Iterable[Finding]:
    """Dead workers, operations that nobody accounts for, too little done, and nothing done at the same time."""
    yield from _deaths(history)
    yield from _unaccounted(history)
    if not len(history.ops):
        yield _doubt(history, TOO_FEW_OPERATIONS, "Nobody did anything: nothing was tested.")
        return
    yield from _too_few(history)
    yield from _alone(history)


def _doubt(
    history: History, anomaly: Anomaly, message: str, rows: Iterable[int] = (), detail: Details = (), count: int = 1
) -> Finding:
    return finding(history, "vacuity", anomaly, None, message, rows, detail, count, Verdict.UNKNOWN)


def _deaths(history: History) -> Iterator[Finding]:
    dead = [facts for facts in history.processes if facts.end is End.DIED]
    if dead:
        first = min(dead, key=lambda facts: facts.ended)
        rows = np.flatnonzero(history.ops["process"] == first.process)[-1:].tolist()
        name = f"p{first.process} ({first.language.label}, a {first.role})"
        doing = f"; the last that it did: {did(history, history.operation(rows[0]))}" if rows else ""
        message = f"{name} ended by itself, and nobody had killed it: {first.status or 'without a word'}{doing}."
        detail = tuple((f"p{facts.process}", facts.status or "without a word") for facts in dead[1:5])
        yield _doubt(history, WORKER_DIED, message, rows, detail, len(dead))


def _unaccounted(history: History) -> Iterator[Finding]:
    ops = history.ops
    unended = np.flatnonzero(ops["outcome"] == Outcome.OPEN)
    if len(unended):
        op = history.operation(int(unended[0]))
        message = f"p{op.process} came to its end by itself, but its {op.kind.label} number {op.seq} has no end."
        yield _doubt(history, UNACCOUNTED, message, unended[:1].tolist(), count=len(unended))
    order = grouping(ops["process"])
    gaps, first, process, seq = _gaps(history, order)
    if len(gaps):  # or operations of one process whose times have them in another order
        order = np.lexsort((ops["seq"], ops["process"]))
        gaps, first, process, seq = _gaps(history, order)
    if len(gaps):
        at = int(gaps[0])
        before = 0 if first[at] else int(seq[at - 1])
        message = f"The journal of p{process[at]} goes from operation {before} to {seq[at]}: what is between is lost."
        yield _doubt(history, UNACCOUNTED, message, [int(order[at])], count=len(gaps))
    if history.processes:
        strangers = np.flatnonzero(~np.isin(ops["process"], [facts.process for facts in history.processes]))
        if len(strangers):
            message = f"p{ops['process'][strangers[0]]} did operations, but nobody had started such a process."
            yield _doubt(history, UNACCOUNTED, message, strangers[:1].tolist(), count=len(strangers))


def _gaps(history: History, order: NDArray[np.intp]) -> tuple[NDArray[np.intp], Flags, NDArray[np.int32], Ints]:
    """Where a process's sequence numbers do not go on, in this order; where a process begins, and the two columns."""
    process, seq = history.ops["process"][order], history.ops["seq"][order].astype(np.int64)
    first = segment_starts(process)
    return np.flatnonzero(np.where(first, seq != 1, np.diff(seq, prepend=0) != 1)), first, process, seq


def _too_few(history: History) -> Iterator[Finding]:
    ops = history.ops
    kinds, ok = ops["kind"], ops["outcome"] == Outcome.OK
    changes, looks = among(kinds, CHANGES), among(kinds, LOOKS)
    if not (looks & ok).any():
        tried = "" if not looks.any() else f" ({counted(int(looks.sum()), 'read')} failed)"
        message = f"Nobody read anything{tried}: whether what was written can be seen whole was not tested."
        yield _doubt(history, TOO_FEW_OPERATIONS, message)
    if changes.any() and not (changes & ok).any():
        why = _why(history, np.flatnonzero(changes))
        message = f"Of {counted(int(changes.sum()), 'change')} not one succeeded: {why}."
        yield _doubt(history, TOO_FEW_OPERATIONS, message, np.flatnonzero(changes)[:1].tolist())
    for index, required in enumerate(history.required):
        own = ops["scenario"] == index
        lacking = [kind for kind in sorted(required) if not (own & ok & (kinds == kind)).any()]
        if lacking:
            tried_rows = np.flatnonzero(own & np.isin(kinds, lacking))
            why = f": {_why(history, tried_rows)}" if len(tried_rows) else ""
            names = " and no ".join(kind.label for kind in lacking)
            name = history.scenarios[index] if index < len(history.scenarios) else str(index)
            message = f"In scenario {name} no {names} succeeded ({counted(len(tried_rows), 'was', 'were')} tried){why}."
            doubt = _doubt(history, TOO_FEW_OPERATIONS, message, tried_rows[:1].tolist())
            yield replace(doubt, scenario=name)


def _why(history: History, rows: NDArray[np.intp]) -> str:
    """What most of these were told."""
    words = Counter(words_of(history.note(row)).split("\n")[0][:200] for row in rows[:200].tolist())
    text, _ = words.most_common(1)[0] if words else ("", 0)
    return text or "no reason was given"


def _alone(history: History) -> Iterator[Finding]:
    ops = history.ops
    if not _overlap(history, np.unique(ops["file"])):
        message = (
            f"None of {counted(len(ops), 'operation')} overlapped a change that another process made to the same file: "
            "nothing about concurrency was shown."
        )
        yield _doubt(history, NO_OVERLAP, message)
        return
    changes = among(ops["kind"], CHANGES)
    for index, name in enumerate(history.scenarios):
        rows = np.flatnonzero(ops["scenario"] == index)
        made = int(changes[rows].sum())
        # Its files may be those of others, too: what it met there counts.
        if made >= EXPECTED_FROM and not _overlap(history, np.unique(ops["file"][rows])):
            message = (
                f"In scenario {name} none of {counted(made, 'change')} overlapped anything that another process did to "
                "the same file: nothing about concurrency was shown."
            )
            yield replace(_doubt(history, NO_OVERLAP, message), scenario=name)


def _overlap(history: History, files: NDArray[np.int32]) -> bool:
    """Whether a change went on at the same time as another operation on its file.

    A process does one thing at a time, so what is still going on when an operation begins is another's.
    """
    ops = history.ops
    for index in files.tolist():
        rows = history.rows(index)
        change_until = until = np.iinfo(np.int64).min
        for start in range(0, len(rows), _BLOCK):  # as a rule the first has one
            own = rows[start : start + _BLOCK]
            change, invoke, ret = among(ops["kind"][own], CHANGES), ops["invoke"][own], ops["return"][own]
            busy = np.maximum.accumulate(np.append(until, ret))
            changing = np.maximum.accumulate(np.append(change_until, np.where(change, ret, change_until)))
            if ((changing[:-1] > invoke) | (change & (busy[:-1] > invoke))).any():
                return True
            change_until, until = int(changing[-1]), int(busy[-1])
    return False
