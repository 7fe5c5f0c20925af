"""What an execution left to be judged, and whether the same was judged before."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from operator import attrgetter

from stress.history.history import FinalState, ProcessFacts
from stress.history.record import Operation
from stress.workload.tree import Tree

_REST = attrgetter(
    *("process", "kind", "file", "version", "parent", "outcome", "seq", "language", "scenario", "size", "digest"),
    "note",
)
_BEGIN, _END = 1, 2


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the checkers see of an execution.

    Attributes:
        tree: What is in the shared directory at its end.
        final: What the target's own reader finds then, where the file is not the document.
    """

    operations: tuple[Operation, ...]
    processes: tuple[ProcessFacts, ...]
    tree: Tree
    final: FinalState | None = None

    @property
    def essence(self) -> Hashable:
        """The same for executions in which the same was over before the same began.

        A verdict is about what was before what: how many steps lie between two events is left out, and in which order
        two operations began that were both under way, or ended (an interval order has no more than that).
        """
        what: dict[int, int] = {}
        for op in self.operations:
            for begin, end in ((op.invoke, op.ret), (op.held_from, op.held_to)):
                what[begin] = what.get(begin, 0) | _BEGIN
                what[end] = what.get(end, 0) | _END
        rank, number, before = {0: 0}, 0, 0
        for time in sorted(time for time in what if time):
            number += what[time] != before or before == _BEGIN | _END
            rank[time], before = number, what[time]
        rows = tuple(
            (_REST(op), rank[op.invoke], rank[op.ret], rank[op.held_from], rank[op.held_to]) for op in self.operations
        )
        left = tuple(sorted(self.tree.items(), key=lambda item: item[0]))
        return rows, self.processes, left, None if self.final is None else self.final.files
