"""Resolving: every name of a plan is looked up once, and what is not there is refused with what was probably meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stress import Plan, UsageError, resolve
from stress.history.kinds import Kind, Language, WorkerRole
from stress.history.skipped import Part
from stress.workload.catalog import SCENARIOS
from stress.workload.target import TargetError, adopt, load
from stress.workload.world import required_kinds

TARGET = """
with open({loads!r}, "a") as file:
    file.write("x")

def write(path, document): pass
def read(path): pass
"""


def _target(tmp_path: Path, text: str = TARGET, name: str = "mine.py") -> str:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.format(loads=str(tmp_path / "loads")))
    return str(path)


def test_outsiders_open_a_log_whatever_the_documents_of_the_target_are(tmp_path: Path) -> None:
    text = "OBSERVE = False\ndef read(path): pass\ndef write(path, document): pass\ndef append(path, text): pass\n"
    world = resolve.resolve(Plan(("handoff", "progress_log"), target=_target(tmp_path, text))).world
    assert [Kind.OBSERVE in kinds for kinds in required_kinds(world)] == [False, True]


def test_a_cast_holds_values_and_the_targets_module_is_executed_once(tmp_path: Path) -> None:
    plan = Plan("handoff", target=_target(tmp_path), writers=3, readers=1, kill_every="1s")
    cast = resolve.resolve(plan)
    assert cast.target.operations == {"write", "read"}
    assert [spec.role for spec in cast.workers].count(WorkerRole.WRITER) == 3
    assert {spec.language for spec in cast.workers} == {Language.PYTHON}
    assert cast.faults == {"kill": 1.0}
    resolve.resolve(plan)
    assert (tmp_path / "loads").read_text() == "x"


def test_two_modules_of_one_file_name_are_two_and_one_that_changed_is_loaded_anew(tmp_path: Path) -> None:
    one = _target(tmp_path, "ABOUT = 'one'\ndef write(path, document): pass\n", "a/store.py")
    other = _target(tmp_path, "ABOUT = 'other'\ndef write(path, document): pass\n", "b/store.py")
    loaded = [resolve.target_named(path) for path in (one, other, one)]
    assert [target.about for target in loaded] == ["one", "other", "one"]
    assert loaded[0].side() is loaded[2].side() is not loaded[1].side()
    _target(tmp_path, "ABOUT = 'changed'\ndef write(path, document): pass\n", "a/store.py")
    changed = resolve.target_named(one)
    assert (changed.about, changed.side().ABOUT) == ("changed", "changed")


def test_a_language_that_fewer_workers_leave_out_is_not_said_to_be_unable() -> None:
    skipped = resolve.resolve(Plan("handoff", target="naive", writers=1, readers=1)).skipped
    told = {each.name: (each.why, each.cure) for each in skipped if each.part is Part.WORKERS}
    assert set(told.values()) == {("there are too few workers", "give more --writers")}


def test_what_the_target_can_not_do_is_left_out_and_said(tmp_path: Path) -> None:
    cast = resolve.resolve(Plan("bridge", target=_target(tmp_path), writers=2))
    left_out = {(each.part, each.name) for each in cast.skipped}
    assert (Part.SCENARIO, "session_count") in left_out, "it needs update"
    assert (Part.WORKERS, "bash") in left_out
    assert "handoff" in {scenario.name for scenario in cast.world.scenarios}


@pytest.mark.parametrize(
    ("options", "option", "says"),
    [
        ({"scenarios": "handof"}, "SCENARIO", "did you mean 'handoff'"),
        ({"target": "atomicop"}, "--target", "did you mean 'atomicops'"),
        ({"only": "tron"}, "--only", "did you mean 'torn'"),
        ({"allow": "torn-reed"}, "--allow", "did you mean 'torn-read'"),
        ({"mix": "pyhton=2"}, "--mix", "did you mean 'python'"),
    ],
)
def test_a_misspelt_name_is_refused_with_what_was_meant(options: dict[str, Any], option: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve.resolve(Plan(**({"scenarios": "handoff"} | options)))
    assert caught.value.option == option
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("constant", "value", "says"),
    [
        ("ALLOW", "metadata-lots", "ALLOW of the target M: no anomaly is named 'metadata-lots'"),
        ("ALLOW", None, "ALLOW = None is not a list of texts"),
        ("RESIDUE", [1], "RESIDUE = [1] is not a list of texts"),
        ("EXPECTS", ("lost-updat",), "EXPECTS of the target M: no anomaly is named 'lost-updat'"),
        ("OBSERVE", "no", "OBSERVE = 'no' is not True or False"),
        ("FAULTS", ["kill_every"], "FAULTS = ['kill_every'] is not a table"),
        ("FAULTS", {"kill": "1s"}, "FAULTS of the target M: 'kill' is no fault; there are: clean_every"),
        ("FAULTS", {"kill_every": "soon"}, "FAULTS of the target M: 'soon' is not a duration"),
    ],
)
def test_a_constant_of_a_target_that_says_nothing_is_refused(constant: str, value: object, says: str) -> None:
    mine = type("M", (), {"read": lambda self, path: None, constant: value, "__module__": "mine"})
    with pytest.raises((UsageError, TargetError)) as caught:
        resolve.resolve(Plan("handoff", target=mine))
    assert says in str(caught.value).replace("target mine:M", "target M")


def test_a_text_alone_is_a_list_of_one() -> None:
    mine = type("M", (), {"read": lambda self, path: None, "RESIDUE": "*.lock", "ALLOW": "metadata-lost"})
    target = load(adopt(mine))
    assert (target.allow, target.is_residue("a.lock"), target.is_residue("a.tmp")) == (("metadata-lost",), True, False)


def test_a_scenario_whose_checker_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    misspelt = replace(SCENARIOS.get("handoff"), checkers=frozenset({"torm"}))
    monkeypatch.setattr(SCENARIOS, "get", lambda name: misspelt)
    with pytest.raises(UsageError, match="did you mean 'torn'"):
        resolve.resolve(Plan("handoff", target=_target(tmp_path)))
