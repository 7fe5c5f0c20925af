"""What became of one execution, and the loop that runs execution after execution as a scheduler wants them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from stress.result import Finding
from stress.syscalls.calls import Call, Diverged, Scheduler, Step


class Ending(Enum):
    """How an execution ended. All but `CUT` and `DIVERGED` count for a proof."""

    DONE = "done"
    """Every process ended."""
    DEADLOCK = "deadlock"
    """Every process that is left waits for a lock."""
    CUT = "cut"
    """A bound on steps was reached: perhaps a livelock."""
    ABANDONED = "abandoned"
    """The scheduler wanted no more of it: an execution that is equivalent was done before."""
    DIVERGED = "diverged"
    """It went another way than the schedule that it was to follow."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution, over.

    Attributes:
        trace: Its steps.
        ending: How it ended.
        outcome: What the world looked like afterwards, comparable with that of other executions.
        failed: Whether something was found wrong.
        findings: What was, the most telling first, where who executes looks for it.
        blocked: Calls that still waited for a lock at the end.
        interrupted: Waits for one that a signal ended: (steps until then, call).
        draws: The random numbers that were drawn (`Source.drawn`).
        diverged: Where and why it went another way.
    """

    trace: tuple[Step, ...]
    ending: Ending = Ending.DONE
    outcome: Hashable = None
    failed: bool = False
    blocked: tuple[Call, ...] = ()
    draws: tuple[int, ...] = ()
    diverged: Diverged | None = None
    interrupted: tuple[tuple[int, Call], ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def decisions(self) -> tuple[int, ...]:
        """The schedule: the agent of each step."""
        return tuple(step.call.agent for step in self.trace)


Run = Callable[[Scheduler], Execution]
"""Executes the programs once, from the start, in the order that the scheduler picks. Its ``begin`` was called before;
``pick`` and ``end`` are called by this, which draws from its ``source``."""


def executions(run: Run, scheduler: Scheduler) -> Iterator[Execution]:
    """Run until the scheduler has no execution left. An iterator: stop whenever enough was seen."""
    while scheduler.begin():
        yield run(scheduler)


@dataclass(slots=True)
class Tally:
    """What many executions came to.

    Attributes:
        endings: How many ended how.
        failed: Executions in which something was found wrong.
        outcomes: Different outcomes.
        interleavings: Different schedules, by their hash.
    """

    endings: Counter[Ending] = field(default_factory=Counter)
    failed: int = 0
    outcomes: set[Hashable] = field(default_factory=set)
    interleavings: set[int] = field(default_factory=set)

    def add(self, execution: Execution) -> None:
        """Count one more."""
        self.endings[execution.ending] += 1
        self.failed += execution.failed
        if execution.ending not in (Ending.ABANDONED, Ending.DIVERGED):
            self.outcomes.add(execution.outcome)
            self.interleavings.add(hash(execution.decisions))

    @property
    def executions(self) -> int:
        """How many there were."""
        return sum(self.endings.values())

    @property
    def complete(self) -> bool:
        """Whether all were executed to their end, or abandoned because that was known."""
        return not self.endings[Ending.CUT] and not self.endings[Ending.DIVERGED]


def preemptions(decisions: Sequence[int], runnable: Sequence[Collection[int]]) -> int:
    """How often an execution switched away from an agent that could have gone on.

    Args:
        decisions: The agent of each step.
        runnable: The agents that could have done it.
    """
    return sum(
        before != agent and before in able
        for before, agent, able in zip(decisions, decisions[1:], runnable[1:], strict=False)
    )
