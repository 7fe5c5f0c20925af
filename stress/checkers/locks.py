"""``locks``: nobody holds a lock that another holds. Judged by hold intervals alone, apart from the data."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stress.checkers._words import finding, moment, who
from stress.checkers.registry import checker
from stress.history.history import History
from stress.result import Finding

__all__ = ["locks"]


@checker("locks")
def locks(history: History) -> Iterable[Finding]:
    """Hold intervals, stamped inside the critical section, must not overlap; a shared instant is no overlap."""
    for index, facts in history.files_for("locks"):
        rows = history.rows(index)
        rows = rows[history.ops["held_from"][rows] > 0]
        rows = rows[np.argsort(history.ops["held_from"][rows], kind="stable")]
        if len(rows) < 2:
            continue
        held_from, held_to = history.ops["held_from"][rows], history.ops["held_to"][rows]
        latest = np.maximum.accumulate(held_to)[:-1]
        overlapping = np.flatnonzero(held_from[1:] < latest) + 1
        if not len(overlapping):
            continue
        second = int(overlapping[0])
        first = int(np.argmax(held_to[:second]))
        one, other = history.operation(int(rows[first])), history.operation(int(rows[second]))
        yield finding(
            history, "locks", "lock-overlap", facts,
            f"{who(one)} held the lock from {moment(history, one.held_from)} to {moment(history, one.held_to)}, and "
            f"{who(other)} held it from {moment(history, other.held_from)}.",
            [int(rows[first]), int(rows[second])],
            ["expected: one holder at a time", f"seen:     both at {moment(history, other.held_from)}"],
            len(overlapping),
        )  # fmt: skip
