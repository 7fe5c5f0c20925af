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


@checker("locks")
def locks(history: History) -> Iterable[Finding]:
    """Hold intervals of one file that overlap; a shared instant is none.

    Not where a cleaner went through the directory since the first began: it may have removed the lock file, and no
    lock by a file excludes anybody then. What a target makes of that, the data tell.
    """
    cleaned_from, cleaned_to = np.array(history.cleanings or [(0, 0)], np.int64).T
    ops = history.ops
    for index, facts in history.files_for("locks"):
        rows = history.rows(index)
        rows = rows[(ops["held_from"][rows] > 0) & (ops["held_to"][rows] > 0)]
        rows = rows[np.argsort(ops["held_from"][rows], kind="stable")]
        held_from, held_to = ops["held_from"][rows], ops["held_to"][rows]
        holder = running_argmax(held_to)[:-1]
        overlapping = np.flatnonzero(held_from[1:] < held_to[holder])
        cleaned = np.searchsorted(cleaned_to, held_from[holder[overlapping]]) < np.searchsorted(
            cleaned_from, held_from[overlapping + 1], "right"
        )
        overlapping = overlapping[~cleaned] if history.cleanings else overlapping
        overlapping = overlapping[ops["process"][rows[overlapping + 1]] != ops["process"][rows[holder[overlapping]]]]
        if not len(overlapping):
            continue
        first, second = int(rows[holder[overlapping[0]]]), int(rows[overlapping[0] + 1])
        one, two = history.operation(first), history.operation(second)
        both = min(one.held_to, two.held_to) - two.held_from
        message = (
            f"{who(history, one)} held the lock from {moment(history, one.held_from)} to "
            f"{moment(history, one.held_to)}, and "
            f"{who(history, two)} got it at {moment(history, two.held_from)}: for {both / 1e6:.3f} ms both held it."
        )
        detail = (("expected", "one holder at a time"), ("seen", f"two at {moment(history, two.held_from)}"))
        yield finding(history, "locks", LOCK_OVERLAP, facts, message, [first, second], detail, len(overlapping))
