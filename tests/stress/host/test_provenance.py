"""Where, when and with what a run was made: kept in the run directory, and said in every report."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
from pathlib import Path

import pytest

import stress
from stress.engine import check
from stress.host.provenance import TOOLS, in_a_line, provenance
from stress.plan import Plan
from stress.reporters.html import as_html
from stress.reporters.json import as_json
from stress.reporters.junit import as_junit
from stress.reporters.markdown import as_markdown
from stress.result import Result

NAMES = ["date", "host", "kernel", "file system", "cores", "python", "stress", *TOOLS, "target"]


def _tool(folder: Path, name: str, version: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho {name} {version}\n")
    (folder / name).chmod(0o755)


def test_all_of_it_is_told_and_what_is_not_there_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    _tool(tools, "bash", "5.1.2")
    _tool(tools, "jq", "unversioned")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/nosuch")
    known = provenance(str(tmp_path), [])
    assert list(known) == NAMES
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}", known["date"])
    assert known["kernel"].startswith("Linux ") or platform.system() != "Linux"
    assert int(known["cores"]) >= 1
    assert known["python"] == platform.python_version()
    assert [known[tool] for tool in TOOLS] == ["5.1.2", "of no version", "missing", "missing"]
    assert "flock missing" in in_a_line(known)
    assert "bash 5.1.2" in in_a_line(known)


def test_the_hash_is_of_all_files_of_the_target_and_of_nothing_else(tmp_path: Path) -> None:
    one, two = tmp_path / "mine.py", tmp_path / "mine.bash"
    one.write_text("a")
    two.write_text("b")
    both = provenance(str(tmp_path), [one, two])["target"]
    assert both.startswith("sha256 ")
    assert both == provenance("/", [one, two])["target"]
    assert both != provenance(str(tmp_path), [one])["target"]
    two.write_text("c")
    assert both != provenance(str(tmp_path), [one, two])["target"]
    assert provenance(str(tmp_path), [tmp_path / "nosuch"])["target"] == "unknown"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("run")
    return stress.run(Plan(scenarios=("handoff",), writers=2, readers=2, duration_s=0.3, runs=str(folder)))


def test_it_is_kept_with_the_run_and_read_from_there(result: Result) -> None:
    kept = json.loads(Path(result.run, "provenance.json").read_text())
    assert list(kept) == NAMES
    assert result.provenance == kept == check(result.run).provenance


@pytest.mark.parametrize("report", [as_json, as_html, as_markdown, as_junit])
def test_it_is_in_every_report(report: object, result: Result) -> None:
    text = report(dataclasses.replace(result, provenance={**result.provenance, "bash": "5.1.234567"}))  # type: ignore[operator]
    assert "5.1.234567" in text
    assert "5.1.234567" not in report(dataclasses.replace(result, provenance={}))  # type: ignore[operator]


def test_nothing_is_said_where_nobody_knows(result: Result) -> None:
    assert in_a_line({}) == ""
