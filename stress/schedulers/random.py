"""Random walk: each enabled agent with the same probability, at each step."""

from __future__ import annotations

from collections.abc import Sequence

from stress.syscalls.calls import Call, Step
from stress.syscalls.source import Source


class Random:
    """Picks uniformly among the enabled calls.

    Args:
        seed: The same executions for the same seed.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._number = 0
        self.source = Source("")

    def begin(self) -> bool:
        """Start the next execution: there is always one more."""
        self._number += 1
        self.source = Source(f"{self._seed}/{self._number}")
        return True

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """Any of the enabled calls."""
        return self.source.choose(len(enabled))

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """Nothing is learnt."""
