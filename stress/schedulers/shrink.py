"""Shrinking a failing schedule: the fewest preemptions that still make it fail, then the fewest switches.

Source: A. Zeller and R. Hildebrandt, Simplifying and Isolating Failure-Inducing Input (IEEE TSE 2002); that few
preemptions suffice for most bugs: Musuvathi and Qadeer (PLDI 2007).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stress.schedulers.execution import Execution, Run, preemptions
from stress.schedulers.exhaustive import Exhaustive
from stress.schedulers.replay import TolerantReplay

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest failing execution that was found.

    Attributes:
        execution: That execution.
        preemptions: Its switches away from an agent that could have gone on.
        runs: Executions that it took to find.
        fewest: Whether every schedule with fewer preemptions was executed, and none of them failed.
    """

    execution: Execution
    preemptions: int
    runs: int
    fewest: bool


def ddmin(items: Sequence[T], fails: Callable[[Sequence[T]], bool], calls_max: float = math.inf) -> list[T]:
    """As few of ``items`` as still fail: no single one of the result can be left out.

    For decisions, and for the operations of a plan. ``fails`` is called with part of the items, in their order; all of
    them together must fail. After ``calls_max`` calls of it the result is what was reached.
    """
    kept, calls = list(items), 0
    size = max(1, len(kept) // 2)
    while kept and calls < calls_max:
        at, removed = 0, False
        while at < len(kept) and calls < calls_max:
            fewer = kept[:at] + kept[at + size :]
            calls += 1
            if fails(fewer):
                kept, removed = fewer, True
            else:
                at += size
        if size == 1 and not removed:
            break
        size = max(1, size // 2)
    return kept


def shrink(
    run: Run, failing: Execution, *, same: Callable[[Execution], bool] | None = None, runs_max: int = 1000
) -> Shrunk:
    """Find a simpler schedule that fails.

    Args:
        run: Executes the programs once.
        failing: An execution that failed.
        same: Whether an execution shows the same failure; the default is `Execution.failed`.
        runs_max: Executions at most. Half of them at most are used to show that no schedule with fewer preemptions
            fails.
    """
    return _Shrinker(run, failing, same or (lambda execution: execution.failed), runs_max).shrink()


class _Shrinker:
    def __init__(self, run: Run, failing: Execution, same: Callable[[Execution], bool], runs_max: int) -> None:
        self._run, self._best, self._same, self._runs_max = run, failing, same, runs_max
        self._cost = (len(failing.trace), 0)  # preemptions and switches, as long as they were not counted
        self._runs = 0
        self._tried: dict[tuple[int, ...], bool] = {}

    def shrink(self) -> Shrunk:
        if not self._try(self._best.decisions):
            return Shrunk(self._best, self._cost[0], self._runs, False)
        self._try(())  # one agent after the other: what fails even so is not to be made simpler
        before = None
        while self._cost[0] and before != self._cost and self._runs < self._runs_max:
            before = self._cost
            # A decision that is left out is done later, when the agent that was the last just goes on.
            ddmin(self._best.decisions, self._try)
            while any(self._better(order) for order in _exchanged(self._best.decisions)):
                pass
        fewest = self._search_below()
        return Shrunk(self._best, self._cost[0], self._runs, fewest)

    def _better(self, decisions: Sequence[int]) -> bool:
        before = self._cost
        return self._try(decisions) and self._cost < before

    def _try(self, decisions: Sequence[int]) -> bool:
        """Whether it fails and is as simple as the best, or simpler; then it is the best."""
        key = tuple(decisions)
        if key not in self._tried and self._runs < self._runs_max:
            self._runs += 1
            scheduler = TolerantReplay(decisions, self._best.draws)
            scheduler.begin()
            execution = self._run(scheduler)
            cost = _cost(execution, scheduler)
            self._tried[key] = self._same(execution) and cost <= self._cost
            if self._tried[key]:
                self._best, self._cost = execution, cost
        return self._tried.get(key, False)

    def _search_below(self) -> bool:
        """Execute every schedule with fewer preemptions, if these are not too many; whether it was every one."""
        if not self._cost[0]:
            return True
        search = Exhaustive(self._cost[0] - 1)
        left = self._runs_max // 2
        while left and search.begin():
            left -= 1
            self._runs += 1
            execution = self._run(search)
            if self._same(execution):  # those with fewer were executed before it
                self._best, self._cost = execution, (search.preemptions, 0)
                return True
        return search.exhausted


def _cost(execution: Execution, scheduler: TolerantReplay) -> tuple[int, int]:
    decisions = execution.decisions
    switches = sum(one != other for one, other in itertools.pairwise(decisions))
    return preemptions(decisions, scheduler.runnable), switches


def _exchanged(decisions: Sequence[int]) -> Iterator[list[int]]:
    segments = [list(group) for _, group in itertools.groupby(decisions)]
    for at in range(len(segments) - 1):
        yield list(itertools.chain(*segments[:at], segments[at + 1], segments[at], *segments[at + 2 :]))
