"""A violation that was seen once is kept small, and is found again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stress import Plan, run
from stress.campaigns.golden import read_saved
from stress.campaigns.regressions import check_records, save
from stress.checkers.registry import load
from stress.cli._entry import run_command
from stress.history.history import History
from stress.history.kinds import Kind, Language, Outcome
from stress.history.record import NO_VERSION, Operation
from stress.result import Result, Verdict
from stress.stats import Stats
from stress.syscalls import Denied, require

HISTORIES = Path(__file__).parents[1] / "histories"
BAD = sorted(path for path in HISTORIES.glob("*.json") if json.loads(path.read_text())["expected"])


def _result_of(history: History) -> Result:
    findings = tuple(finding for name in load() if name != "vacuity" for finding in load().get(name)(history))
    return Result(Verdict.FAIL, findings, Stats(), {}, history=history, began=history.began)


@pytest.mark.parametrize("path", BAD, ids=[path.stem for path in BAD])
def test_what_is_kept_of_a_violation_is_found_again(path: Path, tmp_path: Path) -> None:
    saved = read_saved(path, "drill")
    result = _result_of(saved.history)
    kept = save(result, "kept", str(tmp_path))
    violations = [finding for finding in result.findings if finding.verdict is Verdict.FAIL]
    # What is about a process or the run as a whole, and no file of it, has no record.
    files = {facts.path for facts in saved.history.files}
    about_files = {finding.anomaly for finding in violations if finding.file in files}
    of_the_run = {"hang", "worker-died", "starvation", "leftover-temp"}
    assert len(kept) >= len(about_files - of_the_run)
    for record in check_records(str(tmp_path)):
        assert record.verdict is Verdict.PASS, record


def test_a_record_is_small_whatever_surrounds_the_violation(tmp_path: Path) -> None:
    saved = read_saved(HISTORIES / "lost-update.json", "drill")
    others = [
        Operation(
            process=100 + number, kind=Kind.READ, file=0, version=saved.history.operation(0).version, parent=NO_VERSION,
            invoke=saved.history.began + 10**9 + number, ret=saved.history.began + 10**9 + number + 5,
            outcome=Outcome.INFO, seq=1, language=Language.PYTHON,
        )
        for number in range(2000)
    ]  # fmt: skip
    rows = [saved.history.operation(row) for row in range(len(saved.history.ops))]
    busy = History.of(
        rows + others, saved.history.files, scenarios=["drill"], final=saved.history.final, began=saved.history.began
    )
    kept = save(_result_of(busy), "busy", str(tmp_path))
    (path,) = [path for path in kept if path.endswith(("busy.json", "busy-lost-update.json"))]
    assert len(json.loads(Path(path).read_text())["operations"]) <= len(rows)


def test_a_record_whose_violation_is_no_longer_seen_says_so(tmp_path: Path) -> None:
    plain = json.loads((HISTORIES / "lost-update.json").read_text())
    plain["operations"] = plain["operations"][:1]
    (tmp_path / "blind.json").write_text(json.dumps(plain))
    (tmp_path / "broken.json").write_text("{")
    blind, broken = check_records(str(tmp_path))
    assert (blind.verdict, blind.said) == (Verdict.FAIL, "no longer found: updates: lost-update")
    assert broken.verdict is Verdict.FAIL
    assert "broken.json could not be judged: JSONDecodeError: " in broken.said
    assert "or remove it" in broken.said


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 200])
def test_a_name_that_is_none_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "check", "explore"):
        assert run_command([command, "--save-regression", name]) == 2
        assert "stress: --save-regression" in capsys.readouterr().err


def test_a_run_that_fails_can_be_kept_and_the_gate_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = Plan(scenarios=("session_count",), target="guide", writers=4, duration_s=60.0, stop_on_first=True)
    result = run(plan)
    assert result.verdict is Verdict.FAIL
    assert run_command(["check", result.run, "-q", "--save-regression", "seen"]) == 1
    assert "Kept: stress-regressions/seen" in capsys.readouterr().out
    assert {record.verdict for record in check_records()} == {Verdict.PASS}
    (tmp_path / "pyproject.toml").write_text("[tool.stress]\ncanaries = 0\n")
    assert run_command(["gate"]) == 0
    for path in Path("stress-regressions").glob("*.json"):
        path.write_text(path.read_text().replace('"outcome": "ok"', "").replace(": lost-update", ": torn-append"))
    (tmp_path / "stress-regressions" / "more.json").write_text(
        (HISTORIES / "lost-update.json").read_text().replace("lost-update", "torn-append")
    )
    assert run_command(["gate"]) == 1
    assert "no longer found" in capsys.readouterr().out


_UPDATES = """
import json, os, shutil, tempfile
import atomicops

def read(path):
    with open(path) as file:
        return json.load(file)

def replace(path, document):
    fd, name = tempfile.mkstemp(dir=os.path.dirname(path))
    with open(fd, "w") as file:
        json.dump(document, file)
    shutil.copystat(path, name)
    os.replace(name, path)

def update(path, change):
"""


def test_a_schedule_that_its_target_does_not_follow_any_more_says_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        require()
    except Denied as denied:
        pytest.skip(str(denied))
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine.py"
    mine.write_text(f"{_UPDATES}    replace(path, change(read(path)))")
    explored = ["explore", "--target", "mine.py", "--languages", "python", "--schedules", "50", "-q"]
    assert run_command([*explored, "--save-regression", "seen"]) == 1
    judged = {}
    for name, body in {
        "as it was": "replace(path, change(read(path)))",
        "written otherwise": "os.path.exists(path + '.x'); replace(path, change(read(path)))",
        "does nothing": "raise RuntimeError('not yet')",
        "mended": "atomicops.update_json(path, change)",
    }.items():
        mine.write_text(f"{_UPDATES}    {body}")
        (judged[name],) = check_records(seconds=60.0)
    assert [record.verdict.name for record in judged.values()] == ["FAIL", "FAIL", "UNKNOWN", "PASS"], judged
    assert "`stress replay stress-regressions/seen.schedule.json` shows it" in judged["as it was"].said
    assert "it can't be followed" in judged["written otherwise"].said
    assert "RuntimeError: not yet" in judged["does nothing"].said
    assert judged["mended"].said.startswith("does not fail any more: it can't be followed")
    mine.unlink()
    (gone,) = check_records()
    assert gone.verdict is Verdict.FAIL
    assert gone.said.endswith("'mine.py': there is no such file; mend what is wrong in it, or remove it")


def test_a_record_that_expects_nothing_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text('{"expected": [], "files": [], "operations": []}')
    (record,) = check_records(str(tmp_path))
    assert record.verdict is Verdict.FAIL


def test_regressions_that_are_named_have_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gate.toml").write_text("[tool.stress]\nregressions = 'misspelt'\n")
    assert run_command(["gate", "--config", str(tmp_path / "gate.toml")]) == 2
    assert "[tool.stress] regressions: 'misspelt' is no directory" in capsys.readouterr().err
