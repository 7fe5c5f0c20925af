"""What an execution left to be judged, and whether the same was judged before."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from operator import attrgetter

from stress.history.history import ProcessFacts
from stress.history.record import Operation
from stress.workload.tree import Tree

__all__ = ["Evidence"]

_TIMES = attrgetter("invoke", "ret", "held_from", "held_to")
_REST = attrgetter(
    *("process", "kind", "file", "version", "parent", "outcome", "seq", "language", "scenario", "size", "digest"),
    "note",
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the checkers see of an execution.

    Attributes:
        tree: What is in the shared directory at its end.
    """

    operations: tuple[Operation, ...]
    processes: tuple[ProcessFacts, ...]
    tree: Tree

    @property
    def essence(self) -> Hashable:
        """The same for executions in which the same happened in the same order.

        How many steps lie between two events is left out: a verdict is about what was before what.
        """
        times = [_TIMES(operation) for operation in self.operations]
        rank = {time: at for at, time in enumerate(sorted({0, *(each for row in times for each in row)}))}
        rows = tuple(
            (_REST(operation), *map(rank.__getitem__, row))
            for operation, row in zip(self.operations, times, strict=True)
        )
        return rows, self.processes, tuple(sorted(self.tree.items(), key=lambda item: item[0]))
