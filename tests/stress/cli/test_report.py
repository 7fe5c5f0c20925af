"""``stress report``, and what a job of GitHub Actions is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stress import engine
from stress.anomalies import TORN_READ
from stress.cli._entry import run_command
from stress.plan import Plan
from stress.result import Finding, Result, Verdict
from stress.stats import Stats

VIOLATION = Finding(TORN_READ, "torn", "drill", "a.json", "p1 saw 50% of it.")


def result_of(*findings: Finding, **fields: Any) -> Result:
    verdict = max((finding.verdict for finding in findings), default=Verdict.PASS)
    return Result(verdict, findings, Stats(duration_s=1.0), Plan(seed=1).to_json(), **fields)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a run in it in which a violation was seen."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "plan.json").write_text("{}")
    monkeypatch.setattr(engine, "check", lambda run: result_of(VIOLATION, run=run))
    return tmp_path


def test_report_writes_a_page_into_the_run_and_says_where(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", "one"]) == 0
    assert capsys.readouterr().out == "one/report.html\n"
    assert "p1 saw 50% of it." in (home / "one" / "report.html").read_text()


def test_open_shows_the_page_and_says_where_no_browser_is(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []

    def no_browser(url: str) -> bool:
        shown.append(url)
        return False

    monkeypatch.setattr("webbrowser.open", no_browser)
    assert run_command(["report", "one", "--open"]) == 0
    assert shown == [(home / "one" / "report.html").as_uri()]
    said = capsys.readouterr()
    assert said.out == "one/report.html\n"
    assert said.err == "stress: no browser could be started for one/report.html; BROWSER names one\n"


def test_report_writes_the_kinds_that_are_asked_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", "one", "--report", "trace=t.json,markdown=r.md", "--report", "json=r.json"]) == 0
    assert capsys.readouterr().out == "t.json\nr.md\nr.json\n"
    assert json.loads((home / "t.json").read_text())["traceEvents"]
    assert "\n## ❌ FAIL\n" in (home / "r.md").read_text()
    assert not (home / "one" / "report.html").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["report", "two"], "RUN: 'two' is no run directory; the newest in . is one"),
        (["report", "one", "--open", "--report", "json=r.json"], "--open: there is no page to open"),
        (["report"], "RUN: there is no run in .stress yet; `stress run` makes one"),
        (["report", "one", "--report", "html=no/r.html"], "--report: 'html=no/r.html' can't be written: No such file"),
        (["report", "one", "--report", "htm=r"], "--report: 'htm=r' can't be made: no kind of report is named 'htm'"),
    ],
)
def test_bad_input_is_one_line(home: Path, argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"stress: {says}")
    assert said.err.count("\n") == 1


def test_a_report_that_can_not_be_written_after_all_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "gone").mkdir()

    def check(run: str) -> Result:
        (home / "gone").rmdir()
        return result_of(run=run)

    monkeypatch.setattr(engine, "check", check)
    assert run_command(["report", "one", "--report", "json=gone/r.json,markdown=r.md"]) == 4
    assert "'json=gone/r.json' could not be written" in capsys.readouterr().err
    assert (home / "r.md").exists()  # the others are


def test_github_is_told(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    summary = home / "summary.md"
    summary.write_text("Of another step.\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert run_command(["check", "one"]) == 1
    assert "::error" not in capsys.readouterr().out
    assert summary.read_text() == "Of another step.\n"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert run_command(["check", "one", "--quiet"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::")]
    assert line == (
        "::error title=torn-read in a.json (checker torn%2C scenario drill)::p1 saw 50%25 of it."
        "%0AUsual cause: the file is written in place, so that readers meet half of it, or two writers share one "
        "temporary file; a temporary file of its own for each write, renamed over the file, is seen whole or not at "
        "all."
        "%0AShow it again: stress check one"
    )
    assert summary.read_text().startswith("Of another step.\n")
    assert "\n## ❌ FAIL\n" in summary.read_text()


def test_a_summary_that_can_not_be_written_changes_no_verdict(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(home / "no" / "summary.md"))
    assert run_command(["check", "one"]) == 1
    said = capsys.readouterr()
    assert "::error" in said.out
    assert said.err == f"stress: GITHUB_STEP_SUMMARY: '{home}/no/summary.md' could not be written: " + (
        "No such file or directory\n"
    )


def test_a_report_on_standard_output_is_alone_there(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert run_command(["check", "one", "--report", "json=-"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["verdict"] == "fail"
    assert "::error" in said.err
    assert run_command(["report", "one", "--report", "json=-,markdown=one.md"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["verdict"] == "fail"
    assert said.err == "one.md\n"


def test_a_report_of_the_gate_on_standard_output_is_alone_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.stress]\ncanaries = 0\n")
    assert run_command(["gate", "--report", "json=-"]) == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["verdict"] == "unknown"
    assert "there was nothing to look at" in said.err
    assert not (tmp_path / "-").exists()


def test_a_report_judges_what_it_is_told_to(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(engine, "check", lambda run, **judging: told.update(judging) or result_of(run=run))
    assert run_command(["report", "one", "--allow", "torn-read", "--only", "updates,torn"]) == 0
    assert told == {"allow": ("torn-read",), "only": ("updates", "torn")}


def test_a_report_refuses_what_is_misspelt(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", "one", "--allow", "torn-reed"]) == 2
    assert "did you mean 'torn-read'" in capsys.readouterr().err
    assert run_command(["report", "one", "--only", "torm"]) == 2
    assert "did you mean 'torn'" in capsys.readouterr().err
