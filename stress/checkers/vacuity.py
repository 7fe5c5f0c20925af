"""``vacuity``: a run that proved nothing, or whose records can't be relied on, is *unknown* and never passes.

The engine has it look at every history; its findings are doubts, not violations.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stress.anomalies import (
    NO_OVERLAP,
    NOT_JUDGED,
    TOO_FEW_OPERATIONS,
    UNACCOUNTED,
    WORKER_DIED,
    WORKER_STAYED,
    Anomaly,
)
from stress.checkers._columns import Flags, Ints, Rows, among, grouping, segment_starts
from stress.checkers._words import did, finding
from stress.checkers.registry import checker
from stress.history.history import History
from stress.history.kinds import MUTATIONS, READS, End, Kind, Language, Outcome, Recovery
from stress.history.notes import ErrorNote, SeenBytes, data_of, words_of
from stress.history.record import ABSENT, GARBAGE
from stress.history.skipped import Part, Skipped
from stress.result import Details, Finding, Verdict
from stress.units import counted

_BLOCK = 1 << 16
ENOUGH = 0.1
"""The share of the operations tried that must have succeeded, of each kind in each language."""
WORKER_ENOUGH = 0.02
"""The same in each worker, which may have had bad luck."""
WORKER_TRIES = 10
"""Tries of a worker from which on some must have succeeded; fewer may all meet a fault."""
_TRIPS = re.compile(
    r"(KeyError|IndexError|TypeError|AttributeError|AssertionError|NameError|UnboundLocalError|ZeroDivisionError"
    r"|OverflowError|RecursionError): |exit status \d+: .*"
    r"(parse error|unexpected end of file|not in gzip format|malformed|is not a database)",
    re.DOTALL,
)
"""Errors that speak of what was read, and not of the system, a lock or a time."""
EXPECTED = 20.0
"""Meetings to be expected in a scenario from which on there must have been some; of fewer, some are of one process with
itself, which can't be, and the others may all fail by chance.
"""


@checker("vacuity")
def vacuity(history: History) -> Iterable[Finding]:
    """Dead workers, operations that nobody accounts for, too little done, and nothing done at the same time."""
    yield from _deaths(history)
    yield from _stayed(history)
    yield from _unaccounted(history)
    yield from _tripped(history)
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


def _stayed(history: History) -> Iterator[Finding]:
    stayed = [facts for facts in history.processes if facts.end is End.STAYED]
    if stayed:
        first = stayed[0]
        name, _, more = first.status.partition(", ")
        others = f" and {more.count(',') + 1} more" if more else ""
        thread = f" (the thread {name}{others})" if name else ""
        message = (
            f"p{first.process} had done all that it had to, but did not end, as something that the target had started "
            f"went on in it{thread}. It was killed, and what it still had to do was not judged; have the target end or "
            "join its threads, or make them daemons."
        )
        yield _doubt(history, WORKER_STAYED, message, count=len(stayed))


def _tripped(history: History) -> Iterator[Finding]:
    """Reads that raised what a reader raises that trips over what it has read, a torn file perhaps."""
    rows = np.flatnonzero((history.ops["kind"] == Kind.READ) & (history.ops["outcome"] == Outcome.INFO))
    rows = rows[history.ops["note_at"][rows] >= 0]
    tripped = [row for row in rows.tolist() if _TRIPS.match(words_of(history.note(row)))]
    if tripped:
        op = history.operation(tripped[0])
        reads = int((history.ops["kind"] == Kind.READ).sum())
        message = (
            f"{did(history, op)}: its reader raised {words_of(op.note)[:200]}. That may be what it makes of a torn "
            f"file, so whether the file was whole is not known ({len(tripped):,} of {counted(reads, 'read')} did so)."
        )
        yield _doubt(history, NOT_JUDGED, message, tripped[:1], count=len(tripped))


def _unaccounted(history: History) -> Iterator[Finding]:
    ops = history.ops
    dead = [facts.process for facts in history.processes if facts.end is End.DIED]  # told of by `_deaths`
    unended = np.flatnonzero((ops["outcome"] == Outcome.OPEN) & ~np.isin(ops["process"], dead))
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


def _gaps(history: History, order: Rows) -> tuple[Rows, Flags, NDArray[np.int32], Ints]:
    """Where a process's sequence numbers do not go on, in this order; where a process begins, and the two columns."""
    process, seq = history.ops["process"][order], history.ops["seq"][order].astype(np.int64)
    first = segment_starts(process)
    return np.flatnonzero(np.where(first, seq != 1, np.diff(seq, prepend=0) != 1)), first, process, seq


