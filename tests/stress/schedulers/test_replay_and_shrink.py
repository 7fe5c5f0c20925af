"""Replay: the same again, or where and why not. Shrinking: the fewest preemptions. Critical steps: which, in words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from stress.schedulers.critical import Critical, critical_steps
from stress.schedulers.dpor import Dpor
from stress.schedulers.execution import Ending, Execution, Run, executions
from stress.schedulers.random import Random
from stress.schedulers.replay import Replay, TolerantReplay
from stress.schedulers.shrink import ddmin, shrink
from stress.syscalls.calls import Diverged, Scheduler
from stress.syscalls.source import Source
from tests.stress.schedulers.machine import Op, Program, World, execute, open_, read, runner, sleep, stat, write
from tests.stress.schedulers.programs import Body, increment, reader, take_two, torn_writer

COUNT = {"count": b"0"}


def counted(world: World) -> bool:
    return world.entries["count"].content == b"%d" % len(world.agents)


def whole(world: World) -> bool:
    return all(agent.answer in (None, b"0", b"1234") for agent in world.agents)


def lost_updates(count: int) -> Run:
    return runner([increment("abcde"[number]) for number in range(count)], COUNT, counted)


def first_failing(run: Run, scheduler: Scheduler) -> Execution:
    return next(each for each in itertools.islice(executions(run, scheduler), 3000) if each.failed)


def replayed(run: Run, scheduler: Scheduler) -> Execution:
    assert scheduler.begin()
    done = run(scheduler)
    assert not scheduler.begin()
    return done


def test_every_execution_is_replayed_exactly() -> None:
    run = lost_updates(3)
    for execution in itertools.islice(executions(run, Random(4)), 100):
        texts = [step.call.text for step in execution.trace]
        again = replayed(run, Replay(execution.decisions, texts))
        assert (again.trace, again.outcome) == (execution.trace, execution.outcome)


@pytest.mark.parametrize(
    ("decisions", "texts", "index", "expected", "found"),
    [
        ([0, 1, 1], ["open count", "open count", "write"], 2, "agent 2: write", "agent 2: read"),
        ([0, 1, 2], [], 2, "a call of agent 3", "agent 1: read; agent 2: read"),
        ([0, 1], [], 2, "the end", "agent 1: read; agent 2: read"),
        ([0, 0, 1, 1, 1], [], 4, "a call of agent 2", "the end"),
    ],
)
def test_a_divergence_says_where_and_why(
    decisions: Sequence[int], texts: Sequence[str], index: int, expected: str, found: str
) -> None:
    scheduler = Replay(decisions, texts)
    scheduler.begin()
    with pytest.raises(Diverged) as raised:
        _step_through(scheduler)
    assert (raised.value.index, raised.value.expected, raised.value.found) == (index, expected, found)
    assert str(raised.value) == f"step {index + 1}: expected {expected}; found {found}"


def _step_through(scheduler: Scheduler) -> None:
    """Two readers, and what `pick` and `end` raise is let through."""
    done = execute(scheduler, [reader, reader], COUNT)
    if done.diverged is not None:
        raise done.diverged


def test_texts_and_decisions_belong_together() -> None:
    with pytest.raises(ValueError, match="2 decisions, but 1 texts"):
        Replay([0, 1], ["open"])


def test_a_tolerant_replay_skips_what_it_can_not_follow_and_then_goes_straight_on() -> None:
    run = runner([reader, reader], COUNT)
    assert replayed(run, TolerantReplay([7, 1, 0, 1, 1, 1])).decisions == (1, 0, 1, 0)
    assert replayed(run, TolerantReplay([1])).decisions == (1, 1, 0, 0)
    assert replayed(run, TolerantReplay([])).decisions == (0, 0, 1, 1)
    scheduler = TolerantReplay([0, 1, 1, 0])
    replayed(run, scheduler)
    assert scheduler.runnable == [{0, 1}, {0, 1}, {0, 1}, {0}]


def test_draws_are_recorded_and_played_again() -> None:
    source = Source("7")
    numbers = [source.draw(100) for _ in range(20)]
    assert source.drawn == numbers
    assert len(set(numbers)) > 10
    undisturbed = Source("7")
    assert len({undisturbed.choose(5) for _ in range(50)}) == 5
    assert [undisturbed.draw(100) for _ in range(20)] == numbers
    again = Source("other", numbers[:10])
    assert [again.draw(100) for _ in range(10)] == numbers[:10]
    assert again.drawn == numbers[:10]
    assert all(0 <= again.draw(3) < 3 for _ in range(100))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("agents", [2, 3, 4])
def test_a_lost_update_is_shrunk_to_one_preemption(agents: int, seed: int) -> None:
    run = lost_updates(agents)
    shrunk = shrink(run, first_failing(run, Random(seed)))
    assert (shrunk.preemptions, shrunk.fewest, shrunk.execution.failed) == (1, True, True)
    assert sum(one != other for one, other in itertools.pairwise(shrunk.execution.decisions)) == agents
    assert shrunk.runs < 55
    again = replayed(run, Replay(shrunk.execution.decisions))
    assert again.trace == shrunk.execution.trace


def twice_between() -> Body:
    """Fails if the file changed twice while it was read: between reads 1 and 2, and between reads 2 and 3."""
    fd = yield open_("count")
    seen = []
    for _ in range(3):
        seen.append((yield read(fd)))
    return tuple(seen)


def writes_twice() -> Body:
    fd = yield open_("count")
    for _ in range(2):
        yield write(fd, b"1")
    return None


def test_two_preemptions_that_are_needed_are_kept() -> None:
    """Reader, writer, reader, writer, reader: the last switches back are preemptions too, of which three are needed."""
    run = runner([twice_between, writes_twice], COUNT, lambda world: world.agents[0].answer != (b"0", b"01", b"011"))
    shrunk = shrink(run, first_failing(run, Random(1)))
    assert (shrunk.preemptions, shrunk.fewest) == (3, True)


def far_apart(first: Op, second: Op) -> Program:
    """Two calls with many others before, between and after them."""

    def body() -> Body:
        yield open_("count")
        answers = []
        for op in (first, second):
            for _ in range(15):
                yield stat("count")
            answers.append((yield op))
        for _ in range(15):
            yield stat("count")
        return tuple(answers)

    return body


def test_where_a_search_would_take_too_long_delta_debugging_finds_the_preemptions() -> None:
    """Each read sees one more write: two preemptions among 94 steps, of which there are thousands."""
    programs = [far_apart(write(0, b"1"), write(0, b"2")), far_apart(read(0), read(0))]
    run = runner(programs, COUNT, lambda world: world.agents[1].answer != (b"01", b"012"))
    shrunk = shrink(run, first_failing(run, Random(1)), runs_max=400)
    decisions = shrunk.execution.decisions
    assert (shrunk.preemptions, sum(one != other for one, other in itertools.pairwise(decisions))) == (2, 3)


@pytest.mark.parametrize("lost", [1, 2])
def test_shrinking_keeps_to_the_same_failure(lost: int) -> None:
    run = lost_updates(3)

    def so_many_lost(execution: Execution) -> bool:
        return f"('count', b'{3 - lost}')" in str(execution.outcome)

    failing = next(each for each in executions(run, Random(0)) if so_many_lost(each))
    shrunk = shrink(run, failing, same=so_many_lost)
    assert so_many_lost(shrunk.execution)
    assert (shrunk.preemptions, shrunk.fewest) == (1, True)


def test_shrinking_has_a_bound_and_says_that_it_proved_nothing() -> None:
    run = lost_updates(4)
    runs = 0

    def counting(scheduler: Scheduler) -> Execution:
        nonlocal runs
        runs += 1
        return run(scheduler)

    failing = first_failing(run, Random(2))
    shrunk = shrink(counting, failing, runs_max=3)
    assert shrunk.execution.failed
    assert shrunk.runs == runs <= 3 + 1
    assert not shrunk.fewest


def test_what_does_not_fail_again_is_returned_as_it_is() -> None:
    failing = first_failing(lost_updates(2), Random(1))
    shrunk = shrink(runner([reader, reader], COUNT), failing)
    assert shrunk.execution is failing
    assert not shrunk.fewest


def test_delta_debugging_leaves_out_all_that_can_be() -> None:
    calls = []

    def fails(items: Sequence[int]) -> bool:
        calls.append(tuple(items))
        return {3, 17, 18} <= set(items)

    assert ddmin(range(40), fails) == [3, 17, 18]
    assert len(calls) < 60
    assert ddmin([1, 2], lambda items: True) == []


def critical(run: Run, names: Sequence[str] = ()) -> Critical:
    shrunk = shrink(run, first_failing(run, Random(1)))
    found = critical_steps(run, shrunk.execution, names=names)
    assert found is not None
    assert list(found.steps) == sorted(found.steps)
    return found


def test_the_critical_steps_of_a_lost_update() -> None:
    words = critical(lost_updates(2)).words
    assert words in (
        "agent 2's `rename .b.tmp count` came between agent 1's `open count` and agent 1's `rename .a.tmp count`",
        "agent 1's `rename .a.tmp count` came between agent 2's `open count` and agent 2's `rename .b.tmp count`",
    )


def test_the_critical_steps_of_a_torn_read() -> None:
    """The reader may come between truncating and writing, or between both parts: its opening does not matter."""
    words = critical(runner([torn_writer, reader], COUNT, whole), ["the writer", "the reader"]).words
    assert words in (
        "the reader's `read` came between the writer's `open count trunc` and the writer's `write 12`",
        "the reader's `read` came between the writer's `write 12` and the writer's `write 34`",
    )


def test_the_critical_steps_of_a_deadlock() -> None:
    run = runner([take_two("x", "y"), take_two("y", "x")], {"x": b"", "y": b""})
    words = critical(run).words
    assert words in (
        "agent 2 waits for ever: its `flock` came after agent 1's `flock`",
        "agent 1 waits for ever: its `flock` came after agent 2's `flock`",
    )


def test_where_no_single_reordering_helps_nothing_is_said() -> None:
    run = runner([reader, torn_writer], COUNT, lambda world: False)
    assert critical_steps(run, first_failing(run, Random(1))) is None


@pytest.mark.parametrize("agents", [2, 3])
def test_what_fails_one_after_the_other_too_is_said_soon(agents: int) -> None:
    runs = 0
    run = runner([reader, *[torn_writer] * (agents - 1)], COUNT, lambda world: False)

    def counting(scheduler: Scheduler) -> Execution:
        nonlocal runs
        runs += 1
        return run(scheduler)

    shrunk = shrink(counting, first_failing(run, Random(1)))
    assert (shrunk.preemptions, shrunk.fewest) == (0, True)
    found = critical_steps(counting, shrunk.execution)
    assert found is not None
    assert (found.steps, found.words.startswith("of what they do by themselves")) == ((), True)
    assert runs == 3


def test_what_waits_for_another_does_not_run_before_it_and_that_is_not_claimed() -> None:
    """Of two that hand a file over, the second polls until it is there: in reverse they take turns."""

    def gives() -> Body:
        yield open_("gift", "create")
        return None

    def waits() -> Body:
        while (yield stat("gift")) < 0:
            yield sleep()
        return None

    run = runner([gives, waits], COUNT, lambda world: False)
    serial = replayed(run, TolerantReplay([0] * 5 + [1] * 5))
    found = critical_steps(run, serial)
    assert found is None or found.steps


def test_who_acts_alone_is_not_said_to_fail_with_another() -> None:
    alone = runner([reader], COUNT, lambda world: False)
    assert critical_steps(alone, first_failing(alone, Random(1))) is None


def test_what_fails_in_one_order_only_needs_that_order() -> None:
    """The reader wants what the writer leaves."""
    run = runner([torn_writer, reader], COUNT, lambda world: world.agents[1].answer == b"1234")
    shrunk = shrink(run, first_failing(run, Random(1)))
    assert (shrunk.preemptions, shrunk.fewest) == (0, True)
    found = critical_steps(run, shrunk.execution)
    assert found is not None
    assert found.words == "agent 1's `write 34` came after agent 2's `read`"


def test_the_programs_fail_only_where_dpor_says_so() -> None:
    """The word of the tests above: without the bug there is nothing to be shrunk."""
    safe = runner([increment("a", "lock"), increment("b", "lock")], COUNT, counted)
    assert not any(each.failed for each in executions(safe, Dpor()))
    assert {each.ending for each in executions(safe, Dpor())} <= {Ending.DONE, Ending.ABANDONED}
