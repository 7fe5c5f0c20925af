"""The world is laid out as scenarios describe it, and looked at as it was left."""

from __future__ import annotations

import json
import os
import types
from dataclasses import replace
from pathlib import Path

import pytest

from stress.history.record import ABSENT, GARBAGE, INITIAL, Kind, version_of
from stress.history.skipped import Part, Skipped
from stress.workload.catalog import SCENARIOS
from stress.workload.layout import Attributes, World, compose, inspect, lay_out
from stress.workload.payload import document_of
from stress.workload.scenario import Beside, Role, Scenario, SharedFile
from stress.workload.target import Target

CONTEXT = SharedFile("a/context.json", shape={"n": 0}, mode=0o640)
LINKED = SharedFile("list.json", form="list", shape=[{"n": 0}], link="state/list.json")
LOG = SharedFile("log.txt", form="log")
ABSENT_FILE = SharedFile("done.json", absent=True)
CORRUPT = SharedFile(
    "r/state.json", content=b'{"x":', corrupt=b'{"x":', recovery="restore", recovered=version_of(0, 1),
    beside=(Beside("r/state.json.7.bak", json.dumps(document_of(version_of(0, 1), 9, {})).encode(), 7),),
)  # fmt: skip
FILES = (CONTEXT, LINKED, LOG, ABSENT_FILE, CORRUPT)


def _scenario(
    name: str, *files: SharedFile, checkers: frozenset[str] = frozenset({"torn"}), **options: object
) -> Scenario:
    return Scenario(name, "", files, (), checkers, frozenset({Kind.WRITE}), **options)  # type: ignore[arg-type]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(SCENARIOS, "_things", {"one": _scenario("one", *FILES, checkers=frozenset({"metadata"}))})
    return compose(["one"], frozenset())[0]


@pytest.fixture
def target() -> Target:
    module = types.ModuleType("mine")
    return Target("mine", Path("mine.py"), module=module, residue=("*.lock",))


def test_files_of_one_path_are_one_and_their_checkers_are_united(monkeypatch: pytest.MonkeyPatch) -> None:
    two = _scenario("two", CONTEXT, LOG, checkers=frozenset({"updates"}))
    both = replace(_scenario("both"), parts=("one", "two"))
    things = {"one": _scenario("one", CONTEXT), "two": two, "both": both}
    monkeypatch.setattr(SCENARIOS, "_things", things)
    world, skipped = compose(["both", "one"], frozenset())
    assert [facts.path for facts in world.facts] == [CONTEXT.path, LOG.path]
    assert world.facts[0].checkers == {"torn", "updates"}
    assert world.facts[0].scenario == "one"
    assert skipped == []


def test_one_path_described_in_two_ways_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    other = _scenario("two", replace(CONTEXT, mode=0o600))
    monkeypatch.setattr(SCENARIOS, "_things", {"one": _scenario("one", CONTEXT), "two": other})
    with pytest.raises(ValueError, match=r"a/context\.json"):
        compose(["one", "two"], frozenset())


def test_a_scenario_that_needs_more_than_there_is_is_left_out_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    role = Role("r", "writer", lambda agent: iter(()), frozenset({"write", "backup"}))  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(SCENARIOS, "_things", {"one": replace(_scenario("one", CONTEXT), roles=(role,))})
    world, skipped = compose(["one"], frozenset({"write"}))
    assert world.scenarios == ()
    assert skipped == [Skipped(Part.SCENARIO, "one", "the target has no backup")]


def test_a_fresh_world_is_as_described(world: World, target: Target, tmp_path: Path) -> None:
    lay_out(world, tmp_path)
    final, backups, leftovers = inspect(world, tmp_path, target, Attributes.of(world, tmp_path))
    found = dict(zip([file.path for file in FILES], final, strict=True))
    assert found[CONTEXT.path].version == INITIAL
    assert found[CONTEXT.path].mode == 0o640
    assert found[LINKED.path].link == "state/list.json"
    assert found[LINKED.path].version == INITIAL
    assert found[LOG.path].content.startswith(b"=== initial ")
    assert (found[ABSENT_FILE.path].exists, found[ABSENT_FILE.path].version) == (False, ABSENT)
    assert (found[CORRUPT.path].version, found[CORRUPT.path].content) == (GARBAGE, CORRUPT.content)
    assert all(file.evidence_kept and not file.xattrs_lost and not file.owner_changed for file in final)
    assert backups["r/state.json.7.bak"][0] == version_of(0, 1)
    assert leftovers == ()


def test_what_was_left_changed_or_lost_is_seen(world: World, target: Target, tmp_path: Path) -> None:
    lay_out(world, tmp_path)
    had = Attributes.of(world, tmp_path)
    content = (tmp_path / CONTEXT.path).read_bytes()
    (tmp_path / "new").write_bytes(content)
    os.replace(tmp_path / "new", tmp_path / CONTEXT.path)
    (tmp_path / LINKED.path).unlink()
    (tmp_path / LINKED.path).write_bytes(content)
    (tmp_path / CORRUPT.path).write_bytes(content)
    for name in ("a/.tmp.x", "a/context.json.lock"):
        (tmp_path / name).touch()
    final, _, leftovers = inspect(world, tmp_path, target, had)
    found = dict(zip([file.path for file in FILES], final, strict=True))
    assert found[CONTEXT.path].mode != 0o640
    if had:
        assert found[CONTEXT.path].xattrs_lost == ("user.stress",)
    assert found[LINKED.path].link is None
    assert not found[CORRUPT.path].evidence_kept
    assert leftovers == ("a/.tmp.x",)


def test_a_target_without_a_reader_is_not_asked_for_reads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(_scenario("one", CONTEXT), kinds=frozenset({Kind.WRITE, Kind.READ}))
    monkeypatch.setattr(SCENARIOS, "_things", {"one": one})
    assert compose(["one"], frozenset({"write"}))[0].scenarios[0].kinds == {Kind.WRITE, Kind.OBSERVE}
    assert compose(["one"], frozenset({"write", "read"}))[0].scenarios[0].kinds == {Kind.WRITE, Kind.READ}
