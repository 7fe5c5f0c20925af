"""Scenarios are put together into one world, and what a target can't do is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stress.history.kinds import Kind
from stress.history.skipped import Part, Skipped
from stress.workload.catalog import SCENARIOS
from stress.workload.scenario import Role, Scenario, SharedFile
from stress.workload.world import compose

CONTEXT = SharedFile("a/context.json", shape={"n": 0}, mode=0o640)
LOG = SharedFile("log.txt", form="log")


def _scenario(
    name: str, *files: SharedFile, checkers: frozenset[str] = frozenset({"torn"}), **options: object
) -> Scenario:
    return Scenario(name, "", files, (), checkers, frozenset({Kind.WRITE}), **options)  # type: ignore[arg-type]


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


def test_a_target_without_a_reader_is_not_asked_for_reads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(_scenario("one", CONTEXT), kinds=frozenset({Kind.WRITE, Kind.READ}))
    monkeypatch.setattr(SCENARIOS, "_things", {"one": one})
    assert compose(["one"], frozenset({"write"}))[0].scenarios[0].kinds == {Kind.WRITE, Kind.OBSERVE}
    assert compose(["one"], frozenset({"write", "read"}))[0].scenarios[0].kinds == {Kind.WRITE, Kind.READ}
