"""The operations of one worker: its roles' requests, taken in turn at random, weighted."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

from stress.workload.scenario import Agent, Answer, Request, Role, Steps


class OperationStream:
    """The requests of one agent. ``roles`` are pairs of (index of the scenario, role)."""

    def __init__(self, agent: Agent, roles: Sequence[tuple[int, Role]]) -> None:
        self._draw = agent.random.random
        self._steps: list[tuple[int, Steps]] = []
        self._waiting: list[Request] = []
        weights: list[int] = []
        for index, role in roles:
            steps = role.steps(agent)
            first = next(steps, None)
            if first is not None:
                self._waiting.append(first)
                self._steps.append((index, steps))
                weights.append(role.weight)
        self._weights = weights
        self._cumulative = list(itertools.accumulate(weights))
        self._current = 0

    def next(self) -> tuple[int, Request] | None:
        """The next request and the index of its scenario, or None when every role has come to its end."""
        if not self._waiting:
            return None
        if len(self._steps) > 1:
            self._current = bisect.bisect(self._cumulative, self._draw() * self._cumulative[-1])
        return self._steps[self._current][0], self._waiting[self._current]

    def answer(self, answer: Answer) -> None:
        """Tell the role whose request was last how it ended."""
        at = self._current
        try:
            self._waiting[at] = self._steps[at][1].send(answer)
        except StopIteration:
            del self._steps[at], self._weights[at], self._waiting[at]
            self._cumulative = list(itertools.accumulate(self._weights))
            self._current = 0
