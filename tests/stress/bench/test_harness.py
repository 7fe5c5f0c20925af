"""``stress bench harness``: every checker has its figures; what is loaded is what was saved. No clock is looked at."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from stress.bench.harness import checking, histories
from stress.bench.measure import Setting
from stress.checkers.registry import load
from stress.cli._entry import run_command
from stress.history.run_directory import RunDirectory

LOOK_AT_THE_END = {"leftovers", "metadata"}
"""Checkers that look at no operation."""


@pytest.mark.long
def test_the_quick_form_has_figures_of_every_checker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "bench.json"
    assert run_command(["bench", "harness", "--quick", "--dir", str(tmp_path), "--report", f"json={report}"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert os.listdir(tmp_path) == ["bench.json"]
    figures = {
        figure["name"]: figure for sheet in json.loads(report.read_text())["sheets"] for figure in sheet["figures"]
    }
    for checker in set(load()) - LOOK_AT_THE_END:
        for state in ("correct", "broken"):
            rates = [figures[f"{checker}, {size:,}, {state}"] for size in checking.SIZES_QUICK]
            assert all(rate["value"] > 0 and rate["unit"] == "operations/s" for rate in rates)
            assert figures[f"{checker}, {checking.SIZES_QUICK[-1]:,}, {state}: peak"]["unit"] == "bytes/operation"
            assert f"{checker}, {state}: growth" in figures
    assert all(figure["how"] for figure in figures.values())


def test_ten_million_operations_are_for_who_asks(tmp_path: Path) -> None:
    large = [sheet for sheet in checking.sheets(Setting(tmp_path)) if sheet.takes]
    assert len(large) == len(checking.KINDS) + 1
    assert all(sheet.name.startswith("10,000,000 operations: ") for sheet in large)
    assert not any(sheet.takes for sheet in checking.sheets(Setting(tmp_path, quick=True)))


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    history = histories.documents(5_000, broken=True)
    checking.save(history, tmp_path)
    loaded = RunDirectory(tmp_path).history()
    assert np.array_equal(loaded.ops, history.ops)
    assert loaded.files == history.files
