"""Schedulers for the tests of the engine, which knows none of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from stress.syscalls import Kind, Ran, Supervisor
from stress.syscalls.calls import Call, Scheduler, Step
from stress.syscalls.source import Source


class Choose:
    """Picks as a function of the calls says, and keeps what it was told at the end."""

    def __init__(self, choose: Callable[[Sequence[Call], Sequence[Step]], int]) -> None:
        self._choose = choose
        self.source = Source("", least=True)
        self.ended: tuple[tuple[Step, ...], tuple[Call, ...]] | None = None

    def begin(self) -> bool:
        return True

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        return self._choose(enabled, trace)

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        self.ended = tuple(trace), tuple(blocked)


def at_random(seed: int) -> Choose:
    rng = random.Random(seed)
    return Choose(lambda enabled, trace: rng.randrange(len(enabled)))


def in_order(*agents: int) -> Choose:
    """The agents as given, step by step; then whoever comes first."""

    def choose(enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        able = [call.agent for call in enabled]
        return able.index(agents[len(trace)]) if len(trace) < len(agents) else 0

    return Choose(choose)


def one_after_another(*agents: int) -> Choose:
    """All that the first agent can do, then the second …"""
    return Choose(lambda enabled, trace: min(range(len(enabled)), key=lambda n: agents.index(enabled[n].agent)))


def turn_by_turn() -> Choose:
    """Each time the agent that has done the fewest steps."""

    def choose(enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        return min(range(len(enabled)), key=lambda n: sum(step.call.agent == enabled[n].agent for step in trace))

    return Choose(choose)


def run(supervisor: Supervisor, kinds: Sequence[Kind], scheduler: Scheduler | None = None, number: int = 0) -> Ran:
    """Execute once; without a scheduler, one agent after another."""
    return supervisor.run(kinds, scheduler or in_order(), number=number)


def tree(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and content of all files."""
    return {
        path.name: (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes()) for path in directory.iterdir()
    }
