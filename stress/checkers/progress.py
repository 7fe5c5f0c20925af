"""``progress``: every operation ends, and nobody starves."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stress.checkers._words import counted, did, finding
from stress.checkers.registry import checker
from stress.history.history import History
from stress.result import Finding

__all__ = ["progress"]

_SHARE, _MEDIAN = 20, 40


@checker("progress")
def progress(history: History) -> Iterable[Finding]:
    """An operation past its limit hangs; who does less than a twentieth of the median of its like starves."""
    yield from _hangs(history)
    yield from _starvation(history)


def _hangs(history: History) -> Iterable[Finding]:
    if not history.limit:
        return
    hung = [facts.process for facts in history.processes if facts.end == "hung"]
    ops = history.ops
    late = (ops["return"] - ops["invoke"] > history.limit) | (
        np.isin(ops["process"], hung) & (ops["return"] > history.ended)
    )
    for index, facts in history.files_for("progress"):
        rows = history.rows(index)
        rows = rows[late[rows]]
        if len(rows):
            row = int(rows[np.argmax(ops["return"][rows] - ops["invoke"][rows])])
            took = (ops["return"][row] - ops["invoke"][row]) / 1e9
            yield finding(
                history, "progress", "hang", facts,
                f"{did(history, history.operation(row))}: it took {took:.1f} s, and {history.limit / 1e9:g} s are allowed.",
                [row], count=len(rows),
            )  # fmt: skip


def _starvation(history: History) -> Iterable[Finding]:
    peers: dict[tuple[int, str], list[int]] = {}
    for facts in history.processes:
        if facts.end == "finished" and facts.started <= history.began:  # there all the time
            peers.setdefault((int(facts.language), facts.role), []).append(facts.process)
    for (_, role), processes in peers.items():
        counts = {process: int((history.ops["process"] == process).sum()) for process in processes}
        median = int(np.median(list(counts.values())))
        slowest = min(counts, key=lambda process: counts[process])
        if median >= _MEDIAN and counts[slowest] * _SHARE < median:
            rows = np.flatnonzero(history.ops["process"] == slowest)
            longest = rows[np.argsort(history.ops["invoke"][rows] - history.ops["return"][rows])][:1]
            checked = next((facts for _, facts in history.files_for("progress")), None)
            yield finding(
                history, "progress", "starvation", checked,
                f"p{slowest}, a {role}, got {counted(counts[slowest], 'operation')} done, and half of its like "
                f"{median:,} or more.",
                longest.tolist(),
            )  # fmt: skip
