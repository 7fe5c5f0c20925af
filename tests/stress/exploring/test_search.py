"""How much work goes into a simpler schedule."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from stress.anomalies import LIVELOCK, STALE_READ
from stress.exploring.batch import Batch, BatchReport, cases_of, start
from stress.exploring.explore import CaseReport
from stress.exploring.plan import ExplorePlan
from stress.exploring.recorder import Edges
from stress.exploring.search import Failing, Search, shrunk, step
from stress.history.kinds import Kind
from stress.history.record import Operation
from stress.result import Finding
from stress.schedulers.dpor import Dpor
from stress.schedulers.execution import Ending, Execution, Tally
from stress.schedulers.exhaustive import Exhaustive
from stress.schedulers.random import Random
from stress.schedulers.replay import TolerantReplay
from stress.syscalls import Mark
from stress.syscalls.calls import Call, Scheduler, Step


@pytest.mark.parametrize(("steps", "most"), [(20, 200), (1_000, 60), (5_000, 0)])
def test_a_schedule_of_many_steps_is_executed_seldom_or_not_at_all_to_make_it_simpler(steps: int, most: int) -> None:
    """A livelock has thousands, and each execution of it would have them."""
    trace = tuple(Step(at, Call(at % 2, 0, "write", "write to x", ()), None) for at in range(steps))
    findings = (Finding(LIVELOCK, "explore", "", "", "no end"),)
    failing = Failing(Execution(trace, Ending.CUT, failed=True, findings=findings), 1)
    runs = 0

    def run(scheduler: Scheduler) -> Execution:
        """Fails as long as no step is left out."""
        nonlocal runs
        runs += 1
        if not isinstance(scheduler, TolerantReplay) or len(scheduler.decisions) < steps:
            return Execution(())
        scheduler.runnable = [frozenset({0, 1})] * steps
        return failing.execution

    found = shrunk(run, failing, ("p1", "p2"))
    assert found.findings == findings
    assert runs <= most
    assert steps > 100 or runs > 20


def test_how_many_schedules_there_are_is_said_as_an_estimate_where_they_were_not_counted() -> None:
    dpor = Dpor()
    dpor.exhausted, dpor.executed, dpor.schedules = True, 3, 12.0
    search = Search(dpor, 2, 3)
    assert "3 schedules executed of 12" in search.words()
    dpor.exact = False
    assert "3 schedules executed of about 1e+01" in search.words()


def test_proved_is_said_of_a_search_without_a_bound_in_which_nothing_failed() -> None:
    bounded, whole = Exhaustive(2), Exhaustive()
    bounded.exhausted = whole.exhausted = True
    assert not Search(bounded, 2, 2).proved
    search = Search(whole, 2, 2)
    assert search.proved
    search.tally.add(Execution((), Ending.DONE, failed=True))
    assert not search.proved


def test_a_long_search_keeps_the_operations_of_its_first_lot_alone() -> None:
    """With those of all, a night's search would fill the memory."""
    plan = ExplorePlan(target="naive", languages=("python",))
    reached = CaseReport(plan, cases_of(plan)[0])
    samples: dict[int, tuple[Operation, ...]] = {}
    for number in (2, 0, 1):
        samples[number] = (Operation(process=number, kind=Kind.READ, file=0, version=0, invoke=1, ret=2),)
        failing = Failing(Execution(()), number)
        report = BatchReport(
            Batch(number, 0, number, 50), Tally(), 10 + number, 5, False, "", samples[number], 1, (), failing, None, ""
        )
        before = sys.getrefcount(failing)
        reached.add(report)
        del report
        assert sys.getrefcount(failing) == before - 1
    assert reached.sample == samples[0]
    assert [sys.getrefcount(samples[number]) for number in (1, 2)] == [sys.getrefcount(samples[0]) - 1] * 2
    assert reached.has_ended
    assert "15 PCT schedules, 3 processes, 12 file syscalls" in reached.words()
    reached.keep(1)
    assert "10 PCT schedules, 3 processes, 11 file syscalls" in reached.words()
    reached.keep(-1)
    assert not reached.sample
    assert not reached.has_ended


ASIDE = """
import json

def write(path, document):
    with open(path + ".new", "w") as file:
        json.dump(document, file)

def read(path):
    with open(path) as file:
        return json.load(file)
"""


@pytest.mark.usefixtures("needs_scheduling")
@pytest.mark.parametrize("written", [False, True], ids=["beside the file", "as it should be"])
def test_what_was_over_before_what_began_is_a_part_of_what_is_proved(tmp_path: Path, written: bool) -> None:
    """A reader and a writer that touch different files: no syscall of one depends on one of the other's, and yet what
    is read is stale where the write was over before.
    """
    target = tmp_path / "aside.py"
    target.write_text(ASIDE.replace("write(path, document):", "write_elsewhere():") if written else ASIDE)
    if written:
        target.write_text(target.read_text() + "\nfrom atomicops import atomic_write_json as write\n")
    allowed = ("lost-write", "metadata-lost", "leftover-temp")
    plan = ExplorePlan(
        scenarios=("handoff",),
        target=str(target),
        processes=3,
        languages=("python",),
        scheduler="dpor",
        seed=1,
        allow=allowed,
    )
    (case,) = cases_of(plan)
    writer, _, reader = case.duties
    with ExitStack() as stack:
        one = start(plan, dataclasses.replace(case, duties=(reader, writer)), stack)
        while step(one.search, one.run, keep_going=False):
            pass
    found = one.search.found
    assert one.search.proved is written
    assert (found and [each.anomaly for each in found.findings]) == (None if written else [STALE_READ])


def test_a_step_is_told_where_an_operation_begins_and_where_it_is_over() -> None:
    """Of three agents: one with two operations, one that holds a lock meanwhile, one that marks nothing."""
    marks: list[Mark] = [Mark(0, 0, "1 invoke"), Mark(0, 1, "1 invoke")]
    trace: list[Step] = []
    edges = Edges(Random(1), lambda: marks)
    later = {
        1: [Mark(1, 0, "1 return 0"), Mark(1, 0, "2 invoke")],
        2: [Mark(2, 1, "1 from")],
        4: [Mark(4, 1, "1 held")],
        6: [Mark(6, 1, "1 to"), Mark(6, 1, "1 return 0"), Mark(6, 0, "2 return 0")],
    }
    assert edges.begin()
    for index, agent in enumerate([0, 1, 2, 1, 0, 1]):
        call = Call(agent, 0, "write", "write", ())
        edges.pick([call], trace)
        trace.append(Step(index, call))
        marks += later.get(len(trace), [])
    edges.end(trace)
    assert [step.edge for step in trace] == ["both", "begins", "", "both", "both", "ends"]
