"""``stress bench explore``: each kind of process has its figures. No clock is looked at."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from stress.bench.harness import exploring
from stress.bench.measure import LeftOut, Setting, Sheet
from stress.syscalls import Denied


def test_each_kind_of_process_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [kind for kind in exploring.KINDS if kind.language == "python"]
    monkeypatch.setattr(exploring, "KINDS", (kinds[0], *(kind for kind in kinds if kind.is_copied)))
    sheets = [*exploring.sheets(Setting(tmp_path, quick=True))]
    assert len(sheets) == 2
    for sheet in sheets:
        assert isinstance(sheet, Sheet)
        figures = [*sheet.make()]
        assert [figure.unit for figure in figures] == ["/s of a CPU", "ms", "µs", "ms", "turns"]
        assert all(figure.value > 0 and figure.how for figure in figures)


def test_the_kinds_differ_and_can_be_told_apart() -> None:
    assert len({kind.name for kind in exploring.KINDS}) == len(exploring.KINDS)
    assert len({dataclasses.replace(kind, name="") for kind in exploring.KINDS}) == len(exploring.KINDS)


def test_where_syscalls_cannot_be_scheduled_it_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied() -> None:
        raise Denied("not available", "allow it")

    monkeypatch.setattr(exploring, "require", denied)
    (left_out,) = exploring.sheets(Setting(tmp_path))
    assert isinstance(left_out, LeftOut)
    assert "not available" in left_out.why
