"""``stress explore`` and ``stress replay``: scenarios on targets, from the command line to the exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from stress.anomalies import LOST_UPDATE
from stress.cli._entry import run_command
from stress.engine import HarnessError
from stress.exploring.agents import explore as explore_agents
from stress.exploring.batch import batches, cases_of
from stress.exploring.explore import explore, keep, replay
from stress.exploring.plan import OPTIONS, ExplorePlan
from stress.exploring.search import Failing
from stress.history.kinds import Kind
from stress.options import UsageError
from stress.reporters.explore_view import view
from stress.result import Finding, Verdict
from stress.schedulers.execution import Execution
from stress.schedulers.saved import SavedSchedule
from stress.syscalls import Denied, Supervisor

BROKEN = (
    # target, scenario, operations of each process, anomaly, schedules within which it must be found
    pytest.param("no-lock", "session_count", 1, "lost-update", 20, marks=pytest.mark.long),
    ("naive", "session_count", 1, "lost-update", 60),
    pytest.param("naive", "handoff", 1, "torn-read", 60, marks=pytest.mark.long),
    pytest.param("lock-broken-by-age", "session_count", 1, "lost-update", 120, marks=pytest.mark.long),
    pytest.param("lock-unlinked", "session_count", 2, "lost-update", 400, marks=pytest.mark.long),
)
SEEDS = {"lock-unlinked": 5}
"""With which it is found soon; a day's exploration takes any."""

pytestmark = pytest.mark.usefixtures("needs_scheduling")


@pytest.mark.parametrize(("target", "scenario", "ops", "anomaly", "within"), BROKEN)
def test_what_is_broken_is_found_and_its_schedule_replays(
    tmp_path: Path, target: str, scenario: str, ops: int, anomaly: str, within: int
) -> None:
    others = tuple({"torn-read", "readable"} - {anomaly}) if anomaly in ("lost-update", "torn-read") else ("readable",)
    plan = ExplorePlan(
        scenarios=(scenario,), target=target, languages=("python",), ops=ops, seed=SEEDS.get(target, 1),
        schedules=within, allow=others, jobs=1,
    )  # fmt: skip
    result = explore(plan, folder=str(tmp_path))
    assert anomaly in {str(finding.anomaly) for finding in result.findings}
    assert result.verdict is Verdict.FAIL
    assert result.exploration is not None
    saved = SavedSchedule.from_json(Path(result.exploration.file).read_text("utf-8"))
    histories = []
    for _ in range(2):
        execution, again = replay(saved)
        assert execution.diverged is None
        assert again.verdict is Verdict.FAIL
        assert again.history is not None
        histories.append(again.history.ops.tobytes())
    assert histories[0] == histories[1]


def test_two_updates_of_the_helpers_are_proved(tmp_path: Path) -> None:
    plan = ExplorePlan(processes=2, languages=("python",), scheduler="dpor", schedules=None, seed=1, jobs=1)
    result = explore(plan, folder=str(tmp_path))
    assert result.verdict is Verdict.PASS
    assert result.exploration is not None
    assert result.exploration.proved


def test_a_bash_worker_is_scheduled_and_recorded(tmp_path: Path) -> None:
    plan = ExplorePlan(
        scenarios=("progress_log",), languages=("bash", "python"), processes=2, ops=2, seed=1, schedules=2, jobs=1
    )
    result = explore(plan, folder=str(tmp_path))
    assert result.verdict is Verdict.PASS
    languages = result.operations["append"]
    assert languages["bash"]["ok"] == languages["python"]["ok"] == 4


@pytest.mark.long
def test_the_result_is_the_same_however_many_jobs_share_the_work(tmp_path: Path) -> None:
    results = []
    for jobs in (1, 2):
        plan = ExplorePlan(target="naive", languages=("python",), seed=3, schedules=60, jobs=jobs, keep_going=True)
        began = time.monotonic()
        result = explore(plan, folder=str(tmp_path))
        assert result.exploration is not None
        assert result.exploration.seconds <= time.monotonic() - began, "two supervisors at once take it once"
        results.append((result.findings, replace(result.exploration, seconds=0, file="")))
    assert results[0] == results[1]
    assert results[0][1].schedules == 60
    assert 1 < results[0][1].failing < 60


