"""PCT: probabilistic concurrency testing, a random scheduler that states with which probability it finds a bug.

Source: S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, A Randomized Scheduler with Probabilistic Guarantees
of Finding Bugs (ASPLOS 2010).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stress.schedulers.guarantee import missed_after, pct_probability
from stress.syscalls.calls import Call, Step
from stress.syscalls.source import Source

_FINE = 1 << 48
"""Random priorities are drawn below this: two agents practically never have the same."""


class Pct:
    """Always picks the enabled agent of the highest priority; at d − 1 random steps that falls below all others.

    An agent that polls falls below all others too, or the one that it waits for would never run. The number of steps
    over which the change points are spread is the length of the longest execution so far: the first one finds it out.

    Args:
        seed: The same executions for the same seed.
        depth: Of the bugs to be found: the number of ordering constraints that bring the bug about. 2 finds a bug that
            one preemption at the right place brings about.
    """

    def __init__(self, seed: int = 0, depth: int = 3) -> None:
        if depth < 1:
            raise ValueError(f"depth is {depth}; it must be 1 or more")
        self.depth = depth
        self.agents: set[int] = set()
        self.points = 0
        self._seed = seed
        self._number = 0
        self._lengths: Counter[int] = Counter()
        self._priorities: dict[int, int] = {}
        self._changes: dict[int, int] = {}
        self._lowest = 0
        self.source = Source("")

    def begin(self) -> bool:
        """Start the next execution, with new priorities and change points: there is always one more."""
        self._number += 1
        self.source = Source(f"{self._seed}/{self._number}", least=True)  # the guarantee is for one program
        self._priorities = {}
        self._lowest = 0
        left = list(range(1, self.points + 1))
        count = min(self.depth - 1, len(left))
        points = [left.pop(self.source.choose(len(left))) for _ in range(count)]
        # The i-th point that was drawn gives priority i, whatever their order: see step 3 of the paper's algorithm.
        self._changes = {point: -self.depth + number for number, point in enumerate(points)}
        self._lowest = -self.depth - 1
        self._lengths[self.points] += 1
        return True

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """The enabled call of the highest priority."""
        for call in enabled:
            if call.agent not in self._priorities:
                self._priorities[call.agent] = 1 + self.source.choose(_FINE)
                self.agents.add(call.agent)
        if trace:
            last = trace[-1].call
            if last.spins:
                self._priorities[last.agent] = self._lowest
                self._lowest -= 1
            elif len(trace) in self._changes:
                self._priorities[last.agent] = self._changes[len(trace)]
        return max(range(len(enabled)), key=lambda index: self._priorities[enabled[index].agent])

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """Learn how long an execution is."""
        self.points = max(self.points, len(trace))

    @property
    def missed(self) -> float:
        """Probability that one given bug of this depth was missed by all executions so far: at most this.

        Only executions whose change points were spread over the longest length count.
        """
        return missed_after(self.counted, pct_probability(len(self.agents), self.points, self.depth))

    @property
    def counted(self) -> int:
        """Executions that count for the guarantee."""
        return self._lengths[self.points]
