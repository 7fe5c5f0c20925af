"""Random walk: each enabled agent with the same probability, at each step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stress.schedulers.source import Source
from stress.syscalls.calls import Call, Step


class Random:
    """Picks uniformly among the enabled calls, and estimates on the way how many schedules there are.

    Args:
        seed: The same executions for the same seed.

    Source of the estimate: D. E. Knuth, Estimating the Efficiency of Backtrack Programs (Math. Comp. 1975): the
    product of the numbers of choices along a random path is an unbiased estimate of the number of leaves.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._number = 0
        self._logs: list[float] = []
        self._log = 0.0
        self.source = Source("")

    def begin(self) -> bool:
        """Start the next execution: there is always one more."""
        self._number += 1
        self._log = 0.0
        self.source = Source(f"{self._seed}/{self._number}")
        return True

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """Any of the enabled calls."""
        self._log += math.log10(len(enabled))
        return self.source.choose(len(enabled))

    def draw(self, below: int) -> int:
        """A recorded random number."""
        return self.source.draw(below)

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """Take the execution into the estimate."""
        self._logs.append(self._log)

    @property
    def schedules_log10(self) -> float:
        """Estimate of how many schedules there are, as its decimal logarithm; −inf before the first execution."""
        if not self._logs:
            return -math.inf
        most = max(self._logs)
        return most + math.log10(sum(10 ** (log - most) for log in self._logs) / len(self._logs))
