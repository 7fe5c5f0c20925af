"""The same plan over several targets: what the table says is what the runs said."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stress.anomalies import ANOMALIES
from stress.campaigns.compare import compare
from stress.cli._entry import run_command
from stress.execution.sync_count import count_syncs
from stress.history.kinds import Kind, Language, Outcome
from stress.latency import BUCKETS, buckets_of
from stress.plan import Plan
from stress.reporters.compare import lines
from stress.result import Finding, Result, Verdict
from stress.stats import KindStats, Stats
from stress.workload import target
from stress.workload.target import load

TORN = """
import json, time
def write(path, document):
    with open(path, "w") as file:
        time.sleep(0.005)  # it is empty for long enough that somebody is sure to see it so
        json.dump(document, file)
def read(path):
    with open(path) as file:
        return json.load(file)
"""


def _result(plan: Plan, per_s: int, p50_s: float, *anomalies: str) -> Result:
    findings = tuple(Finding(ANOMALIES.get(anomaly), "updates", "x", "state.json", "it is so") for anomaly in anomalies)
    spans = np.zeros(BUCKETS, np.int64)
    spans[buckets_of(np.array([p50_s * 1e9], np.int64))] = per_s * 2
    kinds = {
        (Kind.WRITE, Language.PYTHON): KindStats({Outcome.OK: per_s * 2, Outcome.FAIL: 5}, spans),
        (Kind.READ, Language.PYTHON): KindStats({Outcome.OK: 999}),
    }
    stats = Stats(duration_s=2.0, kinds=kinds)
    return Result(Verdict.FAIL if anomalies else Verdict.PASS, findings, stats, plan.to_json())


def test_figures_are_medians_of_ratios_within_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    # The machine is ten times as slow in the second round: the ratio stays what it is.
    speeds = {"atomicops": [100, 10, 100], "naive": [200, 20, 200]}
    done = {"atomicops": 0, "naive": 0}
    order: list[str] = []

    def run(plan: Plan) -> Result:
        number = done[plan.target]
        done[plan.target] += 1
        order.append(plan.target)
        anomalies = ["lost-update"] if plan.target == "naive" and number else []
        return _result(plan, speeds[plan.target][number], 1.0 / speeds[plan.target][number], *anomalies)

    monkeypatch.setattr("stress.campaigns.compare.stages.run", run)
    one, other = compare([Plan(target="atomicops", seed=5), Plan(target="naive", seed=5)], 3, lambda line: None)
    assert (one.speed, other.speed) == (1.0, 2.0)
    assert other.latency == pytest.approx(0.5, rel=0.02)
    assert (one.changes_per_s, other.changes_per_s) == (100, 200)
    assert (one.verdict, other.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert other.anomalies == {"updates": {"lost-update": 2}}
    assert [set(order[at : at + 2]) for at in (0, 2, 4)] == [{"atomicops", "naive"}] * 3


@pytest.mark.parametrize(("first_per_s", "speeds"), [(0, [None, None, None]), (50, [1.0, None, 2.0])])
def test_other_work_and_none_at_all_have_no_speed(
    monkeypatch: pytest.MonkeyPatch, first_per_s: int, speeds: list[float | None]
) -> None:
    def run(plan: Plan) -> Result:
        result = _result(plan, first_per_s if plan.target == "atomicops" else 100, 0.01)
        kinds = {(Kind.APPEND, Language.PYTHON): KindStats({Outcome.OK: 100})}
        return replace(result, stats=replace(result.stats, kinds=kinds)) if plan.target == "naive" else result

    monkeypatch.setattr("stress.campaigns.compare.stages.run", run)
    compared = compare([Plan(target=name) for name in ("atomicops", "naive", "no-lock")], 1, lambda line: None)
    assert [one.speed for one in compared] == speeds
    assert compared[1].latency is None
    assert [one.work for one in compared] == [("write",), ("append",), ("write",)]
    (said,) = [line for line in lines(compared) if "no speed" in line]
    assert said == "naive: no speed, as it did other work: append, and not write"


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not there: apt-get install strace")
def test_syncs_are_counted() -> None:
    assert count_syncs(load("atomicops")) == 2  # the file and its directory
    assert count_syncs(load("naive")) == 0


def test_syncs_of_commands_are_counted(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not there: apt-get install strace")
    path = tmp_path / "synced.toml"
    path.write_text('write = "cat > {path}; sync {path}"\n')
    assert count_syncs(load(str(path))) == 1
    path.write_text('write = "true {path}"\n')
    assert count_syncs(load(str(path))) is None  # it wrote nothing


def test_without_strace_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stress.execution.sync_count.shutil.which", lambda name: None)
    assert count_syncs(load("atomicops")) is None


@pytest.mark.parametrize("name", target.libraries())
def test_a_library_does_what_its_target_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(name) is None:
        with pytest.raises(target.TargetError, match="pip install"):
            load(name)
        return
    monkeypatch.chdir(tmp_path)
    made = load(name)
    assert made.expects == ()
    (write, read, update, append) = (made.call(each) for each in ("write", "read", "update", "append"))
    assert write is not None
    assert read is not None
    assert update is not None
    assert append is not None
    write("state.json", {"n": 1})
    update("state.json", lambda document: {"n": document["n"] + 1})
    assert read("state.json") == {"n": 2}
    append("log", "one\n")
    append("log", "two\n")
    assert Path("log").read_text() == "one\ntwo\n"


def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> object:
        if name == "safer":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr("importlib.import_module", without)
    monkeypatch.setattr("stress.workload.target._loaded", {})
    assert run_command(["compare", "atomicops", "safer"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install safer" in line


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["atomicops"], "two or more"),
        (["atomicops", "naiv"], "did you mean 'naive'"),
        (["atomicops", "naive", "--rounds", "0"], "--rounds"),
        (["atomicops", "naive", "--scenario", "handof"], "handoff"),
        (["atomicops", "naive", "--writers", "x"], "--writers"),
        (["atomicops", "naive", "--report", "junit=x"], "junit"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["compare", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert word in line


def test_two_targets_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("torn.py").write_text(TORN)
    options = "--scenario handoff --rounds 1 --ops 300 --writers 4 --report json=compared.json"
    code = run_command(["compare", "atomicops", "torn.py", *options.split()])
    shown = capsys.readouterr().out
    assert code == 1, shown
    assert "torn.py: " in shown
    one, other = json.loads(Path("compared.json").read_text())["targets"]
    assert (one["verdict"], other["verdict"]) == ("pass", "fail")
    assert "torn-read" in other["anomalies"]["torn"]
    assert one["speed"] == 1.0
    assert f"Show torn.py again: stress check {other['runs'][0]}\n" in shown
    assert "Show atomicops again" not in shown
