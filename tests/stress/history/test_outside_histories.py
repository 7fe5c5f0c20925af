"""Histories that others have recorded are judged, ours are read by others, and a wrong line is named."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stress.campaigns.golden import read_saved
from stress.cli._entry import run_command
from stress.engine import check_history
from stress.history.jsonl import HistoryError, read_history
from stress.history.kinds import Kind
from stress.history.npz import save_columns
from stress.reporters import registry as reporters
from stress.reporters.registry import REPORTERS
from stress.reporters.terminal import Terminal
from stress.result import Verdict

HISTORIES = Path(__file__).parents[1] / "histories"


def _file(folder: Path, *lines: dict[str, Any]) -> str:
    path = folder / "history.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def _op(process: object, does: object, version: object, start: object, end: object, **more: Any) -> dict[str, Any]:
    return {"process": process, "does": does, "version": version, "start": start, "end": end, **more}


def _anomalies(path: str) -> set[str]:
    return {found.anomaly for found in check_history(path).findings if found.verdict is Verdict.FAIL}


def test_a_history_that_is_right_passes(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        _op(1, "write", "x1", 0.1, 0.2),
        _op(3, "read", "x2", 0.4, 0.5),  # not in order
        _op("two", "update", "x2", 0.15, 0.3, **{"from": "x1"}),
        _op("two", "read", None, 0.0, 0.05),
        _op(4, "write", "x3", 0.5, 0.6, outcome="fail"),
        _op(1, "write", {"a": [1]}, 0.4, 0.5, file="other"),
    )
    result = check_history(path)
    assert result.verdict is Verdict.PASS, result.findings
    assert sum(len(languages) for languages in result.operations.values()) == 3


@pytest.mark.parametrize(
    ("written", "read", "same"),
    [
        (1, 1.0, True),
        ({"a": [2, 1], "b": 0}, {"b": -0.0, "a": [2.0, 1]}, True),
        (1, True, False),
        (1, "1", False),
        ([2, 1], [1, 2], False),
        (1, 1.5, False),
    ],
)
def test_values_are_the_same_however_an_encoder_writes_them(
    written: object, read: object, same: bool, tmp_path: Path
) -> None:
    path = _file(tmp_path, _op(1, "write", written, 0, 2), _op(2, "read", read, 1, 3))
    assert _anomalies(path) == (set() if same else {"phantom-read"})


@pytest.mark.parametrize(
    ("lines", "anomaly"),
    [
        ([_op(1, "write", 1, 0, 1), _op(1, "write", 2, 2, 3), _op(2, "read", 1, 4, 5)], "stale-read"),
        ([_op(1, "write", 1, 2, 3), _op(2, "read", 1, 0, 1)], "future-read"),
        ([_op(1, "write", 1, 0, 1), _op(2, "read", 7, 2, 3)], "phantom-read"),
        ([_op(1, "write", 1, 0, 1, outcome="fail"), _op(2, "read", 1, 2, 3)], "aborted-read"),
        (
            [
                _op(1, "write", 1, 0, 1),
                _op(2, "update", 2, 2, 5, **{"from": 1}),
                _op(3, "update", 3, 2, 5, **{"from": 1}),
            ],
            "lost-update",
        ),
    ],
)
def test_a_violation_in_it_is_found(lines: list[dict[str, Any]], anomaly: str, tmp_path: Path) -> None:
    assert anomaly in _anomalies(_file(tmp_path, *lines))


def _event(process: object, kind: str, f: str, value: object, time: int) -> dict[str, Any]:
    return {"process": process, "type": kind, "f": f, "value": value, "time": time}


def test_jepsens_events_are_read(tmp_path: Path) -> None:
    lines = [
        _event(0, "invoke", "write", 3, 100),
        _event(1, "invoke", "read", None, 110),
        _event(0, "ok", "write", 3, 200),
        _event("nemesis", "info", "start-partition", None, 205),
        _event(1, "ok", "read", 3, 210),
        _event(1, "invoke", "cas", [3, 4], 220),
        _event(0, "invoke", "read", None, 230),
        _event(0, "ok", "read", 4, 240),
    ]
    history = read_history(_file(tmp_path, *lines))
    assert history.ops["kind"].tolist() == [Kind.WRITE, Kind.READ, Kind.UPDATE, Kind.READ]
    assert [history.operation(row).outcome.label for row in range(4)] == ["ok", "ok", "info", "ok"]
    assert _anomalies(_file(tmp_path, *lines)) == set()
    lines[-1]["value"] = 3
    assert _anomalies(_file(tmp_path, *lines)) == set()  # the cas may not have happened
    lines.insert(6, _event(1, "ok", "cas", [3, 4], 225))
    assert _anomalies(_file(tmp_path, *lines)) == {"stale-read"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([[1]], "line 1: not an object"),
        ([{"process": 1}], "line 1: no 'does'"),
        ([_op(1, "put", 1, 0, 1)], 'line 1: does "put"'),
        ([_op(["write"], "write", 1, 0, 1)], "line 1: the process"),
        ([_op(True, "write", 1, 0, 1)], "line 1: the process true"),
        ([_op(1, ["write"], 1, 0, 1)], "line 1: does"),
        ([_op(1, "read", 1, 0, 1, **{"from": 2})], "line 1: a read that says what it is from"),
        ([_op(1, "update", 1, 0, 1, **{"from": 1.0})], "line 1: an update from 1.0 to itself"),
        ([{"process": 1, "does": "read", "start": 0, "end": 1}], "line 1: a read without the version"),
        ([_op(1, "write", 1, 1, 0)], "line 1: ends at 0, before its start"),
        ([_op(1, "write", 1, 0, 1, outcome="maybe")], 'line 1: the outcome "maybe"'),
        ([_op(1, "write", 1, 0, 1, unit="ticks")], 'line 1: the unit "ticks"'),
        ([_op(1, "write", 1, 0, 1, unit=None)], "line 1: the unit null"),
        ([_op(1, "write", 1, 0, 1, unit=["s"])], 'line 1: the unit ["s"]'),
        ([_op(1, "write", 1, 0, 1, outcome={})], "line 1: the outcome {}"),
        ([{"process": 1, "does": "write", "version": 1, "start": 0}], "line 1: no 'end'"),
        ([_op(1, "write", 1, 0, 1, colour=1)], "line 1: unknown field 'colour'"),
        ([_op(1, "write", 1, 0, 1), _op(2, "write", 1, 0, 1)], 'line 2: writes 1 to "register", as line 1 does'),
        ([_op(1, "write", None, 0, 1)], "line 1: writes null"),
        ([_op(1, "write", 1, 0, float("inf"))], "line 1: not JSON: Infinity"),
        ([_op(1, "write", float("nan"), 0, 1)], "line 1: not JSON: NaN"),
        ([_op(1, "write", 1, 0, 1e300)], "line 1: end is 1e+300"),
        ([_op(1, "write", 1, 0, 1 << 70, unit="ns")], "line 1: end is 1180591620717411303424"),
        ([_op(1, "write", 1, "0", 1)], 'line 1: start is "0"'),
        (
            [_op(1, "write", 1, 0, 5), _op(2, "read", 1, 1, 2), _op(1, "read", 1, 4, 6)],
            "line 3: process 1 does this while",
        ),
        ([_op(1, "read", 1, 4, 6), _op("1", "write", 1, 0, 5)], "line 2: process 1 does this while"),
        ([_event(0, "ok", "read", 1, 5)], "completes what it did not invoke"),
        ([_event(0, "invoke", "read", 1, 5), _event(0, "invoke", "read", 1, 6)], "line 2: process 0 invokes again"),
        ([_event(0, "invoke", "read", 1, 5), _event(0, "ok", "read", 1, 4)], "line 2: completes before line 1"),
        ([_event(0, "invoke", "write", 1, 5), _event(0, "ok", "read", 1, 6)], "line 2: completes another operation"),
        ([_event(0, "invoke", "write", 1, 5), _event(0, "ok", "write", 2, 6)], "line 2: completes with 2, but line 1"),
        ([{**_event(0, "invoke", "read", 1, 5), "key": 1}, _event(0, "ok", "read", 1, 6)], "line 2: completes another"),
        ([_event(0, "invoke", "append", 1, 5)], 'line 1: f is "append"'),
        ([{**_event(0, "invoke", "read", 1, 5), "f": ["read"]}], 'line 1: f is ["read"]'),
        ([_event(0, "done", "read", 1, 5)], 'line 1: the type "done"'),
        ([{**_event(0, "ok", "read", 1, 5), "time": None}], "line 1: time is null"),
        ([_event(0, "ok", "read", 1, 1 << 63)], "line 1: time is"),
    ],
)
def test_a_line_that_is_wrong_is_named(
    lines: list[Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _file(tmp_path, *lines)
    with pytest.raises(HistoryError) as raised:
        read_history(path)
    assert said in str(raised.value)
    assert run_command(["check", path]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[" * 100_000, "line 1: nested more than 100 levels deep"),
        (b'{"version": ' + b"[" * 900 + b"]" * 900 + b"}", "line 1: nested more than 100 levels deep"),
        (b'{"process"\r: 1,\r\n', "line 1: not JSON: Expecting property name"),
        (
            b'{"process": 1, "does": "write", "version": "a", "start": ' + b"1" * 5000 + b', "end": 2}',
            "line 1: not JSON",
        ),
        (b'{"process": 1, "does": "\xff"}', "line 1: not UTF-8"),
        (b'{"process": 1, "process": 2}', "line 1: not JSON: 'process' is given twice"),
        (b'{"process": 1', "line 1: not JSON"),
        (b'{"version": -1e999}', "line 1: not JSON: -1e999 is beyond"),
    ],
)
def test_what_is_hardly_json_is_named(
    line: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(line + b"\n")
    assert run_command(["check", str(path)]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_byte_order_mark_and_what_says_nothing_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    lines = [
        {"process": 1, "does": "write", "version": "a" * 70, "start": 0, "outcome": "info"},
        {"process": "nemesis", "type": "info", "f": "kill"},
        _op(2, "read", "a" * 70, 3, 7),
    ]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, lines)).encode())
    history = read_history(str(path))
    assert [history.operation(row).outcome.label for row in range(2)] == ["info", "ok"]
    assert history.names.version(history.operation(1).version) == "a" * 40 + "…" + "a" * 19


def test_info_may_take_effect_at_any_later_time(tmp_path: Path) -> None:
    reads = [(None, 2, 3), (1, 4, 5)]
    info = [_op(0, "write", 1, 0, 1, outcome="info"), *(_op(9, "read", *read) for read in reads)]
    assert _anomalies(_file(tmp_path, *info)) == set()
    assert _anomalies(_file(tmp_path, {**info[0], "outcome": "ok"}, *info[1:])) >= {"stale-read"}
    late = [
        _event(0, "invoke", "write", 1, 0),
        _event(0, "info", "write", 1, 100),
        _event(5, "invoke", "write", 2, 110),
        _event(5, "ok", "write", 2, 120),
        _event(1, "invoke", "read", None, 200),
        _event(1, "ok", "read", 2, 300),
        _event(1, "invoke", "read", None, 400),
        _event(1, "ok", "read", 1, 500),
    ]
    assert _anomalies(_file(tmp_path, *late)) == set()
    assert _anomalies(
        _file(tmp_path, *[event | {"type": "ok"} if event["type"] == "info" else event for event in late])
    )


def test_an_empty_history_is_unknown(tmp_path: Path) -> None:
    assert run_command(["check", _file(tmp_path), "-q"]) == 3
    assert run_command(["check", str(tmp_path / "none.jsonl")]) == 2


def test_columns_come_back_as_they_were(tmp_path: Path) -> None:
    history = read_saved(HISTORIES / "lost-update.json").history
    path = str(tmp_path / "history.npz")
    save_columns(path, history)
    with np.load(path) as archive:
        for name in ("process", "kind", "outcome", "version", "parent", "invoke", "return"):
            assert (archive[name] == history.ops[name]).all(), name
        assert (archive["path"] == history.ops["file"]).all()
        assert archive["files"].tolist() == [facts.path for facts in history.files]
        assert archive["kinds"][Kind.UPDATE] == "update"
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.npz"]


def test_an_export_is_written_by_the_command(tmp_path: Path) -> None:
    history = _file(tmp_path, _op(1, "write", 1, 0, 1), _op(2, "read", 1, 0.5, 2))
    path = tmp_path / "out.npz"
    assert run_command(["check", history, "-q", "--export", str(path)]) == 0
    with np.load(path) as archive:
        assert len(archive["invoke"]) == 2
    assert run_command(["check", history, "--export", "out.csv"]) == 2
    assert run_command(["check", history, "-q", "--export", str(tmp_path / "no" / "x.npz")]) == 4


def _reports(path: str) -> dict[str, str]:
    """Kind → text of each report of a history, and what the terminal shows."""
    result = check_history(path)
    stream = io.StringIO()
    Terminal(stream=stream).show(result)
    return {kind: REPORTERS.get(kind)(result) for kind in reporters.load()} | {"terminal": stream.getvalue()}


MINE = [
    _op("worker-a", "write", "x1", 0.10, 0.2),
    _op("worker-a", "write", 42, 0.25, 0.30),
    _op(7, "read", "x1", 0.35, 0.45),
    _op(9, "write", "never seen", 0.5, 0.625, outcome="info"),
    _op(7, "update", "made of 42", 0.5, 0.6, **{"from": 42}),
    _op("worker-a", "update", "made of it too", 0.5, 0.7, **{"from": 42}),
]


@pytest.mark.parametrize("kind", ["terminal", *sorted(reporters.load())])
def test_every_report_shows_the_users_names_and_invents_nothing(tmp_path: Path, kind: str) -> None:
    text = _reports(_file(tmp_path, *MINE))[kind]
    for word in ("worker-a", "x1", "42", "made of 42", "made of it too"):
        assert word in text
    assert not re.search(r"\bp\d+\.\d+\b|\bp1\b|python|bash|seed|stress run|\d writers?\b|p?1073741\d\d\d", text)
    if kind != "trace":
        assert "worker-a wrote 42 at 0.25–0.3 s" in (json.loads(text)["findings"][1]["message"] if kind == "json" else
                                                     re.sub(r"<[^>]*>", "", text))  # fmt: skip


def test_jepsens_names_are_shown_and_what_has_no_end_never_ends(tmp_path: Path) -> None:
    lines = [
        {"process": 3, "type": "invoke", "f": "write", "value": 7, "time": 100},
        {"process": 3, "type": "info", "f": "write", "value": 7, "time": 200},
        {"process": 4, "type": "invoke", "f": "read", "value": None, "time": 300},
        {"process": 4, "type": "ok", "f": "read", "value": 7, "time": 350},
        {"process": 4, "type": "invoke", "f": "read", "value": None, "time": 400},
        {"process": 4, "type": "ok", "f": "read", "value": None, "time": 450},
    ]
    text = _reports(_file(tmp_path, *lines))["terminal"]
    assert "process 4 read 7 at 300–350 ns, and then read the older null at 400–450 ns" in text
    assert re.search(r"3 +write +7 +100 +never +unknown", text)
    assert "2 processes did 3 operations in " in text


def test_a_report_of_a_history_lies_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _file(tmp_path, *MINE)
    assert run_command(["report", path]) == 0
    page = Path(path).with_suffix(".html")
    assert capsys.readouterr().out.strip() == str(page)
    assert "worker-a" in page.read_text("utf-8")
