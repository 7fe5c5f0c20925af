"""What an execution left to be judged, and whether the same was judged before."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from operator import attrgetter

from stress.history.history import FinalFile, History, ProcessFacts
from stress.history.record import Operation
from stress.workload.layout import World, required_kinds

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
        backups: Path → version and SHA-256, as in `History`.
    """

    operations: tuple[Operation, ...]
    processes: tuple[ProcessFacts, ...]
    final: tuple[FinalFile, ...]
    backups: tuple[tuple[str, tuple[int, str]], ...]
    leftovers: tuple[str, ...]

    @property
    def essence(self) -> Hashable:
        """The same for executions in which the same happened in the same order.

        How many steps lie between two events is left out. A verdict is about what was before what, as the steps that
        were between, of whichever process, changed nothing that an operation has seen.
        """
        times = [_TIMES(operation) for operation in self.operations]
        rank = {time: at for at, time in enumerate(sorted({0, *(each for row in times for each in row)}))}
        rows = tuple(
            (_REST(operation), *map(rank.__getitem__, row))
            for operation, row in zip(self.operations, times, strict=True)
        )
        return rows, self.processes, self.final, self.backups, self.leftovers

    def history(self, world: World) -> History:
        """As the checkers take it."""
        return History.of(
            self.operations,
            world.facts,
            processes=self.processes,
            scenarios=[scenario.name for scenario in world.scenarios],
            final=self.final, backups=dict(self.backups), leftovers=self.leftovers, began=1,
            required=required_kinds(world),
        )  # fmt: skip
