"""Starvation: of real processes that try for a lock, and of traces of shared locks."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from stress.syscalls import Forked, Supervisor
from stress.syscalls.calls import Access, Call, Step
from stress.syscalls.starving import starving

from .schedules import Choose, run

ROUNDS = 25


def takes_it_again_and_again() -> None:
    file = os.open("l", os.O_RDWR)
    for _ in range(ROUNDS):
        fcntl.flock(file, fcntl.LOCK_EX)
        os.stat("l")
        fcntl.flock(file, fcntl.LOCK_UN)


def tries() -> None:
    file = os.open("l", os.O_RDWR)
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.25)


def waits() -> None:
    fcntl.flock(os.open("l", os.O_RDWR), fcntl.LOCK_EX)


def while_it_is_held(enabled: Sequence[Call], trace: Sequence[Step]) -> int:
    """The second agent has its turns while the first holds the lock."""
    agents = [call.agent for call in enabled]
    last = trace[-1].call if trace else None
    to_second = last is None or last.text in ("lock l", "try to lock l")
    return agents.index(1) if to_second and 1 in agents and 0 in agents else 0


@pytest.mark.parametrize(("other", "kinds"), [(tries, ["starvation"]), (waits, [])], ids=["tries", "waits"])
def test_who_tries_starves_and_who_waits_is_only_not_picked(
    supervisor: Supervisor, shared: Path, other: object, kinds: list[str]
) -> None:
    (shared / "l").touch()
    assert callable(other)
    ran = run(supervisor, [Forked(takes_it_again_and_again), Forked(other)], Choose(while_it_is_held))
    assert (ran.ending, [finding.kind for finding in ran.findings]) == ("done", kinds)
    assert all("agent 2 was to try to lock l" in finding.text for finding in ran.findings)


def lock(agent: int, what: str, *, exclusive: bool = False) -> Call:
    return Call(agent, 0, "flock", f"{what} l", (Access(("lock", 1, "flock"), exclusive),), lock=what)


def test_a_writer_that_readers_in_turn_keep_out_starves() -> None:
    """Two readers hold a lock so that it is never free."""
    calls = [lock(0, "waits")]
    for _ in range(ROUNDS):
        calls += [lock(1, "waits"), lock(0, "frees"), lock(0, "waits"), lock(1, "frees")]
    overlapping = [Step(index, call) for index, call in enumerate(calls)]
    assert "agent 3 was to waits l" in str(starving(overlapping, [lock(2, "waits", exclusive=True)]))
    assert starving(overlapping, [lock(2, "waits")]) is None, "a reader could go on"
    ends = [*calls, lock(0, "frees"), lock(2, "waits", exclusive=True)]
    assert starving([Step(index, call) for index, call in enumerate(ends)]) is not None
    one_by_one = [call for _ in range(2 * ROUNDS) for call in (lock(0, "waits"), lock(0, "frees"))]
    trace = [Step(index, call) for index, call in enumerate(one_by_one)]
    assert starving(trace, [lock(2, "waits", exclusive=True)]) is None, "it was free in between"
