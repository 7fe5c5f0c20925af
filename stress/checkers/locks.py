"""``locks``: nobody holds a lock that another holds; judged by hold intervals alone, apart from the data.

They are stamped inside the critical section, so they are no longer than what was really held: a lock that silently
degrades shows here even where the data came off well.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stress.anomalies import LOCK_OVERLAP
from stress.checkers._columns import running_argmax
from stress.checkers._words import finding, moment, who
from stress.checkers.registry import checker
from stress.history.history import History
from stress.result import Finding

__all__ = ["locks"]


@checker("locks")
def locks(history: History) -> Iterable[Finding]:
    """Hold intervals of one file that overlap; a shared instant is none."""
    ops = history.ops
    for index, facts in history.files_for("locks"):
        rows = history.rows(index)
        rows = rows[(ops["held_from"][rows] > 0) & (ops["held_to"][rows] > 0)]
        rows = rows[np.argsort(ops["held_from"][rows], kind="stable")]
        held_from, held_to = ops["held_from"][rows], ops["held_to"][rows]
        holder = running_argmax(held_to)[:-1]
        overlapping = np.flatnonzero(held_from[1:] < held_to[holder])
        overlapping = overlapping[ops["process"][rows[overlapping + 1]] != ops["process"][rows[holder[overlapping]]]]
        if not len(overlapping):
            continue
        first, second = int(rows[holder[overlapping[0]]]), int(rows[overlapping[0] + 1])
        one, two = history.operation(first), history.operation(second)
        both = min(one.held_to, two.held_to) - two.held_from
        message = (
            f"{who(one)} held the lock from {moment(history, one.held_from)} to {moment(history, one.held_to)}, and "
            f"{who(two)} got it at {moment(history, two.held_from)}: for {both / 1e6:.3f} ms both held it."
        )
        detail = (("expected", "one holder at a time"), ("seen", f"two at {moment(history, two.held_from)}"))
        yield finding(history, "locks", LOCK_OVERLAP, facts, message, [first, second], detail, len(overlapping))