@pytest.mark.parametrize(("scheduler", "said"), [("pct", "a bug of depth 1 missed: "), ("dpor", " executed of about ")])
def test_the_progress_says_what_is_reached_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], scheduler: str, said: str
) -> None:
    monkeypatch.setattr("stress.exploring.explore.SHOW_EVERY_S", 0)
    monkeypatch.setattr("stress.reporters.explore_view._LINE_S", 0)
    monkeypatch.setattr("stress.exploring.batch._SIZE", 2)
    plan = ExplorePlan(processes=2, languages=("python",), scheduler=scheduler, depth=1, seed=1, schedules=4, jobs=1)
    with view(quiet=False) as watch:
        explore(plan, watch, folder=str(tmp_path))
    lines = capsys.readouterr().err.splitlines()
    assert said in lines[-1]


def test_operations_vary_from_round_to_round() -> None:
    plan = ExplorePlan(scenarios=("backups",), ops=2, seed=1, languages=("python",))
    made = {str(cases_of(plan, number)[0].duties) for number in range(8)}
    assert len(made) > 1
    assert str(cases_of(plan, 3)[0].duties) in made


def test_every_scenario_changes_something_also_with_one_operation_a_process() -> None:
    plan = ExplorePlan(scenarios=("backups", "completion", "handoff", "progress_log", "resume"), seed=1)
    for case in cases_of(plan):
        for duty in case.duties:
            assert len(duty.requests) == 1
            assert duty.part == "reader" or duty.requests[0].kind not in (Kind.READ, Kind.OBSERVE), case.name


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("jq", "can do none of the scenarios session_count; bash read, update: jq is missing; apt-get install jq"),
        ("bash", "is no side of the target atomicops; it has: python; bash workers: bash is missing; apt-get install"),
    ],
)
def test_a_language_that_lacks_a_program_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, path_without: Callable[[str], str], program: str, says: str
) -> None:
    monkeypatch.setenv("PATH", path_without(program))
    monkeypatch.setattr("stress.exploring.batch._asked", [])  # both have the same PATH
    with pytest.raises(UsageError, match=re.escape(says)):
        cases_of(ExplorePlan(languages=("bash",)))


def test_a_signal_is_made_and_looked_for(tmp_path: Path) -> None:
    plan = ExplorePlan(scenarios=("completion",), languages=("python",), seed=1, schedules=4, jobs=1)
    result = explore(plan, folder=str(tmp_path))
    assert result.verdict is Verdict.PASS, result.findings
    assert result.operations["write"]["python"]["ok"] == 8


def test_the_schedules_of_a_scenario_are_divided_among_its_cases_by_what_they_cost() -> None:
    plan = ExplorePlan(scenarios=("session_count",), schedules=1000, seed=1)
    cases = cases_of(plan)
    divided = [0] * len(cases)
    for batch in batches(plan, cases, lambda index: False):
        divided[batch.case] += batch.schedules or 0
    assert [case.is_slow for case in cases] == [False, True, True]
    assert divided == [800, 100, 100]


