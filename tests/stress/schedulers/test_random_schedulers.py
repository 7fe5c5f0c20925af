"""Random walk, PCT and their mix: what they find, with which probability, and that a seed gives the same again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest

from stress.schedulers.execution import Execution, Run, executions
from stress.schedulers.exhaustive import Exhaustive
from stress.schedulers.guarantee import guarantee, missed_after, pct_probability, runs_needed
from stress.schedulers.mix import Mix, random_and_pct
from stress.schedulers.pct import Pct
from stress.schedulers.random import Random
from stress.schedulers.replay import Replay
from stress.syscalls.calls import Call, Scheduler
from stress.syscalls.source import Source
from tests.stress.schedulers.machine import Op, Program, World, runner
from tests.stress.schedulers.programs import Body, increment, poll, reader, torn_writer


def counted(world: World) -> bool:
    """Whether no update was lost."""
    return world.entries["count"].content == b"%d" % len(world.agents)


def whole(world: World) -> bool:
    """Whether no reader saw half a file."""
    return all(agent.answer in (None, b"0", b"1234") for agent in world.agents)


def chain(depth: int, agents: int = 2, length: int = 8) -> Run:
    """A bug of the given depth: it needs so many ordering constraints between steps of two agents, in turn.

    Agent 0 does its marked steps, agent 1 its own; the bug is that they alternate 0, 1, 0, … at the marks.
    """

    def body(own: int) -> Program:
        def steps() -> Body:
            fd = yield Op("open", "log")
            for index in range(length):
                marked = own < 2 and index % 2 == 0 and index // 2 <= depth // 2
                yield Op("write", fd=fd, data=f"{own}{index} ".encode()) if marked else Op("stat", "log")
            return None

        return steps

    wanted = [f"{index % 2}{index // 2 * 2}" for index in range(depth + 1)]

    def check(world: World) -> bool:
        log = world.entries["log"].content.decode().split()
        places = [log.index(mark) for mark in wanted if mark in log]
        return not (len(places) == len(wanted) and places == sorted(places))

    return runner([body(own) for own in range(agents)], {"log": b""}, check)


def found(run: Run, scheduler: Scheduler, runs: int) -> int:
    """How many of so many executions fail."""
    return sum(each.failed for each in itertools.islice(executions(run, scheduler), runs))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_pct_finds_a_bug_of_its_depth_with_at_least_the_probability_of_the_paper(depth: int) -> None:
    run, runs = chain(depth, length=5), 1500
    scheduler = Pct(7, depth)
    next(executions(run, scheduler))  # it learns how long an execution is
    probability = pct_probability(len(scheduler.agents), scheduler.points, depth)
    expected = runs * probability
    assert expected > 4
    assert found(run, scheduler, runs) >= expected - 3 * math.sqrt(expected)


def test_pct_of_a_depth_too_small_can_not_find_a_bug() -> None:
    """With no change point an execution is one agent after the other."""
    assert found(chain(2), Pct(1, depth=1), 400) == 0
    assert found(chain(2), Pct(1, depth=2), 400) > 0


def test_pct_has_two_priority_changes_at_most_for_depth_three() -> None:
    for execution in itertools.islice(executions(chain(3), Pct(3, depth=3)), 200):
        switches = sum(one != other for one, other in itertools.pairwise(execution.decisions))
        assert switches <= 3  # two changes, and one agent ends


def test_pct_spreads_its_changes_over_the_whole_length() -> None:
    """A change is seen where an agent is left that has more to do."""
    places = set()
    for execution in itertools.islice(executions(chain(1, length=5), Pct(5, depth=3)), 800):
        decisions = execution.decisions
        steps = range(1, len(decisions))
        places |= {at for at in steps if decisions[at] != decisions[at - 1] and decisions[at - 1] in decisions[at:]}
    assert places == set(range(1, 11))


def test_an_agent_that_polls_does_not_starve_the_one_that_holds_the_lock() -> None:
    run = runner([poll("a"), poll("b")], {"lock": b"", "count": b""})
    for execution in itertools.islice(executions(run, Pct(2, depth=3)), 100):
        assert len(execution.trace) < 30


@pytest.mark.parametrize("make", [Random, Pct, random_and_pct])
def test_a_seed_gives_the_same_executions_and_another_gives_others(make: Callable[[int], Scheduler]) -> None:
    run = runner([increment("a"), increment("b")], {"count": b"0"})

    def of(seed: int) -> list[tuple[int, ...]]:
        return [each.decisions for each in itertools.islice(executions(run, make(seed)), 10)]

    assert of(1) == of(1)
    assert of(1) != of(2)
    assert len(set(of(1))) > 4


def test_all_find_a_lost_update_and_a_torn_read_soon() -> None:
    for make in (Random, Pct, random_and_pct):
        lost = runner([increment("a"), increment("b")], {"count": b"0"}, counted)
        torn = runner([torn_writer, reader], {"count": b"0"}, whole)
        assert found(lost, make(3), 30) > 0
        assert found(torn, make(3), 60) > 0


def test_a_mix_goes_round_and_ends_with_its_last_scheduler() -> None:
    run = runner([increment("a"), increment("b")], {"count": b"0"})
    one, two = Exhaustive(0), Replay([0] * 6 + [1] * 6)
    mix = Mix([one, two])
    done = [each.decisions for each in executions(run, mix)]
    assert done == [(0,) * 6 + (1,) * 6, (0,) * 6 + (1,) * 6, (1,) * 6 + (0,) * 6]
    with pytest.raises(ValueError, match="no schedulers"):
        Mix([])


def test_the_arithmetic_of_the_guarantee() -> None:
    assert pct_probability(2, 50, 1) == pytest.approx(1 / 2)
    assert pct_probability(3, 50, 3) == pytest.approx(1 / 7500)
    assert pct_probability(0, 0, 3) == 0
    assert missed_after(7500, 1 / 7500) == pytest.approx(math.exp(-1), rel=1e-3)
    assert missed_after(10, 0.5) == pytest.approx(2**-10)
    assert (missed_after(0, 0.5), missed_after(1, 1.0)) == (1, 0)
    needed = runs_needed(1 / 7500, 0.999)
    assert missed_after(needed, 1 / 7500) <= 0.001 < missed_after(needed - 1, 1 / 7500)
    assert runs_needed(1) == 1
    assert guarantee(1000, 2, 40, 2) == (
        "one given bug of depth 2 was missed with a probability of at most 3.4e-06 "
        "(1,000 PCT schedules, 2 processes, 40 file syscalls; 550 schedules for 99.9 %)"
    )
    assert guarantee(0, 0, 0, 2) == "no guarantee: nothing was executed"


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: pct_probability(2, 10, 0), "depth is 0"),
        (lambda: Pct(depth=0), "depth is 0"),
        (lambda: runs_needed(0), "probability is 0"),
        (lambda: runs_needed(0.5, 1), "confidence is 1"),
        (lambda: Exhaustive(-1), "preemptions is -1"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()


def test_the_guarantee_counts_only_executions_of_the_full_length() -> None:
    run = runner([increment("a"), increment("b")], {"count": b"0"})
    scheduler = Pct(1, depth=2)
    assert scheduler.missed == 1
    done: list[Execution] = list(itertools.islice(executions(run, scheduler), 101))
    assert len(done) == 101
    assert scheduler.missed == pytest.approx(missed_after(100, pct_probability(2, 12, 2)))


def test_change_points_are_spread_over_the_longest_execution_and_not_the_last() -> None:
    scheduler = Pct(1, depth=2)
    trace = next(executions(runner([increment("a")], {"count": b"0"}), scheduler)).trace
    scheduler.begin()
    scheduler.end(trace[:2])
    assert scheduler.points == len(trace) == 6


def test_each_agent_is_picked_as_often_as_any_other() -> None:
    """In 3,000 of 9,000 picks, plus or minus four standard deviations; and so it is with what is drawn."""
    calls = [Call(agent, 0, "stat", "stat a", ()) for agent in range(3)]
    scheduler = Random(1)
    scheduler.begin()
    picked = [scheduler.pick(calls, ()) for _ in range(9_000)]
    drawn = [scheduler.source.draw(3) for _ in range(9_000)]
    for numbers in (picked, drawn):
        assert all(abs(numbers.count(number) - 3_000) < 4 * 45 for number in range(3))


def test_what_is_usual_is_the_first_of_the_choices_as_long_as_nothing_was_recorded() -> None:
    source = Source("7", [5, 1], least=True)
    assert [source.draw(3) for _ in range(4)] == [2, 1, 0, 0]
    assert source.drawn == [2, 1, 0, 0]
