"""Exhaustive search: each schedule once, those with the fewest preemptions first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest

from stress.schedulers.execution import Ending, Execution, Run, executions, preemptions
from stress.schedulers.exhaustive import Exhaustive
from stress.syscalls.calls import Scheduler
from tests.stress.schedulers.machine import Op, Program, execute, runner
from tests.stress.schedulers.programs import Body, increment, poll, take_two


def steps(count: int) -> Program:
    def body() -> Body:
        for _ in range(count):
            yield Op("stat", "a")
        return None

    return body


def runnable(decisions: Sequence[int], lengths: Sequence[int]) -> list[set[int]]:
    """Who can go on at each step, where nothing blocks."""
    return [
        {agent for agent, length in enumerate(lengths) if decisions[:at].count(agent) < length}
        for at in range(len(decisions))
    ]


@pytest.mark.parametrize("lengths", [(3, 4), (2, 2, 2), (1, 5), (6, 0)])
def test_every_schedule_is_executed_once(lengths: tuple[int, ...]) -> None:
    scheduler = Exhaustive()
    done = [each.decisions for each in executions(runner([steps(each) for each in lengths], {}), scheduler)]
    total = math.factorial(sum(lengths)) // math.prod(math.factorial(length) for length in lengths)
    assert len(done) == len(set(done)) == total
    assert scheduler.exhausted


@pytest.mark.parametrize("bound", [0, 1, 2, 3])
def test_a_bound_means_exactly_the_schedules_with_so_many_preemptions(bound: int) -> None:
    lengths = (3, 3, 2)
    run = runner([steps(length) for length in lengths], {})
    every = [each.decisions for each in executions(run, Exhaustive())]
    within = {each for each in every if preemptions(each, runnable(each, lengths)) <= bound}
    scheduler = Exhaustive(bound)
    done = [each.decisions for each in executions(run, scheduler)]
    assert len(done) == len(set(done))
    assert set(done) == within
    assert (scheduler.exhausted, scheduler.covered) == (True, bound)


def test_those_with_fewer_preemptions_come_first() -> None:
    scheduler = Exhaustive(3)
    counts, covered = [], []
    run: Run = runner([steps(3), steps(3)], {})
    for execution in executions(run, scheduler):
        counts.append(preemptions(execution.decisions, runnable(execution.decisions, (3, 3))))
        covered.append(scheduler.covered)
        assert scheduler.preemptions == counts[-1]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3}
    assert all(level == count - 1 for level, count in zip(covered, counts, strict=True))


def test_leaving_an_agent_that_waits_for_a_lock_is_no_preemption() -> None:
    run = runner([take_two("x", "x"), take_two("x", "x")], {"x": b""})
    assert all(each.ending is Ending.DONE for each in executions(run, Exhaustive(0)))
    deadlock = runner([take_two("x", "y"), take_two("y", "x")], {"x": b"", "y": b""})
    assert not any(each.failed for each in executions(deadlock, Exhaustive(0)))
    assert any(each.failed for each in executions(deadlock, Exhaustive(1)))


def test_polling_in_vain_is_no_choice_so_the_search_ends() -> None:
    scheduler = Exhaustive()
    run = runner([poll("a"), poll("b")], {"lock": b"", "count": b""})
    done = list(itertools.islice(executions(run, scheduler), 200))
    assert scheduler.exhausted
    assert {each.ending for each in done} == {Ending.DONE}
    assert max(len(each.trace) for each in done) < 15


def test_two_updates_have_no_lost_one_without_a_preemption_and_one_with() -> None:
    run = runner(
        [increment("a"), increment("b")], {"count": b"0"}, lambda world: world.entries["count"].content == b"2"
    )
    assert [each.failed for each in executions(run, Exhaustive(0))] == [False, False]
    first = next(number for number, each in enumerate(executions(run, Exhaustive(1))) if each.failed)
    assert first < 6


def test_a_prefix_that_is_not_repeated_is_a_divergence() -> None:
    lengths = itertools.chain([3], itertools.repeat(1))

    def run(scheduler: Scheduler) -> Execution:
        return execute(scheduler, [steps(next(lengths)), steps(3)], {})

    assert Ending.DIVERGED in {each.ending for each in executions(run, Exhaustive())}