def _too_few(history: History) -> Iterator[Finding]:
    ops = history.ops
    kinds, ok = ops["kind"], ops["outcome"] == Outcome.OK
    changes, reads = among(kinds, MUTATIONS), among(kinds, READS)
    if not (reads & ok).any():
        tried = "" if not reads.any() else f" ({counted(int(reads.sum()), 'read')} failed)"
        message = f"Nobody read anything{tried}: whether what was written can be seen whole was not tested."
        yield _doubt(history, TOO_FEW_OPERATIONS, message)
    if changes.any() and not (changes & ok).any():
        why = _why(history, np.flatnonzero(changes))
        message = f"Of {counted(int(changes.sum()), 'change')} not one succeeded: {why}."
        yield _doubt(history, TOO_FEW_OPERATIONS, message, np.flatnonzero(changes)[:1].tolist())
    for index, required in enumerate(history.required):
        own = ops["scenario"] == index
        lacking = [kind for kind in sorted(required) if not (own & (kinds == kind)).any()]
        if lacking and len(history.required) == 1:
            names = " and no ".join(kind.label for kind in lacking)
            yield _in_scenario(history, index, f"no {names} was tried.", [])
        yield from _seldom(history, index)


def not_reached(history: History) -> list[Skipped]:
    """The scenarios of several in which nobody came to an operation that they are about: what they would show is open.

    A slow machine, or few workers, do not come to all that the scenarios of a long list have; the others are judged.
    """
    ops = history.ops
    skipped = []
    for index, required in enumerate(history.required if len(history.required) > 1 else ()):
        tried = np.unique(ops["kind"][ops["scenario"] == index])
        if lacking := sorted(set(required) - set(tried.tolist())):
            why = f"nobody came to its {' and '.join(Kind(kind).label for kind in lacking)}"
            skipped.append(Skipped(Part.SCENARIO, history.scenarios[index], why, "give it more time or workers"))
    return skipped


def _seldom(history: History, index: int) -> Iterator[Finding]:
    """Kinds of operation that hardly ever succeeded: in a language, or in one worker."""
    rows = np.flatnonzero((history.ops["scenario"] == index) & ~_excused(history))
    ops = history.ops[rows]
    ok = ops["outcome"] == Outcome.OK
    language = ops["language"].astype(np.int64)
    yield from _below(history, index, rows, ok, language, lambda key: f"by {Language(key).label} workers", 1, ENOUGH)
    workers = {facts.process: facts.worker for facts in history.processes}
    if workers:  # others' histories have clients whose every compare-and-swap may fail
        numbers = np.array([workers.get(process, -1) for process in ops["process"].tolist()], np.int64)
        yield from _below(
            history, index, rows, ok, numbers, lambda key: f"by worker {key}", WORKER_TRIES, WORKER_ENOUGH
        )


def _below(
    history: History,
    index: int,
    rows: Rows,
    ok: Flags,
    groups: Ints,
    named: Callable[[int], str],
    tries: int,
    enough: float,
) -> Iterator[Finding]:
    """The kinds of each group that were tried ``tries`` times or more, and succeeded too seldom: one finding."""
    kinds = history.ops["kind"][rows].astype(np.int64)
    keys, places = np.unique(kinds << 32 | groups, return_inverse=True)
    tried = np.bincount(places, minlength=len(keys))
    done = np.bincount(places, weights=ok, minlength=len(keys)).astype(np.int64)
    short = np.flatnonzero((tried >= tries) & (done < np.maximum(1, enough * tried)))
    if not len(short):
        return
    said = []
    for at in short[:5].tolist():
        kind, group = Kind(int(keys[at]) >> 32), int(keys[at]) & 0xFFFFFFFF
        why = _why(history, rows[(places == at) & ~ok])
        said.append(f"{done[at]:,} of {counted(int(tried[at]), kind.label)} {named(group)} succeeded: {why}")
    first = rows[(places == short[0]) & ~ok][:1].tolist()
    message = f"{said[0]} (at least {enough:.0%} are asked for)."
    yield replace(
        _in_scenario(history, index, message, first),
        detail=tuple(("also", line) for line in said[1:]),
        count=len(short),
    )


