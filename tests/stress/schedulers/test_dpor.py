"""DPOR reaches exactly the outcomes of exhaustive search, in fewer executions, one of each equivalence class."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence

import pytest

from stress.schedulers.causality import Causality
from stress.schedulers.dpor import Dpor
from stress.schedulers.equivalents import linear_extensions
from stress.schedulers.execution import Ending, Execution, Run, Tally, executions
from stress.schedulers.exhaustive import Exhaustive
from stress.syscalls.calls import Access, Call, Scheduler, Step
from tests.stress.schedulers.machine import Op, Program, World, execute, runner
from tests.stress.schedulers.programs import (
    Body,
    converted,
    increment,
    lock_file,
    locked_writer,
    locks,
    poll,
    random_programs,
    reader,
    shared_reader,
    take_two,
    takes_shared,
    torn_writer,
    tries,
    tries_shared,
)

FILES = {"a": b"1", "b": b"2", "count": b"0", "lock": b"", "x": b"", "y": b""}
PROGRAMS = int(os.environ.get("STRESS_RANDOM_PROGRAMS", "140"))
"""How many random programs are compared. A thousand take two minutes."""
PARTS = 4

CLASSIC: dict[str, Sequence[Program]] = {
    "lost update": [increment("a"), increment("b")],
    "update under a lock": [increment("a", "lock"), increment("b", "lock")],
    "deadlock": [take_two("x", "y"), take_two("y", "x")],
    "locks in one order": [take_two("x", "y"), take_two("x", "y")],
    "torn read": [torn_writer, reader],
    "shared lock": [locked_writer, shared_reader, shared_reader],
    "lock made shared": [converted("exclusive", "shared"), shared_reader, locked_writer],
    "lock made shared, and one that tries": [converted("exclusive", "shared"), tries_shared],
    "a try beside two that share": [tries_shared, tries, takes_shared],
    "lock made exclusive": [converted("shared", "exclusive"), locked_writer],
    "lock made exclusive by two": [converted("shared", "exclusive"), converted("shared", "exclusive")],
    "lock that two share while a third waits for both": [
        locks("shared", "exclusive", "try shared"),
        locks("shared", "exclusive"),
        locks("shared"),
    ],
    "polling a lock": [poll("a"), poll("b")],
    "polling a lock file": [lock_file("a"), lock_file("b")],
}


def every(run: Run) -> tuple[Exhaustive, list[Execution]]:
    """Every schedule there is."""
    scheduler = Exhaustive()
    return scheduler, list(executions(run, scheduler))


def reduced(run: Run) -> tuple[Dpor, list[Execution]]:
    """One schedule of each class."""
    scheduler = Dpor()
    return scheduler, list(executions(run, scheduler))


def outcomes(done: Sequence[Execution]) -> set[tuple[Ending, Hashable]]:
    return {(each.ending, each.outcome) for each in done if each.ending is not Ending.ABANDONED}


def order(execution: Execution) -> Hashable:
    """The class of an execution: its steps, named by agent and number, and which happens before which."""
    causality = Causality(execution.trace, execution.blocked)
    names, seen = list[tuple[int, int]](), dict[int, int]()
    for step in execution.trace:
        seen[step.call.agent] = seen.get(step.call.agent, 0) + 1
        names.append((step.call.agent, seen[step.call.agent]))
    steps = range(len(names))
    return frozenset(
        (names[one], names[other]) for other in steps for one in steps[:other] if causality.before(one, other)
    )


def compare(run: Run) -> tuple[int, int]:
    """Check DPOR against exhaustive search; (schedules there are, executions that DPOR needed)."""
    _, all_of_them = every(run)
    scheduler, chosen = reduced(run)
    tally = Tally()
    for execution in chosen:
        tally.add(execution)
    assert scheduler.proved(tally)
    assert outcomes(chosen) == outcomes(all_of_them)
    complete = [order(each) for each in chosen if each.ending is not Ending.ABANDONED]
    assert len(complete) == len(set(complete)) == scheduler.executed, "a class was executed twice"
    assert (scheduler.schedules, scheduler.exact) == (len(all_of_them), True), "the classes are not all"
    return len(all_of_them), len(chosen)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_programs_have_the_outcomes_of_exhaustive_search(part: int) -> None:
    counts = [compare(runner(random_programs(seed), FILES)) for seed in range(part, PROGRAMS, PARTS)]
    there_are, executed = (sum(column) for column in zip(*counts, strict=True))
    assert executed * 10 < there_are


@pytest.mark.parametrize("seed", [257, 532])
def test_random_programs_that_were_wrong_once(seed: int) -> None:
    """A lock that is shared first and then exclusive, and the other way round."""
    compare(runner(random_programs(seed), FILES))


@pytest.mark.parametrize("name", CLASSIC)
def test_classic_programs_have_the_outcomes_of_exhaustive_search(name: str) -> None:
    compare(runner(CLASSIC[name], FILES))


def test_a_deadlock_is_reached_although_the_call_that_waits_is_never_done() -> None:
    _, done = reduced(runner(CLASSIC["deadlock"], FILES))
    assert [each.failed for each in done].count(True) == 1
    assert len(done) == 3


def test_an_update_under_a_lock_is_proved_in_two_orders_of_the_lock() -> None:
    """Opening the lock file, which one of the two creates, doubles them."""
    run = runner(CLASSIC["update under a lock"], {**FILES}, lambda world: world.entries["count"].content == b"2")
    scheduler, done = reduced(run)
    assert not any(each.failed for each in done)
    assert len(done) == 2
    fresh = {path: data for path, data in FILES.items() if path != "lock"}
    assert len(reduced(runner(CLASSIC["update under a lock"], fresh))[1]) == 4
    assert scheduler.schedules > len(done)


def test_three_updates_without_a_lock_are_counted_without_being_executed() -> None:
    scheduler, done = reduced(runner([increment("a"), increment("b"), increment("c")], FILES))
    assert scheduler.schedules == 18 * 17 * 16 * 15 * 14 * 13 // 720 * 924  # 18! / (6! 6! 6!)
    assert len(done) < 60


def test_independent_programs_need_one_execution() -> None:
    def write_own(name: str) -> Program:
        def body() -> Body:
            fd = yield Op("open", name, flags=frozenset({"create"}))
            yield Op("write", fd=fd, data=b"1")
            yield Op("stat", name)
            return None

        return body

    scheduler, done = reduced(runner([write_own("p"), write_own("q"), write_own("r")], FILES))
    assert len(done) == 1
    assert scheduler.schedules == 1680


def test_tries_that_fail_commute() -> None:
    """The order in which two try in vain while a third has the lock is nothing to be explored."""
    scheduler, done = reduced(runner([poll("a"), poll("b"), poll("c")], FILES))
    assert (len(done), scheduler.schedules) == (48, 190_320)


def test_polling_that_never_ends_is_cut_and_proves_nothing() -> None:
    def waits_for_nobody() -> Body:
        while (yield Op("stat", "never")) < 0:
            yield Op("sleep")
        return None

    scheduler, tally = Dpor(), Tally()
    for execution in executions(lambda each: execute(each, [waits_for_nobody], {}, steps_max=50), scheduler):
        tally.add(execution)
    assert scheduler.exhausted
    assert tally.endings == {Ending.CUT: 1}
    assert not scheduler.proved(tally)


def test_an_execution_that_does_not_repeat_its_beginning_proves_nothing() -> None:
    runs = 0

    def other_each_time() -> Body:
        yield Op("stat", "a" if runs < 2 else "b")
        yield Op("write", fd=(yield Op("open", "a")), data=b"1")
        return None

    def run(scheduler: Scheduler) -> Execution:
        nonlocal runs
        runs += 1
        return execute(scheduler, [other_each_time, other_each_time], FILES)

    scheduler, tally = Dpor(), Tally()
    done = list(executions(run, scheduler))
    for execution in done:
        tally.add(execution)
    assert tally.endings[Ending.DIVERGED] >= 1
    diverged = next(each.diverged for each in done if each.diverged is not None)
    assert (diverged.index, "stat a" in diverged.expected, "stat b" in diverged.found) == (0, True, True)
    assert not scheduler.proved(tally)


def test_an_execution_that_ends_before_its_beginning_is_repeated_proves_nothing() -> None:
    scheduler = Dpor()
    calls = [Call(agent, 0, "write", "write", (Access(("inode", "a"), True),)) for agent in (0, 1)]
    assert scheduler.begin()
    assert scheduler.pick(calls, ()) == 0
    assert scheduler.pick(calls[1:], (Step(0, calls[0]),)) == 0
    scheduler.end((Step(0, calls[0]), Step(1, calls[1])))
    assert scheduler.begin()
    scheduler.end(())
    assert not scheduler.begin()
    assert scheduler.exhausted
    assert not scheduler.proved(Tally())


def test_before_it_ran_out_of_schedules_nothing_is_proved() -> None:
    scheduler, tally = Dpor(), Tally()
    for execution in executions(runner(CLASSIC["lost update"], FILES), scheduler):
        assert not scheduler.proved(tally)
        tally.add(execution)
    assert scheduler.proved(tally)


def test_schedules_of_long_executions_are_estimated() -> None:
    def long(name: str) -> Program:
        def body() -> Body:
            for _ in range(40):
                yield Op("stat", name)
            return None

        return body

    world = World([long("p"), long("q"), long("r")], {})
    trace = list[Step]()
    while calls := world.calls()[0]:
        call: Call = calls[len(trace) % len(calls)]
        trace.append(Step(len(trace), call, world.do(call.agent)))
    count, exact = linear_extensions(trace)
    assert not exact
    assert 0.1 < count / 1.4e55 < 10  # 120! / (40!)³
