"""Several schedulers in turn: what one is blind for, another sees."""

from __future__ import annotations

from collections.abc import Sequence

from stress.schedulers.pct import Pct
from stress.schedulers.random import Random
from stress.syscalls.calls import Call, Scheduler, Step


class Mix:
    """Gives each execution to the next of its schedulers that has one left.

    Args:
        schedulers: At least one.
    """

    def __init__(self, schedulers: Sequence[Scheduler]) -> None:
        if not schedulers:
            raise ValueError("a mix of no schedulers")
        self.schedulers = tuple(schedulers)
        self.current = self.schedulers[-1]
        self.pick, self.source = self.current.pick, self.current.source

    def begin(self) -> bool:
        """Start the next execution, of the next scheduler that has one left."""
        at = self.schedulers.index(self.current) + 1
        for scheduler in (*self.schedulers[at:], *self.schedulers[:at]):
            if scheduler.begin():
                self.current, self.pick, self.source = scheduler, scheduler.pick, scheduler.source
                return True
        return False

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """Tell the current scheduler."""
        self.current.end(trace, blocked)


def random_and_pct(seed: int = 0, depth: int = 3) -> Mix:
    """Random walk and PCT in turn: the default, as each finds bugs that the other needs many times as long for."""
    return Mix([Random(seed), Pct(seed, depth)])
