"""``vacuity``: a run that proved nothing is unknown, never pass."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stress.checkers._words import did, finding
from stress.checkers.registry import checker
from stress.history.history import History
from stress.history.record import Kind, Outcome
from stress.result import Finding, Verdict

__all__ = ["vacuity"]

_READS = (Kind.READ, Kind.OBSERVE, Kind.OBSERVE_BACKUP)


@checker("vacuity")
def vacuity(history: History) -> Iterable[Finding]:
    """Dead workers, operations nobody accounts for, and too little done, or nothing of it at once."""
    yield from _deaths(history)
    yield from _unaccounted(history)
    yield from _too_few(history)
    yield from _alone(history)


def _unknown(history: History, anomaly: str, message: str, rows: Iterable[int] = (), count: int = 1) -> Finding:
    return finding(history, "vacuity", anomaly, None, message, rows, count=count, verdict=Verdict.UNKNOWN)


def _deaths(history: History) -> Iterable[Finding]:
    dead = [facts for facts in history.processes if facts.end == "died"]
    if dead:
        first = dead[0]
        rows = np.flatnonzero(history.ops["process"] == first.process)[-1:]
        message = (
            f"p{first.process} ({first.language.label}) ended by itself: {first.status or 'nothing is known of it'}."
        )
        yield _unknown(history, "worker-died", message, rows.tolist(), len(dead))


def _unaccounted(history: History) -> Iterable[Finding]:
    ops = history.ops
    rows = np.flatnonzero(ops["outcome"] == Outcome.OPEN)
    if len(rows):
        message = f"{did(history, history.operation(int(rows[0])))}: its process ended, and nobody wrote how this did."
        yield _unknown(history, "unaccounted", message, rows[:1].tolist(), len(rows))
    order = np.lexsort((ops["seq"], ops["process"]))
    process, seq = ops["process"][order], ops["seq"][order]
    first = np.ones(len(order), np.bool_)
    first[1:] = process[1:] != process[:-1]
    gaps = np.flatnonzero(np.where(first, seq != 1, np.diff(seq, prepend=0) != 1))
    if len(gaps):
        at = int(gaps[0])
        message = f"The journal of p{process[at]} has a gap before its operation {seq[at]}."
        yield _unknown(history, "unaccounted", message, [int(order[at])], len(gaps))


def _too_few(history: History) -> Iterable[Finding]:
    ops = history.ops
    if not len(ops):
        yield _unknown(
            history, "too-few-operations", "Nobody did anything: no scenario was left, or no worker got through."
        )
        return
    if not np.isin(ops["kind"], _READS).any():
        yield _unknown(history, "too-few-operations", "Nobody read: what readers would have seen is not known.")
    done = ops[ops["outcome"] == Outcome.OK]
    for index, required in enumerate(history.required):
        of_scenario = done["kind"][done["scenario"] == index]
        if missing := [kind.label for kind in sorted(required) if not (of_scenario == kind).any()]:
            message = f"{history.scenarios[index]}: not one {' and not one '.join(missing)} succeeded."
            yield _unknown(history, "too-few-operations", message)


def _alone(history: History) -> Iterable[Finding]:
    """Whether, for each scenario, some change overlapped an operation of another process on the same file."""
    for index, name in enumerate(history.scenarios):
        rows = np.flatnonzero(history.ops["scenario"] == index)
        if len(rows) and not _overlaps(history, rows):
            message = f"{name}: no change overlapped anything that another process did to the same file."
            yield _unknown(history, "no-overlap", message)


def _overlaps(history: History, rows: np.ndarray) -> bool:  # type: ignore[type-arg]
    ops = history.ops[rows]
    changes = ~np.isin(ops["kind"], _READS)
    for file in np.unique(ops["file"][changes]):
        of_file = history.ops[history.rows(int(file))]
        order = np.argsort(of_file["invoke"], kind="stable")
        invoke, ret = of_file["invoke"][order], of_file["return"][order]
        kind, process = of_file["kind"][order], of_file["process"][order]
        ends = np.maximum.accumulate(ret)
        change = ~np.isin(kind, _READS)
        for at in np.flatnonzero(invoke[1:] < ends[:-1])[:2000] + 1:
            before = slice(max(0, at - 64), at)
            open_ = (ret[before] > invoke[at]) & (process[before] != process[at])
            if (open_ & (change[before] | change[at])).any():
                return True
    return False
