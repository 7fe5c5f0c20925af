"""The trace: its form, that every operation is there or that it says so, and that all of a witness is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stress.reporters import trace
from stress.reporters.trace import as_trace
from stress.result import Result

Golden = Callable[[str], Result]
NAMES = sorted(path.stem for path in (Path(__file__).parents[1] / "histories").glob("*.json"))
NEEDED = {
    "X": {"name", "cat", "pid", "tid", "ts", "dur", "args"},
    "M": {"name", "pid", "tid", "args"},
    "i": {"name", "cat", "s", "pid", "tid", "ts", "args"},
    "s": {"name", "cat", "id", "pid", "tid", "ts"},
    "f": {"name", "cat", "id", "bp", "pid", "tid", "ts"},
}


def events_of(result: Result) -> list[dict[str, Any]]:
    """The events, each looked at for what its phase needs."""
    made = json.loads(as_trace(result))
    assert set(made) == {"displayTimeUnit", "otherData", "traceEvents"}
    for event in made["traceEvents"]:
        assert set(event) == NEEDED[event["ph"]] | {"ph"}
        assert event["ph"] != "i" or event["s"] in ("g", "p", "t")
        assert event["ph"] != "M" or event["name"] in ("process_name", "thread_name")
        assert all(isinstance(event[key], (int, float)) for key in ("ts", "dur", "pid", "tid") if key in event)
        assert event.get("dur", 0) >= 0
    events: list[dict[str, Any]] = made["traceEvents"]
    return events


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_and_finding_of_a_golden_history_is_there(name: str, golden: Golden) -> None:
    result = golden(name)
    assert result.history is not None
    events = events_of(result)
    assert sum(event["ph"] == "X" for event in events) == len(result.history.ops)
    instants = sorted(event["name"] for event in events if event["ph"] == "i")
    assert instants == sorted(finding.anomaly for finding in result.findings if finding.focus is not None)


def test_times_are_microseconds_since_the_start(golden: Golden) -> None:
    operations = [event for event in events_of(golden("torn-read-rest-of-a-longer-one")) if event["ph"] == "X"]
    assert [(event["pid"], event["name"], event["ts"], event["dur"]) for event in operations] == [
        (1, "▲ write p1.1", 0, 10_000), (2, "▲ write p2.1", 11_000, 1000), (3, "▲ observe garbage", 13_000, 1000),
    ]  # fmt: skip
    assert operations[0]["args"] == {
        "file": "state.json", "outcome": "ok", "language": "python", "witness": "finding 1: torn-read",
    }  # fmt: skip


def test_the_operations_of_a_witness_are_marked_and_joined_by_arrows(golden: Golden) -> None:
    result = golden("torn-read-rest-of-a-longer-one")
    events = events_of(result)
    (finding,) = result.findings
    marked = {(e["pid"], e["ts"]) for e in events if e["ph"] == "X" and "witness" in e["cat"].split(",")}
    assert marked == {(op.process, (op.invoke - result.began) / 1e3) for op in finding.witness}
    (focus,) = (e for e in events if e["ph"] == "X" and "(this is it)" in e["args"].get("witness", ""))
    assert focus["name"] == "▲ observe garbage"
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    assert starts.keys() == ends.keys()
    assert sorted((starts[number]["pid"], ends[number]["pid"]) for number in starts) == [(1, 3), (2, 3)]
    operations = [e for e in events if e["ph"] == "X"]
    for end in [
        *starts.values(),
        *ends.values(),
    ]:  # each end lies within an operation of its process: else none is drawn
        assert any(e["pid"] == end["pid"] and e["ts"] <= end["ts"] <= e["ts"] + e["dur"] for e in operations)
    for number, start in starts.items():
        assert start["ts"] <= ends[number]["ts"]
        assert start["name"] == "finding 1: torn-read"


def test_what_proves_nothing_is_not_marked(busy: Callable[[int], Result]) -> None:
    events = events_of(busy(500))
    assert sum("▲" in event["name"] for event in events) == 2


def test_processes_are_named_and_kills_are_instants(busy: Callable[[int], Result]) -> None:
    events = events_of(busy(2000))
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names[0] == "the run: all operations"
    assert (names[1], names[18]) == ("p1 python writer", "p18 bash reader")
    kills = [event for event in events if event["name"] == "kill"]
    assert len(kills) == 600
    assert (kills[3]["ts"], kills[3]["pid"], kills[3]["s"]) == (3e6, 4, "p")


def test_of_a_long_run_a_sample_is_there_and_it_says_so(
    busy: Callable[[int], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "OPERATIONS_MAX", 1000)
    monkeypatch.setattr(trace, "AROUND_MAX", 100)
    result = busy(20_500)
    made = json.loads(as_trace(result))
    shown = {(e["pid"], e["ts"]) for e in made["traceEvents"] if e["ph"] == "X"}
    assert 1000 <= len(shown) <= 1150
    assert made["otherData"]["operations"] == 20_500
    assert made["otherData"]["operations_shown"] == len(shown)
    assert made["otherData"]["sampled"] == "yes: every 21th operation, and all 100 that are nearest to each finding"
    assert made["traceEvents"][0]["args"]["name"] == "the run: 1 operation in 21"
    (finding,) = result.findings
    assert all((op.process, (op.invoke - result.began) / 1e3) in shown for op in finding.witness)