def stress(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    return subprocess.run(
        [sys.executable, "-m", "stress", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_command_finds_keeps_and_replays(tmp_path: Path) -> None:
    done = stress(
        "explore", "--target", "no-lock", "--languages", "python", "--seed", "1", "--report", "json=report.json",
        "--save-regression", "lost", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "came between" in done.stdout
    assert "Not scheduled:" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    file = report["exploration"]["file"]
    assert report["plan"]["mode"] == "explore"
    assert (tmp_path / "stress-regressions" / "lost.schedule.json").exists()
    assert f"stress replay {file}" in done.stdout
    again = stress("replay", file, "--step", "-q", folder=tmp_path)
    assert again.returncode == 1, again.stderr
    saved = json.loads((tmp_path / file).read_text())
    target = next(file for file in saved["hashes"] if file.endswith("no_lock.py"))
    saved["hashes"][target] = "0" * 64
    saved["steps"][4][1] = "unlink what is not there"
    (tmp_path / "other.schedule.json").write_text(json.dumps(saved))
    other = stress("replay", "other.schedule.json", folder=tmp_path)
    assert other.returncode == 3
    assert "step 5" in other.stdout
    assert "unlink what is not there" in other.stdout
    assert f"{target} has changed" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explore", "--scheduler", "ddpor"], "dpor"),
        (["explore", "--processes", "none"], "--processes"),
        (["explore", "--languages", "perl"], "--languages"),
        (["explore", "--until", "100%"], "--until"),
        (["explore", "no_scenario"], "no_scenario"),
        (["explore", "--target", "no_target"], "no_target"),
        (["explore", "--allow", "lost-updates"], "lost-update"),
        (["replay", "nowhere.schedule.json"], "nowhere"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_where_it_is_denied_the_command_says_what_would_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise Denied("seccomp user notification is not available", "docker run --security-opt seccomp=unconfined")

    monkeypatch.setattr("stress.syscalls.supervisor.Supervisor.run", denied)
    assert run_command(["explore", "--languages", "python", "--schedules", "1"]) == 4
    assert "--security-opt" in capsys.readouterr().err
    assert run_command(["doctor"]) in (0, 3)
    assert "needed for `stress explore`" in capsys.readouterr().out


def test_workers_in_other_languages_are_scheduled() -> None:
    if shutil.which("perl") is None:
        pytest.skip("perl is missing")
    target = str(Path(__file__).parents[3] / "docs" / "workers" / "perl.toml")
    result = explore(ExplorePlan(target=target, processes=2, schedules=2, seed=1, jobs=1))
    assert result.verdict is Verdict.PASS, result.findings
    assert result.exploration is not None
    assert result.exploration.cases[0][0] == "session_count (perl)"
    labels = {language.label for _, language in result.stats.kinds}
    assert labels == {"perl"}, "what it did is told as its own"


def test_where_nothing_can_be_kept_it_is_said_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    runs = str(tmp_path / "file" / "runs")
    for argv in (["explore", "--target", "no-lock", "--runs", runs], ["run", "handoff", "--runs", runs]):
        assert run_command(argv) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("stress: --runs: ")
        assert "give a directory that can be written to" in line
    with pytest.raises(UsageError, match="--runs"):
        explore_agents([["true"]], tmp_path, lambda folder: True, schedules=1, runs=runs)


def test_every_option_fills_a_field_of_the_plan_and_is_read_there_too() -> None:
    plan = ExplorePlan(languages=["bash", "bash", "python"], seed="7", duration_s="2s")  # type: ignore[arg-type]
    assert (plan.languages, plan.seed, plan.duration_s) == (("bash", "bash", "python"), 7, 2.0)
    filled = {option.field for option in OPTIONS.values()} | {"scenarios"}
    assert filled == {field.name for field in fields(ExplorePlan)}
    for wrong in ({"processes": 17}, {"depth": 0}, {"languages": ("a b",)}, {"jobs": -1}, {"duration_s": 0}):
        with pytest.raises(UsageError):
            ExplorePlan(**wrong)


def test_a_schedule_that_cannot_be_kept_in_the_end_is_told_with_how_to_find_it_again(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failing = Failing(Execution((), failed=True, findings=(Finding(LOST_UPDATE, "explore", "", "", "it is gone"),)), 1)
    with pytest.raises(HarnessError, match=r"could not be kept as .*the seed 7 finds it again: it is gone"):
        keep(failing, {"seed": 7}, ["p1"], tmp_path / "file" / "runs")


def test_processes_do_one_operation_and_two_in_turn() -> None:
    assert [ExplorePlan().ops_of(round) for round in range(3)] == [1, 2, 1]
    assert [ExplorePlan(ops=3).ops_of(1), ExplorePlan(scheduler="dpor").ops_of(1)] == [3, 1]
    for round, count in enumerate((1, 2)):
        (case,) = cases_of(ExplorePlan(languages=("python",), seed=1), round)
        assert {len(duty.requests) for duty in case.duties} == {count}


@pytest.mark.parametrize("round", range(4))
def test_what_a_role_does_in_two_steps_is_not_cut_apart(round: int) -> None:
    (case,) = cases_of(ExplorePlan(scenarios=("resume",), ops=2, seed=1, languages=("python",)), round)
    writers = [duty.requests for duty in case.duties if duty.part == "writer"]
    assert len({request.path for requests in writers for request in requests}) == 1
    assert (Kind.RECOVER, Kind.UPDATE) in {tuple(request.kind for request in requests) for requests in writers}


@pytest.mark.usefixtures("needs_scheduling")
@pytest.mark.parametrize("files", [12, 16, 20])
def test_too_few_descriptors_are_told_in_one_line(tmp_path: Path, files: int) -> None:
    command = [sys.executable, "-m", "atomicops_stress", "explore", "--target", "naive", "--schedules", "200"]
    limited = ["bash", "-c", f'ulimit -n {files}; exec "$@"', "bash", *command]
    done = subprocess.run(limited, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert re.fullmatch(r"stress: Too many open files( \(.*\))?: raise `ulimit -n`\n", done.stderr)


def test_where_there_is_no_proc_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: not str(path).startswith("/proc") and there(path))
    with pytest.raises(Denied, match=r"there is no /proc here.*mount"):
        Supervisor(tmp_path)
