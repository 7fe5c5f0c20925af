"""What needs more operations than a golden history can show, or records that no test can write by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stress.checkers.progress import progress
from stress.checkers.registry import load
from stress.checkers.vacuity import EXPECTED_FROM, vacuity
from stress.history.history import FileFacts, FinalFile, History, ProcessFacts
from stress.history.record import (
    ABSENT,
    GARBAGE,
    INITIAL,
    End,
    Format,
    Kind,
    Language,
    Operation,
    Outcome,
    Recovery,
    WorkerRole,
    version_of,
)
from stress.result import Verdict

SECOND = 10**9
FILES = [FileFacts(path, "drill") for path in ("a.json", "b.json")]


def _run(counts: list[int], *, ends: list[End] | None = None, busy: float = 0.9, language: int = 1) -> History:
    """Processes that did this many operations each in one second."""
    operations, processes = [], []
    for number, count in enumerate(counts, start=1):
        step = SECOND // max(count, 1)
        for at in range(count):
            begin = SECOND + at * step
            operations.append(
                Operation(number, Kind.WRITE, 0, version_of(number, at + 1), invoke=begin, ret=begin + int(step * busy))
            )
        end = ends[number - 1] if ends else End.FINISHED
        processes.append(
            ProcessFacts(number, number, Language(language), WorkerRole.WRITER, SECOND, 2 * SECOND + 5, end)
        )
    return History.of(operations, FILES, processes=processes, scenarios=["drill"], began=SECOND, ended=2 * SECOND)


def test_who_gets_next_to_nothing_done_starves() -> None:
    (found,) = progress(_run([400, 300, 500, 3]))
    assert found.anomaly == "starvation"
    assert found.witness[0].process == 4
    assert "3 operations" in found.message


@pytest.mark.parametrize(
    "history",
    [
        _run([400, 300, 500, 40]),  # slow, and not that slow
        _run([30, 30, 30, 1]),  # too few to tell
        _run([400, 3]),  # too few peers
        _run([400, 300, 500, 3], ends=[End.FINISHED] * 3 + [End.KILLED]),  # did not live as long
        _run([400, 300, 500, 3], busy=0.2),  # was not waiting in operations, but outside of them
    ],
    ids=["slow", "few", "alone", "killed", "idle"],
)
def test_starvation_is_not_claimed_lightly(history: History) -> None:
    assert list(progress(history)) == []


def test_a_process_that_never_began_hangs() -> None:
    history = _run([10, 0], ends=[End.FINISHED, End.HUNG])
    (found,) = progress(history)
    assert found.anomaly == "hang"
    assert "p2" in found.message


def _anomalies(history: History) -> list[str]:
    found = list(vacuity(history))
    assert all(each.verdict is Verdict.UNKNOWN for each in found)
    return [each.anomaly for each in found]


def _met(scenario: int, file: int, *, apart: int) -> list[Operation]:
    """A writer and a reader of one file, ``EXPECTED_FROM`` times; their operations are ``apart`` ns from touching."""
    made = []
    for at in range(EXPECTED_FROM):
        begin = at * 100
        writer = 2 * scenario + 1
        made.append(
            Operation(
                writer, Kind.WRITE, file, version_of(writer, at + 1), invoke=begin, ret=begin + 20, scenario=scenario
            )
        )
        made.append(
            Operation(
                writer + 1,
                Kind.READ,
                file,
                version_of(writer, at + 1),
                invoke=begin + 20 + apart,
                ret=begin + 90,
                scenario=scenario,
            )
        )
    return made


def test_each_scenario_has_to_show_overlap() -> None:
    good = History.of(_met(0, 0, apart=-5) + _met(1, 1, apart=-5), FILES, scenarios=["one", "two"])
    assert _anomalies(good) == []
    half = History.of(_met(0, 0, apart=-5) + _met(1, 1, apart=5), FILES, scenarios=["one", "two"])
    (found,) = vacuity(half)
    assert (found.anomaly, found.scenario) == ("no-overlap", "two")


def test_few_changes_of_a_scenario_may_miss_all_others_by_chance() -> None:
    few = [op for op in _met(1, 1, apart=5) if op.invoke < 1000]
    assert _anomalies(History.of(_met(0, 0, apart=-5) + few, FILES, scenarios=["one", "two"])) == []


def test_operations_at_once_on_different_files_show_nothing() -> None:
    history = History.of(_met(0, 0, apart=5) + _met(1, 1, apart=5), FILES, scenarios=["one", "two"])
    assert set(_anomalies(history)) == {"no-overlap"}


def test_an_operation_without_an_end_is_not_accounted_for() -> None:
    history = History.of(_met(0, 0, apart=-5), FILES)
    ops = history.ops.copy()
    ops["outcome"][7] = Outcome.OPEN
    assert _anomalies(replace(history, ops=ops)) == ["unaccounted"]


def test_operations_of_a_process_that_nobody_started_are_not_accounted_for() -> None:
    history = History.of(_met(0, 0, apart=-5), FILES)
    known = ProcessFacts(1, 1, Language.PYTHON, WorkerRole.WRITER)
    assert _anomalies(replace(history, processes=(known,))) == ["unaccounted"]


def test_a_run_in_which_everything_failed_proves_nothing() -> None:
    history = History.of(_met(0, 0, apart=-5), FILES)
    ops = history.ops.copy()
    ops["outcome"] = Outcome.FAIL
    found = list(vacuity(replace(history, ops=ops)))
    assert {each.anomaly for each in found} == {"too-few-operations"}
    assert any("not one succeeded" in each.message for each in found)


def test_an_empty_history_proves_nothing() -> None:
    assert _anomalies(History.of([], FILES)) == ["too-few-operations"]
    assert list(progress(History.of([], FILES))) == []


def test_no_checker_stumbles_over_an_empty_history() -> None:
    checkers = frozenset(load())
    files = [
        FileFacts(f"{form}.{initial}", "drill", form, initial, checkers, recovery=recovery)
        for form in Format
        for initial in (INITIAL, ABSENT, GARBAGE)
        for recovery in (None, *Recovery)
    ]
    history = History.of([], files)
    ended = replace(
        history, final=tuple(FinalFile(facts.initial != ABSENT, facts.initial, mode=0o644) for facts in files)
    )
    for name in checkers - {"vacuity"}:
        assert list(load().get(name)(history)) == []
        assert {each.anomaly for each in load().get(name)(ended)} <= {"lost-append", "bad-recovery"}
