"""Golden histories, good and bad: what the checkers must say of each, and that a person understands it.

A history is a JSON file in ``tests/stress/histories``, as `stress.campaigns.golden` tells. ``expected`` lists all that
is to be found.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stress.anomalies import ANOMALIES
from stress.campaigns.golden import read_saved
from stress.checkers.registry import load
from stress.history.history import History
from stress.reporters.groups import Group
from stress.reporters.witness import group_lines
from stress.result import Finding, Verdict

FOLDER = Path(__file__).parents[1] / "histories"
SAID = FOLDER.parent / "said"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def golden(name: str) -> tuple[History, list[str], bool]:
    """The history of that name, what is to be found, and whether it is judged as a run as well."""
    saved = read_saved(FOLDER / f"{name}.json", "drill")
    return saved.history, list(saved.expected), saved.as_run


def _judged(history: History, *, as_run: bool) -> list[Finding]:
    checkers = load()
    return [found for name in checkers if name != "vacuity" or as_run for found in checkers.get(name)(history)]


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_history_is_judged_as_it_says(name: str) -> None:
    history, expected, as_run = golden(name)
    found = _judged(history, as_run=as_run)
    assert sorted(f"{each.checker}: {each.anomaly}" for each in found) == sorted(expected), [f.message for f in found]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_is_as_it_was(name: str, as_it_was: Callable[[Path, str], None]) -> None:
    """Message, count, order and rows: who deletes a word must see this fail."""
    history, _, as_run = golden(name)
    found = sorted(_judged(history, as_run=as_run), key=lambda finding: finding.rank)
    lines = ["\n".join(group_lines(Group((each,)), history.names, 100)) for each in found]
    as_it_was(SAID / f"{name}.txt", "\n\n".join(lines) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_found_stands_by_itself(name: str) -> None:
    history, _, as_run = golden(name)
    rows = [history.operation(row) for row in range(len(history.ops))]
    for found in _judged(history, as_run=as_run):
        assert found.count >= 1
        assert found.scenario == "drill" or (found.checker == "vacuity" and not found.witness)
        assert len(found.witness) <= 6
        assert all(op in rows for op in found.witness)
        assert list(found.witness) == sorted(found.witness, key=lambda op: op.invoke)
        assert found.message[0].isupper() or found.message[0] == "p"
        assert found.message.endswith(".")
        assert "\n" not in found.message
        assert len(found.message) < 600
        assert found.verdict is (Verdict.UNKNOWN if found.checker == "vacuity" else Verdict.FAIL)
        if found.witness and found.checker not in ("leftovers", "metadata", "vacuity"):
            assert " ms" in found.message, "it must say when"
            assert any(f"p{op.process} (" in found.message for op in found.witness), "it must say who"


@pytest.mark.parametrize("name", NAMES)
def test_checkers_are_pure(name: str) -> None:
    history, _, as_run = golden(name)
    before = history.ops.tobytes()
    history.ops.flags.writeable = False
    first = _judged(history, as_run=as_run)
    assert _judged(history, as_run=as_run) == first
    assert history.ops.tobytes() == before


def test_every_checker_has_something_that_it_catches() -> None:
    caught = {each.split(":")[0] for name in NAMES for each in golden(name)[1]}
    assert caught == set(load())


def test_every_anomaly_has_a_golden_history() -> None:
    shown = {each.split(": ")[1] for name in NAMES for each in golden(name)[1]}
    # Starvation takes too many operations to be told as data; what is not judged is the engine's to say,
    # and what only an exploration sees is shown in its own tests.
    exploring = {"deadlock", "livelock", "readable", "agent-failed", "check-failed"}
    assert set(ANOMALIES) - shown == {"starvation", "not-judged", *exploring}