def _in_scenario(history: History, index: int, message: str, rows: list[int]) -> Finding:
    name = history.scenarios[index] if index < len(history.scenarios) else str(index)
    return replace(_doubt(history, TOO_FEW_OPERATIONS, f"In scenario {name} {message}", rows), scenario=name)


def _excused(history: History) -> Flags:
    """The operations whose failure says nothing of the target: open when their process was killed, or refused as they
    have to be.
    """
    ops = history.ops
    excused = np.zeros(len(ops), np.bool_)
    killed = [facts.process for facts in history.processes if facts.end is End.KILLED]
    if killed:
        last = {int(process): row for row, process in enumerate(ops["process"].tolist())}
        open_ = [last[process] for process in killed if process in last]
        excused[open_] = ops["outcome"][open_] == Outcome.INFO
    refusing = [index for index, facts in enumerate(history.files) if facts.recovery is Recovery.REFUSE]
    excused |= np.isin(ops["file"], refusing) & (ops["kind"] == Kind.RECOVER)
    return excused


def _why(history: History, rows: Rows) -> str:
    """What most of these were told."""
    words = Counter(_said(history, row) for row in rows[:200].tolist())
    text, _ = words.most_common(1)[0] if words else ("", 0)
    return text or "no reason was given"


def _said(history: History, row: int) -> str:
    note, version = history.note(row), history.ops["version"][row]
    if version == ABSENT:
        return "the answer was that there is no file"
    if version != GARBAGE or isinstance(note, ErrorNote) or (isinstance(note, SeenBytes) and note.error):
        return words_of(note).split("\n")[0][:200]
    answer = data_of(note).decode("utf-8", "replace")
    if len(answer) > 80:  # what is too much may be at either end
        answer = f"{answer[:30]}…{answer[-50:]}"
    return f"the answer was no document: {answer}" if answer else "the answer was empty"


def _alone(history: History) -> Iterator[Finding]:
    ops = history.ops
    if not _overlap(history, np.unique(ops["file"])):
        message = (
            f"None of {counted(len(ops), 'operation')} overlapped a change that another process made to the same file: "
            "nothing about concurrency was shown."
        )
        yield _doubt(history, NO_OVERLAP, message)
        return
    changes = among(ops["kind"], MUTATIONS)
    for index, name in enumerate(history.scenarios):
        rows = np.flatnonzero(ops["scenario"] == index)
        made = int(changes[rows].sum())
        # Its files may be those of others, too: what it met there counts.
        if _expected(history, rows) >= EXPECTED and not _overlap(history, np.unique(ops["file"][rows])):
            message = (
                f"In scenario {name} none of {counted(made, 'change')} overlapped anything that another process did to "
                "the same file: nothing about concurrency was shown."
            )
            yield replace(_doubt(history, NO_OVERLAP, message), scenario=name)


def _expected(history: History, rows: NDArray[np.intp]) -> float:
    """How often these changes would have met an operation on the same file, had each begun at any time of the run."""
    ops = history.ops
    lasts = (ops["return"] - ops["invoke"])[rows].astype(np.float64)
    span = max(1.0, float(ops["return"].max()) - float(ops["invoke"].min()))
    change = among(ops["kind"][rows], MUTATIONS)
    _, file = np.unique(ops["file"][rows], return_inverse=True)
    all_, all_last = np.bincount(file), np.bincount(file, weights=lasts)
    made, made_last = np.bincount(file, weights=change), np.bincount(file, weights=lasts * change)
    return float((made_last * all_ + made * all_last).sum()) / span


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
            change, invoke, ret = among(ops["kind"][own], MUTATIONS), ops["invoke"][own], ops["return"][own]
            busy = np.maximum.accumulate(np.append(until, ret))
            changing = np.maximum.accumulate(np.append(change_until, np.where(change, ret, change_until)))
            if ((changing[:-1] > invoke) | (change & (busy[:-1] > invoke))).any():
                return True
            change_until, until = int(changing[-1]), int(busy[-1])
    return False
