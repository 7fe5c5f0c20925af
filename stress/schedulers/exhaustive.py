"""Exhaustive search, the schedules with the fewest preemptions first.

Source: M. Musuvathi and S. Qadeer, Iterative Context Bounding for Systematic Testing of Multithreaded Programs
(PLDI 2007).
"""

from __future__ import annotations

from collections.abc import Sequence

from stress.schedulers.effects import Effect, awake, effects
from stress.syscalls.calls import Call, Diverged, Step
from stress.syscalls.source import Source


class Exhaustive:
    """Every schedule with at most so many preemptions: switches away from an agent that could have gone on.

    Each execution follows a prefix and then switches only where it must; each other choice that it passes becomes the
    prefix of a later execution, so every schedule is executed once. A call that polls in vain is no choice
    (`effects.awake`).

    Args:
        preemptions: The bound; None for every schedule there is.

    Attributes:
        exhausted: Whether every schedule within the bound was executed.
        covered: The number of preemptions up to which every schedule was executed; −1 before the first level is done.
    """

    def __init__(self, preemptions: int | None = None) -> None:
        if preemptions is not None and preemptions < 0:
            raise ValueError(f"preemptions is {preemptions}; it must be 0 or more")
        self.bound = preemptions
        self.exhausted = False
        self._levels: list[list[tuple[int, ...]]] = [[()]]  # of each number of preemptions, prefixes to be executed
        self._level = 0
        self._prefix: tuple[int, ...] = ()
        self._effects: list[Effect] = []
        self.source = Source("")

    @property
    def preemptions(self) -> int:
        """Of the current execution."""
        return self._level

    @property
    def covered(self) -> int:
        """See the class."""
        return self._level if self.exhausted else self._level - 1

    def begin(self) -> bool:
        """Start the execution of the next prefix; False if none is left."""
        while self._level < len(self._levels) and not self._levels[self._level]:
            self._level += 1
        if self._level == len(self._levels):
            self._level -= 1
            self.exhausted = True
            return False
        self._prefix = self._levels[self._level].pop()
        self._effects = []
        self.source = Source("", least=True)
        return True

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """The prefix's choice; after it, the same agent as before where that is possible."""
        self._effects = effects(trace, self._effects)
        allowed = {enabled[index].agent: index for index in awake(enabled, trace, self._effects)}
        if len(trace) < len(self._prefix):
            agent = self._prefix[len(trace)]
            if agent not in allowed:
                able = [each + 1 for each in sorted(allowed)]
                raise Diverged(len(trace), f"a call of agent {agent + 1}", f"calls of {able} only")
            return allowed[agent]
        before = trace[-1].call.agent if trace else None
        chosen = before if before in allowed else min(allowed)
        cost = int(before in allowed)
        decisions = tuple(step.call.agent for step in trace)
        if self.bound is None:
            self._levels[0] += [(*decisions, agent) for agent in sorted(allowed, reverse=True) if agent != chosen]
        elif len(allowed) > 1 and self._level + cost <= self.bound:
            while len(self._levels) <= self._level + cost:
                self._levels.append([])
            self._levels[self._level + cost] += [(*decisions, agent) for agent in allowed if agent != chosen]
        return allowed[chosen]

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """Nothing is learnt: the alternatives were noted on the way."""
