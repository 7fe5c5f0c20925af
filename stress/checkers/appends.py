"""``appends``: a log keeps every record that was acknowledged, once, whole, and in an order that real time allows.

What the log holds at the end is the one order that there is, and every read must have found the beginning of it: the
list-append workload of Elle (K. Kingsbury and P. Alvaro, "Elle: inferring isolation anomalies from experimental
observations", VLDB 2020) for one list, where nothing is left to be inferred. With the places known, an order exists iff
nothing that had ended when something else began stands behind it: one sweep over the returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from stress.anomalies import (
    DUPLICATE_APPEND,
    FUTURE_READ,
    INCOMPATIBLE_ORDERS,
    LOST_APPEND,
    PHANTOM_APPEND,
    REORDERED_APPEND,
    STALE_READ,
    TORN_APPEND,
)
from stress.checkers._columns import Rows
from stress.checkers._log.append_order import Log, log_of, overtaken
from stress.checkers._log.non_prefix_reads import NonPrefixReads, find_non_prefix_reads
from stress.checkers._register.clusters import LAST
from stress.checkers._words import did, excerpt, finding, moment, parts, span, who
from stress.checkers.registry import checker
from stress.checkers.torn import garbled, garbled_first
from stress.history.history import FileFacts, History
from stress.history.kinds import Format, Kind, Outcome
from stress.history.record import INITIAL, Operation, format_version
from stress.result import Details, Finding
from stress.units import counted


@checker("appends")
def appends(history: History) -> Iterable[Finding]:
    """Findings about logs: lost, duplicate, reordered, torn and phantom records, and reads that are no prefix.

    Each append writes a record of its own version, so a read of a log is a list of versions. They are
    checked against the order of the records in the log. A read is right if it is a prefix of that order, and if it
    holds each record whose append had returned before the read began and none whose append began after it ended.
    """
    for index, facts in history.files_for("appends"):
        if facts.form is not Format.LOG:
            continue
        log = log_of(history, index)
        if log is not None:
            unexplained = find_non_prefix_reads(history, log, index)
            yield from _lost(history, log, unexplained)
            yield from _doubled(history, log, unexplained)
            yield from _phantom(history, log, unexplained)
            yield from _late(history, log, unexplained)
            yield from _crossed(history, log, unexplained)
        yield from _torn(history, index, facts, log)


def _end(history: History, log: Log) -> str:
    return "when all had ended" if log.at == LAST else f"at {moment(history, log.at)}"


def _lost(history: History, log: Log, unexplained: NonPrefixReads) -> Iterator[Finding]:
    acknowledged = np.flatnonzero((log.outcome == Outcome.OK) & (log.place < 0) & (log.ret < log.at))
    seen = [append for append in unexplained.vanished if log.outcome[append] != Outcome.OK or log.ret[append] >= log.at]
    head = log.facts.initial == INITIAL and INITIAL not in log.tokens[:1]
    count = len(acknowledged) + len(seen) + bool(head)
    if not count:
        return
    if not len(acknowledged) and not seen:
        message = f"The record that the log held before the run was not at its beginning {_end(history, log)}."
        yield finding(history, "appends", LOST_APPEND, log.facts, message)
        return
    # The one that shows the most: seen by somebody, and then gone; else the first.
    first = next((a for a in acknowledged.tolist() if a in unexplained.vanished), None)
    lost = first if first is not None else int(acknowledged[0]) if len(acknowledged) else seen[0]
    op = history.operation(int(log.rows[lost]))
    read = unexplained.vanished.get(lost, -1)
    known = ["it was acknowledged"] if op.outcome is Outcome.OK else []
    if read >= 0:
        reader = history.operation(read)
        known.append(f"{who(history, reader)} saw it at {span(history, reader)}")
    told = " and ".join(known)
    message = f"{did(history, op)}, {told}, but {_end(history, log)} the log did not hold that record."
    total = int(((log.outcome == Outcome.OK) & (log.ret < log.at)).sum())
    if len(acknowledged) > 1:
        message += f" Of {counted(total, 'acknowledged append')}, {len(acknowledged):,} are not there."
    rivals = _rivals(log, lost)
    name = history.names.version(op.version)
    detail: Details = (("expected", f"{name} once in the log"), ("seen", _remains(history, log, op)))
    if len(rivals):
        rival = history.operation(int(log.rows[rivals[0]]))
        detail += (("meanwhile", f"{did(history, rival)}, and that is there"),)
    rows = [log.rows[lost], read, *log.rows[rivals]]
    yield finding(history, "appends", LOST_APPEND, log.facts, message, rows, detail, count)


def _remains(history: History, log: Log, op: Operation) -> str:
    """What is left of a record that is not there whole: pieces of it may be, with something else between them."""
    if log.at != LAST or not history.final:
        return "no whole record of it"
    name = format_version(op.version).encode("ascii")
    places = [match.start() for match in re.finditer(rb"\b%b\b" % name, history.final[op.file].content)]
    if not places:
        return "nothing of it"
    return f"pieces of it between byte {places[0]:,} and byte {places[-1]:,}, and no whole record: it is torn"


def _rivals(log: Log, lost: int) -> Rows:
    """Appends that are there and went on at the same time: one of them may have written over it."""
    near = (log.invoke <= log.ret[lost]) & (log.ret >= log.invoke[lost]) & (log.place >= 0)
    found = np.flatnonzero(near)
    return found[np.argsort(np.abs(log.ret[found] - log.ret[lost]), kind="stable")][:2]


def _doubled(history: History, log: Log, unexplained: NonPrefixReads) -> Iterator[Finding]:
    values, counts = np.unique(log.tokens, return_counts=True)
    doubled = values[counts > 1].tolist()
    versions = list(dict.fromkeys([*doubled, *unexplained.doubled]))
    if not versions:
        return
    version = versions[0]
    rows = log.rows[log.version == version][:1].tolist()
    made = f"{did(history, history.operation(rows[0]))}; " if rows else ""
    if doubled:
        places = (np.flatnonzero(log.tokens == version) + 1).tolist()
        said = ", ".join(f"{place:,}" for place in places[:4])
        message = (
            f"{made}{_end(history, log)} the log held {history.names.version(version)} {len(places)} times: "
            f"records {said}."
        )
    else:
        read = unexplained.doubled[version]
        rows.append(read)
        op = history.operation(read)
        message = (
            f"{made}{who(history, op)} read the log at {span(history, op)} and saw "
            f"{history.names.version(version)} in it twice."
        )
    yield finding(history, "appends", DUPLICATE_APPEND, log.facts, message, rows, count=len(versions))


def _phantom(history: History, log: Log, unexplained: NonPrefixReads) -> Iterator[Finding]:
    failed = log.version[(log.outcome == Outcome.FAIL) & (log.place >= 0)].tolist()
    # While a run is under way, the append may be one that is not in the history yet.
    nobodys = log.tokens[(log.append < 0) & ~log.pre_made(log.tokens)].tolist() if log.at == LAST else []
    known = frozenset(log.version.tolist()) if log.at != LAST else frozenset(unexplained.phantom)
    seen = [version for version in unexplained.phantom if version in known]
    versions = list(dict.fromkeys([*failed, *nobodys, *seen]))
    if not versions:
        return
    version = versions[0]
    rows = log.rows[log.version == version][:1].tolist()
    read = unexplained.phantom.get(version, -1)
    if version in failed or version in nobodys:
        end = "When all had ended" if log.at == LAST else f"At {moment(history, log.at)}"
        where = f"{end} the log held {history.names.version(version)}"
    else:
        op = history.operation(read)
        where = f"{who(history, op)} read the log at {span(history, op)} and saw {history.names.version(version)}"
    if rows:
        message = f"{where}, but its append had failed for certain: {did(history, history.operation(rows[0]))}."
    else:
        message = f"{where}, a record that nobody appended to it in this run."
    yield finding(history, "appends", PHANTOM_APPEND, log.facts, message, [*rows, read], count=len(versions))


def _late(history: History, log: Log, unexplained: NonPrefixReads) -> Iterator[Finding]:
    """Pairs that stand in an order which real time forbids."""
    pairs = overtaken(history, log)
    kinds = history.ops["kind"]
    behind, began = kinds[pairs.second] == Kind.APPEND, kinds[pairs.first] == Kind.APPEND
    behind &= pairs.second >= 0
    began |= pairs.first < 0
    reordered = np.flatnonzero(behind & began)
    if len(reordered):
        first, second = int(pairs.first[reordered[0]]), int(pairs.second[reordered[0]])
        two = history.operation(second)
        one = did(history, history.operation(first)) if first >= 0 else "The log held a record before the run"
        name = history.names.version(history.operation(first).version) if first >= 0 else "it"
        message = (
            f"{one}; then {did(history, two)}; but in the log {name} stands behind "
            f"{history.names.version(two.version)}."
        )
        yield finding(history, "appends", REORDERED_APPEND, log.facts, message, [first, second], count=len(reordered))
    future = np.flatnonzero(behind & ~began)
    if len(future):
        read, append = (history.operation(int(rows[future[0]])) for rows in (pairs.first, pairs.second))
        message = (
            f"{who(history, read)} read the log at {span(history, read)} and saw "
            f"{history.names.version(append.version)}, before "
            f"{who(history, append)} had begun to append it at {moment(history, append.invoke)}."
        )
        rows = [pairs.first[future[0]], pairs.second[future[0]]]
        yield finding(history, "appends", FUTURE_READ, log.facts, message, rows, count=len(future))
    stale = np.flatnonzero(~behind)
    if len(stale) or unexplained.stale:
        yield _stale(history, log, unexplained, pairs.first[stale], pairs.second[stale])


def _stale(history: History, log: Log, unexplained: NonPrefixReads, firsts: Rows, seconds: Rows) -> Finding:
    if len(seconds):
        first, row = int(firsts[0]), int(seconds[0])
    else:
        row, append = unexplained.stale[0]
        first = int(log.rows[append]) if append >= 0 else -1
    op = history.operation(row)
    if first < 0:
        had = "the record that was there before the run"
    elif (before := history.operation(first)).kind is Kind.APPEND:
        had = f"{history.names.version(before.version)}, which had been acknowledged before: {did(history, before)}"
    else:
        had = f"records that {who(history, before)} had found there before, at {span(history, before)}"
    message = f"{who(history, op)} read the log at {span(history, op)} and did not see {had}."
    return finding(
        history, "appends", STALE_READ, log.facts, message, [row, first], count=len(seconds) + len(unexplained.stale)
    )


def _crossed(history: History, log: Log, unexplained: NonPrefixReads) -> Iterator[Finding]:
    if not unexplained.crossed:
        return
    row, late, early = unexplained.crossed[0]
    op = history.operation(row)
    names = [history.names.version(int(log.version[at])) if at >= 0 else "a record" for at in (late, early)]
    if early >= 0:
        saw = f"saw {names[1]} before {names[0]}, but {_end(history, log)} {names[0]} stood before {names[1]}"
    elif late >= 0:
        saw = f"did not see {names[0]}, but saw records that stood behind it {_end(history, log)}"
    else:
        saw = f"saw {counted(op.size, 'byte')} that are no beginning of what it held {_end(history, log)}"
    rows = [row, *(log.rows[at] for at in (late, early) if at >= 0)]
    message = f"{who(history, op)} read the log at {span(history, op)} and {saw}."
    yield finding(history, "appends", INCOMPATIBLE_ORDERS, log.facts, message, rows, count=len(unexplained.crossed))


def _torn(history: History, index: int, facts: FileFacts, log: Log | None) -> Iterator[Finding]:
    """Bytes of no record: in the end, or in what a read saw."""
    spans = log.torn if log is not None and log.at == LAST else []
    rows = garbled(history, index) if log is None else log.garbled
    if not spans and not len(rows):
        return
    message, witness = "", list[int]()
    detail: Details = ()
    if len(rows):
        message, witness, detail = garbled_first(history, index, rows)
    if spans and log is not None:
        start, stop = spans[0]
        left = (
            f"when all had ended the log held {counted(sum(b - a for a, b in spans), 'byte')} that belong to no "
            f"record, the first at offset {start:,}"
        )
        whose = parts(log.content[start:stop])
        shown = (("at end", excerpt(log.content, start)), *((("parts", whose),) if whose else ()))
        message = f"{message} {left[0].upper()}{left[1:]}." if message else f"{left[0].upper()}{left[1:]}."
        detail += shown
    yield finding(history, "appends", TORN_APPEND, facts, message, witness, detail, len(rows) + len(spans))
