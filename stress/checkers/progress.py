"""``progress``: every operation ends, and nobody starves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from stress.anomalies import HANG, STARVATION
from stress.checkers._columns import Ints, grouping, segment_starts
from stress.checkers._words import did, finding
from stress.checkers.registry import checker
from stress.history.history import History, ProcessFacts
from stress.history.kinds import End
from stress.result import Finding
from stress.units import counted

STARVED_SHARE = 20
"""Who does less than this part of the median of its peers starves."""
PEERS_MIN = 3
MEDIAN_MIN = 40
"""Where half of them do less than this, chance decides who does how much."""
STARVED_S = 3.0
"""Who never waited this long in one operation had its turns: few of them, as a lock that is polled sleeps in between,
and whoever has just freed it takes it again meanwhile."""


@checker("progress")
def progress(history: History) -> Iterable[Finding]:
    """Operations past their limit, and processes that got next to nothing done although they tried all the time."""
    yield from _hangs(history)
    yield from _starvation(history)


def _hangs(history: History) -> Iterator[Finding]:
    ops = history.ops
    hung = [facts.process for facts in history.processes if facts.end is End.HUNG]
    took = ops["return"] - ops["invoke"]
    if history.limit and history.pauses:  # what it or another, for whom it waits, was kept from is no time of its own
        long = np.flatnonzero(took > history.limit)
        took[long] -= _paused(history, ops["return"][long]) - _paused(history, ops["invoke"][long])
    late = took > history.limit if history.limit else np.zeros(len(ops), np.bool_)
    if hung:  # the last operation of each, which is what it hung in
        rows = np.flatnonzero(np.isin(ops["process"], hung))
        last = np.zeros(len(ops), np.bool_)
        order = rows[np.argsort(ops["process"][rows], kind="stable")]
        last[order[np.append(ops["process"][order[1:]] != ops["process"][order[:-1]], True)[: len(order)]]] = True
        late |= last
        if without := sorted(set(hung) - set(ops["process"][rows].tolist())):
            message = f"p{without[0]} had to be killed at the end, and had not begun a single operation."
            yield finding(history, "progress", HANG, None, message, count=len(without))
    rows = np.flatnonzero(late)
    rows = rows[grouping(ops["file"][rows])]
    for own in np.split(rows, np.flatnonzero(segment_starts(ops["file"][rows]))[1:]) if len(rows) else ():
        file = int(ops["file"][own[0]])
        worst = int(own[np.argmax(took[own])])
        op = history.operation(worst)
        allowed = f"; {history.limit / 1e9:g} s are allowed" if history.limit else ""
        ended = " and had to be killed" if op.process in hung else ""
        message = f"{did(history, op)}: it took {took[worst] / 1e9:.1f} s{ended}{allowed}."
        yield finding(history, "progress", HANG, history.files[file], message, [worst], count=len(own))


def _paused(history: History, until: Ints) -> Ints:
    """How long the pauses had been, together, by each of these moments, ns."""
    since, end = np.array(history.pauses, np.int64).T
    before = np.append(0, np.cumsum(end - since))
    begun = np.searchsorted(since, until)
    now: Ints = before[begun] - np.where(begun > 0, np.maximum(end[begun - 1] - until, 0), 0)
    return now


def _starvation(history: History) -> Iterator[Finding]:
    peers: dict[tuple[int, str], list[ProcessFacts]] = {}
    for facts in history.processes:
        if facts.end is End.FINISHED and facts.started <= history.began and facts.ended >= history.ended > 0:
            peers.setdefault((int(facts.language), facts.role), []).append(facts)
    if not any(len(those) >= PEERS_MIN for those in peers.values()):
        return
    ops = history.ops
    # Processes are numbered from 1, so a table of them is short, and nothing has to be sorted.
    counts = np.bincount(ops["process"])
    busy = np.bincount(ops["process"], weights=ops["return"] - ops["invoke"])
    for (_, role), those in sorted(peers.items()):
        known = [facts for facts in those if facts.process < len(counts) and counts[facts.process]]
        if len(known) < max(PEERS_MIN, len(those)):
            continue
        done = counts[[facts.process for facts in known]]
        median, least = float(np.median(done)), int(np.argmin(done))
        slowest = known[least]
        # Who spent most of the time outside of operations was held up by the machine, and not by its peers.
        waited = busy[slowest.process] > 0.5 * (history.ended - history.began)
        if median < MEDIAN_MIN or done[least] * STARVED_SHARE >= median or not waited:
            continue
        rows = np.flatnonzero(ops["process"] == slowest.process)
        took = ops["return"][rows] - ops["invoke"][rows]
        if took.max() < STARVED_S * 1e9:
            continue
        longest = int(rows[np.argmax(took)])
        who = f"p{slowest.process} ({slowest.language.label}), a {role},"
        message = (
            f"{who} got {counted(int(done[least]), 'operation')} done in the whole run, and half of the "
            f"{len(known)} like it {median:,.0f} and more; its longest: {did(history, history.operation(longest))}."
        )
        file = history.files[int(ops["file"][longest])]
        yield finding(history, "progress", STARVATION, file, message, [longest])
