"""A schedule for people: a column a process. A schedule for later: a file, and clear words where it is none."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.schedulers.effects import Mode, clash
from stress.schedulers.execution import Execution
from stress.schedulers.replay import Replay
from stress.schedulers.saved import SavedSchedule, ScheduleError
from stress.schedulers.table import rows, table
from stress.syscalls.calls import Access, Call, Step
from tests.stress.schedulers.machine import runner
from tests.stress.schedulers.programs import increment, take_two

ENTRY = (Access(("entry", 0, "x"), True),)


def step(index: int, agent: int, text: str, accesses: tuple[Access, ...] = ENTRY, result: int = 0) -> Step:
    return Step(index, Call(agent, 0, text.split()[0], text, accesses), result)


def lost_update() -> Execution:
    run = runner([increment("a"), increment("b")], {"count": b"0"})
    scheduler = Replay([0, 0, *[1] * 6, 0, 0, 0, 0])
    scheduler.begin()
    return run(scheduler)


def test_the_table_of_a_lost_update() -> None:
    assert table(lost_update(), critical=[0, 7, 11]) == [
        "       agent 1                              agent 2",
        "       ───────────────────────────────────  ───────────────────────────────────",
        "   1►  open count",
        "   2   read",
        "   3                                        open count",
        "   4                                        … 4 calls that no other sees",
        "   8►                                       rename .b.tmp count",
        "   9   … 3 calls that no other sees",
        "  12►  rename .a.tmp count",
    ]


def test_without_folding_each_step_has_a_row() -> None:
    lines = table(lost_update(), ["writer 1 (python)", "writer 2 (bash)"], fold=False)
    assert lines[0] == "       writer 1 (python)                    writer 2 (bash)"
    assert [line[:4].strip() for line in lines[2:]] == [str(number) for number in range(1, 13)]


def test_a_deadlock_shows_who_took_and_who_waits() -> None:
    scheduler = Replay([0, 0, 1, 1, 0, 1])
    scheduler.begin()
    run = runner([take_two("x", "y"), take_two("y", "x")], {"x": b"", "y": b""})
    execution = run(scheduler)
    assert table(execution, critical=[3, 6])[2:] == [
        "   1   open x",
        "   2   flock",
        "   3                                        open y",
        "   4►                                       flock",
        "   5   open y",
        "   6                                        open x",
        "    ►  flock: waits for ever",
        "                                            flock: waits for ever",
    ]


def test_a_wait_that_a_signal_ends_is_shown_where_it_was_and_with_what_it_waited_for() -> None:
    lock = (Access(("lock", 0, "flock"), True),)
    calls = [
        Call(0, 0, "flock", "lock x", lock, lock="waits"),
        *[Call(0, 0, "stat", f"stat {name}", ()) for name in "abcd"],
    ]
    trace = tuple(Step(index, call, 0) for index, call in enumerate(calls))
    waits = Call(1, 0, "flock", "lock x", lock, lock="waits")
    ended = "                                            lock x: a signal ends the wait"
    lines = table(Execution(trace, interrupted=((2, waits), (5, waits))), fold=False)[2:]
    assert lines == ["   1   lock x", "   2   stat a", ended, "   3   stat b", "   4   stat c", "   5   stat d", ended]
    folded = table(Execution(trace, interrupted=((2, waits), (5, waits))))[2:]
    assert folded == ["   1   lock x", "   2   … 4 calls that no other sees", ended, ended]


def test_what_a_call_waits_for_is_not_folded_away() -> None:
    lock = (Access(("lock", 0, "flock"), True),)
    trace = [step(index, 0, f"lock {index}", lock) for index in range(4)]
    waits = Call(1, 0, "flock", "lock 9", lock, lock="waits")
    assert len(table(Execution(tuple(trace), blocked=(waits,)))) == 2 + 4 + 1
    assert len(table(Execution(tuple(trace)))) == 2 + 1


def test_an_error_is_named() -> None:
    (line,) = table(Execution((step(0, 0, "open x", result=-2), step(1, 1, "stat x"))))[2:3]
    assert line == "   1   open x = ENOENT"


WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


@given(st.lists(st.tuples(st.integers(0, 4), WORDS), min_size=1), st.integers(75, 140))
def test_no_line_is_longer_than_the_width_and_every_step_is_there(steps: list[tuple[int, str]], width: int) -> None:
    trace = [step(index, agent, text) for index, (agent, text) in enumerate(steps)]
    lines = table(Execution(tuple(trace)), ["p"] * 5, width=width, fold=False)
    assert all(len(line) <= width for line in lines)
    assert [line[:4].strip() for line in lines[2:] if line[:4].strip()] == [str(each.index + 1) for each in trace]
    column = (width - 5 - 10) // 5
    for agent in range(5):
        start = 5 + 2 + agent * (column + 2)
        shown = "".join(line[start : start + column].strip() for line in lines[2:])
        assert shown == "".join(text for own, text in steps if own == agent)


def saved() -> SavedSchedule:
    return SavedSchedule.of(
        lost_update(),
        {"scenario": "counter", "agents": [["python", "a.py"], ["bash", "b.sh"]]},
        names=("a.py", "b.sh"),
        finding="an update was lost: 1 → 1",
        critical="b's rename came between",
        versions={"python": "3.11.7", "jq": "1.6"},
        hashes={"a.py": "00ff"},
    )


def test_the_file_gives_back_what_was_saved() -> None:
    schedule = dataclasses.replace(saved(), draws=(3, 0, 7))
    text = schedule.to_json()
    assert SavedSchedule.from_json(text) == schedule
    assert SavedSchedule.from_json(text).to_json() == text
    assert len(text.splitlines()) < 15 + len(schedule.steps)  # a line a step, to be read and compared
    assert schedule.decisions == (0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)


def test_a_saved_schedule_is_replayed() -> None:
    scheduler = SavedSchedule.from_json(saved().to_json()).replay()
    scheduler.begin()
    run = runner([increment("a"), increment("b")], {"count": b"0"})
    assert run(scheduler).trace == lost_update().trace
    other = SavedSchedule.from_json(saved().to_json()).replay()
    other.begin()
    diverged = runner([increment("a"), increment("c")], {"count": b"0"})(other).diverged
    assert diverged is not None
    assert str(diverged) == "step 5: expected agent 2: open .b.tmp create; found agent 2: open .c.tmp create"


def test_what_has_changed_since_is_named() -> None:
    schedule = saved()
    assert schedule.differences(schedule.versions, schedule.hashes) == []
    assert schedule.differences({"python": "3.12.1"}, {"a.py": "11", "more": ""}) == [
        "jq was 1.6, and is missing",
        "python was 3.11.7, and is 3.12.1",
        "a.py has changed",
    ]
    assert schedule.differences(schedule.versions, {}) == ["a.py is missing"]


def changed(**fields: Any) -> str:
    data = json.loads(saved().to_json())
    for name, value in fields.items():
        data[name] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "f: is no JSON"),
        (saved().to_json()[:200], "was it written to the end?"),
        ("[]", "f: is no schedule; `stress explore` writes these, as NAME.schedule.json"),
        ('{"format": "other"}', "f: is no schedule"),
        (changed(version=2), "f: is a schedule of format 2, and this stress reads 1; replay it with the stress"),
        (changed(steps=[[0]]), "f: 'steps' must be a list of [agent, call]"),
        (changed(steps=[[-1, "open"]]), "f: 'steps' must be"),
        (changed(steps=[[True, "open"]]), "f: 'steps' must be"),
        (changed(steps="0, open"), "f: 'steps' must be"),
        (changed(draws=[1.5]), "f: 'draws' must be a list of numbers from 0"),
        (changed(plan=[]), "f: 'plan' must be an object"),
        (changed(names=[1]), "f: 'names' must be a list of strings"),
        (changed(finding=None), "f: 'finding' must be a string"),
        (changed(hashes={"a": 1}), "f: 'hashes' must be an object of strings"),
        (json.dumps({"format": "stress-schedule", "version": 1}), "f: has no 'plan'"),
    ],
)
def test_what_is_no_schedule_is_refused_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(ScheduleError) as raised:
        SavedSchedule.from_json(text, "f")
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_table_of_a_long_schedule_costs_no_more_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A livelock's has ten thousand."""
    looks = 0

    def counted(one: Mode, other: Mode) -> bool:
        nonlocal looks
        looks += 1
        return clash(one, other)

    def of(steps: int) -> int:
        nonlocal looks
        looks = 0
        own = (Access(("inode", at // 4), False) for at in range(steps))
        trace = (Step(at, Call(at % 2, 0, "write", f"write {at}", (what,))) for at, what in enumerate(own))
        assert rows(Execution(tuple(trace)))
        return looks

    monkeypatch.setattr("stress.schedulers.table.clash", counted)
    assert of(1_000) <= of(2_000) <= 2 * of(1_000) + 10
