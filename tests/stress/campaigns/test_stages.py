"""A long run in stages comes to what its stages come to, and keeps what they found, in bounded space."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from stress import engine
from stress.anomalies import TORN_READ
from stress.campaigns.stages import Stages, run
from stress.execution.progress import Phase, Progress
from stress.history.kinds import FaultKind, Kind, Language, Outcome
from stress.history.record import Operation
from stress.plan import Plan
from stress.reporters.words import verdict_line
from stress.result import Finding, Result, Verdict
from stress.stats import KindStats, Stats

TORN = """
import json, os, time
import atomicops

RESIDUE = (".*.lock",)
stage = []  # of a worker: how many run directories there are beside its own

def write(path, document):
    if not stage:
        stage.append(len(os.listdir("RUNS")) - 1)
    if stage[0] == TORN_IN:
        with open(path, "w") as file:
            time.sleep(0.005)  # it is empty for long enough that somebody is sure to see it so
            json.dump(document, file)
    else:
        atomicops.atomic_write_json(document, path, durability="none")

def read(path):
    with open(path) as file:
        return json.load(file)
"""


def _run(tmp_path: Path, torn_in: int, **fields: Any) -> Result:
    (tmp_path / "files").mkdir()
    (tmp_path / "runs").mkdir()
    target = tmp_path / "mine.py"
    target.write_text(TORN.replace("RUNS", str(tmp_path / "runs")).replace("TORN_IN", str(torn_in)))
    plan = Plan(
        scenarios=("handoff",), target=str(target), writers=3, readers=2, mix=(("python", 3),), seed=5,
        runs=str(tmp_path / "runs"), directory=str(tmp_path / "files"), **fields,
    )  # fmt: skip
    result = run(plan)
    assert os.listdir(tmp_path / "files") == []
    assert json.loads(Path(result.run, "result.json").read_text("utf-8"))["message"] == verdict_line(result)
    return result


def test_the_evidence_of_an_early_stage_outlives_the_later_ones_and_the_rest_goes(tmp_path: Path) -> None:
    result = _run(tmp_path, torn_in=1, duration_s=2.0, check_every_s=0.5, keep=2)
    assert result.verdict is Verdict.FAIL
    assert result.stats.stages == 4
    kept = sorted(os.listdir(tmp_path / "runs"))
    assert len(kept) == 2
    assert Path(result.run).name in kept
    torn = next(found for found in result.findings if found.anomaly == "torn-read")
    label, text = torn.detail[-1]
    assert (label, text.startswith("2, seed 6;")) == ("stage", True)
    again = engine.check(result.run)
    assert {found.anomaly for found in again.findings} == {found.anomaly for found in result.findings}
    assert json.loads((Path(result.run) / "plan.json").read_text())["seed"] == 6


def test_figures_are_those_of_all_stages_together(tmp_path: Path) -> None:
    result = _run(tmp_path, torn_in=-1, duration_s=1.5, check_every_s=0.5, keep=20)
    assert result.verdict is Verdict.PASS
    stages = [engine.check(str(path)) for path in sorted((tmp_path / "runs").iterdir())]
    assert len(stages) == result.stats.stages == 3
    assert result.stats.total == sum(stage.stats.total for stage in stages)
    assert result.stats.processes == sum(stage.stats.processes for stage in stages)
    assert result.stats.duration_s == pytest.approx(sum(stage.stats.duration_s for stage in stages))
    for kind, by_language in result.operations.items():
        for language, outcomes in by_language.items():
            for outcome, count in outcomes.items():
                assert count == sum(stage.operations[kind][language].get(outcome, 0) for stage in stages)
    p99_s = [stage.stats.kinds[Kind.WRITE, Language.PYTHON].p99_s or 0.0 for stage in stages]
    together = result.stats.kinds[Kind.WRITE, Language.PYTHON].p99_s
    assert together is not None
    assert min(p99_s) <= together <= max(p99_s)
    assert result.stats.cpu is not None
    assert 0 < result.stats.cpu.harness_share < 1


def test_it_ends_at_the_first_violation_where_that_is_asked(tmp_path: Path) -> None:
    result = _run(tmp_path, torn_in=0, duration_s=60.0, check_every_s=1.0, stop_on_first=True)
    assert (result.verdict, result.stats.stages) == (Verdict.FAIL, 1)


WRITES = (Kind.WRITE, Language.PYTHON)


def _came_to(verdict: Verdict, run: str, *findings: Finding, interrupted: bool = False, operations: int = 10) -> Result:
    done = KindStats({Outcome.OK: operations - 1, Outcome.INFO: 1})
    stats = Stats(duration_s=1.0, kinds={WRITES: done}, processes=2, in_flight_s=1.5, faults={FaultKind.KILL: 1})
    return Result(verdict, findings, stats, {}, run=run, interrupted=interrupted)


def _found(verdict: Verdict, file: str) -> Finding:
    return Finding(
        TORN_READ, "torn", "handoff", file, "it was torn", (Operation(1, Kind.READ),), count=3, verdict=verdict
    )


def _through(plan: Plan, *results: Result) -> tuple[Stages, list[Plan]]:
    stages, plans = Stages(plan), []
    for result in results:
        stage = stages.next()
        assert stage is not None
        plans.append(stage)
        stages.add(stage, result)
    return stages, plans


def test_the_first_of_the_worst_is_shown_with_the_findings_of_all() -> None:
    plan = Plan(duration_s=100.0, check_every_s=10.0, seed=(1 << 64) - 1)
    stages, plans = _through(
        plan,
        _came_to(Verdict.PASS, "a"),
        _came_to(Verdict.UNKNOWN, "b", _found(Verdict.UNKNOWN, "x")),
        _came_to(Verdict.FAIL, "c", _found(Verdict.FAIL, "x")),
        _came_to(Verdict.FAIL, "d", _found(Verdict.FAIL, "x"), _found(Verdict.FAIL, "y")),
        _came_to(Verdict.PASS, "e"),
    )
    assert [stage.seed for stage in plans] == [(1 << 64) - 1, 0, 1, 2, 3]
    assert {stage.duration_s for stage in plans} == {10.0}
    assert {stage.check_every_s for stage in plans} == {None}
    result = stages.result()
    assert (result.verdict, result.run) == (Verdict.FAIL, "c")
    assert [(found.file, found.verdict, found.count) for found in result.findings] == [
        ("x", Verdict.FAIL, 6), ("y", Verdict.FAIL, 3), ("x", Verdict.UNKNOWN, 3),
    ]  # fmt: skip
    assert "stress check d shows it" in result.findings[1].detail[-1][1]
    assert result.plan == plan.to_json()
    assert result.operations == {"write": {"python": {"ok": 45, "info": 5}}}


def test_it_ends_with_the_time_the_operations_or_the_patience_of_the_person() -> None:
    in_time, plans = _through(
        Plan(duration_s=25.0, check_every_s=10.0), *[_came_to(Verdict.PASS, str(number)) for number in range(3)]
    )
    assert [stage.duration_s for stage in plans] == [10.0, 10.0, 5.0]
    assert in_time.next() is None
    in_operations, plans = _through(
        Plan(duration_s=None, ops=15, check_every_s=10.0), *[_came_to(Verdict.PASS, str(number)) for number in range(2)]
    )
    assert [stage.ops for stage in plans] == [15, 5]
    assert in_operations.next() is None
    interrupted, _ = _through(
        Plan(duration_s=25.0, check_every_s=10.0), _came_to(Verdict.UNKNOWN, "b", _found(Verdict.UNKNOWN, "x")),
        _came_to(Verdict.PASS, "c", interrupted=True),
    )  # fmt: skip
    assert interrupted.next() is None
    assert interrupted.result().interrupted
    assert interrupted.result().run == "b"


def test_what_is_seen_meanwhile_goes_on_from_stage_to_stage() -> None:
    stages, _ = _through(
        Plan(duration_s=100.0, check_every_s=10.0), _came_to(Verdict.FAIL, "a", _found(Verdict.FAIL, "x"))
    )
    now = Progress(
        Phase.RUNNING,
        2.0,
        10.0,
        None,
        {WRITES: KindStats({Outcome.OK: 5})},
        {WRITES: 7.0},
        1.0,
        1,
        {TORN_READ: 1},
        3,
        2,
    )
    whole = stages.progress(now)
    assert whole.kinds[WRITES].outcomes == {Outcome.OK: 14, Outcome.INFO: 1}
    assert dataclasses.replace(whole, kinds=now.kinds) == dataclasses.replace(
        now, elapsed_s=12.0, duration_s=100.0, kills=2, violations={TORN_READ: 4}, stage=2, stages=10
    )
