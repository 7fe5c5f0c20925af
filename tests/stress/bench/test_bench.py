"""Measuring: interleaved, paired, told as medians of ratios; and the command that shows it. No clock is looked at."""

from __future__ import annotations

import gc
import io
import json
import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from stress.bench import measure as benchmarks
from stress.bench.measure import (
    Case,
    Contender,
    Figure,
    Figured,
    LeftOut,
    Measured,
    Series,
    Setting,
    Sheet,
    Spread,
    figure,
    measure,
    spread,
)
from stress.cli._entry import run_command
from stress.reporters.bench import BenchTerminal, as_json


@pytest.fixture(autouse=True)
def collected_already() -> Iterator[None]:
    """Each sample begins with a collection, which takes long where a whole test run's objects are gone through."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class FakeTime:
    """A clock that only goes on when a contender works; it can make the whole machine slower for a while."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slowness = 1.0
        self.log: list[str] = []

    def clock(self) -> float:
        return self.now_s

    def contender(self, name: str, cost_s: float) -> Contender:
        def call() -> None:
            self.log.append(name)
            self.now_s += cost_s * self.slowness

        return Contender(name, call)


def case_of(time: FakeTime, *costs_s: float, batch_max: int = 1) -> Case:
    floor, *others = [time.contender("abcdefgh"[place], cost_s) for place, cost_s in enumerate(costs_s)]
    return Case("a case", floor, tuple(others), batch_max)


def runs_of(log: Sequence[str]) -> list[str]:
    """What follows itself, once."""
    return [name for place, name in enumerate(log) if place == 0 or log[place - 1] != name]


def test_each_round_has_one_sample_of_everyone_in_an_order_that_changes() -> None:
    time = FakeTime()
    measured = measure(case_of(time, 1.0, 2.0, 3.0), 40, clock=time.clock, draw=random.Random(7))
    taken = time.log[-3 * 40 :]
    rounds = [tuple(taken[place : place + 3]) for place in range(0, len(taken), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) == 6  # all orders that there are
    assert [len(series.samples_s) for series in (measured.floor, *measured.contenders)] == [40, 40, 40]


def test_what_slows_the_whole_machine_down_does_not_change_a_ratio() -> None:
    time = FakeTime()
    case = case_of(time, 1.0, 4.0)

    def slower() -> None:
        time.slowness *= 1.5

    case = Case(case.name, case.floor, case.contenders)
    times = []
    for _ in range(5):
        times.append(measure(case, 1, clock=time.clock, sample_s=0.5))
        slower()
    floors = [one.floor.time_s.median for one in times]
    assert floors == sorted(floors)
    assert floors[-1] > 4 * floors[0]
    assert {one.contenders[0].speed(one.floor).median for one in times} == {0.25}


def test_ratios_are_made_round_by_round() -> None:
    floor = Series("floor", "", 1, (1.0, 10.0, 100.0))
    other = Series("other", "", 1, (2.0, 20.0, 50.0))
    assert other.speed(floor) == Spread(0.5, 0.5, 1.25)
    assert other.beyond_s(floor) == Spread(-24.5, 1.0, 5.5)
    assert floor.time_s == Spread(5.5, 10.0, 55.0)


def test_one_value_has_quartiles_too() -> None:
    assert spread([3.0]) == Spread(3.0, 3.0, 3.0)
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("cost_s", "batch_max", "batch"),
    [(0.5, 100, 1), (1 / 32, 100, 9), (1 / 256, 100, 65), (1 / 256, 20, 20), (0.0, 1000, 1000)],
)
def test_a_sample_is_of_as_many_calls_as_take_long_enough(cost_s: float, batch_max: int, batch: int) -> None:
    time = FakeTime()
    measured = measure(case_of(time, cost_s, batch_max=batch_max), 3, clock=time.clock, sample_s=0.25)
    assert measured.floor.batch == batch
    assert measured.floor.samples_s == pytest.approx((cost_s,) * 3)
    assert time.log[-3 * batch :] == ["a"] * (3 * batch)


def test_a_first_call_that_is_slow_makes_no_small_batch() -> None:
    time = FakeTime()
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        time.now_s += 10.0 if calls == 1 else 0.001

    measured = measure(Case("a case", Contender("a", call), ()), 1, clock=time.clock, sample_s=0.01)
    assert measured.floor.batch > 5


def test_what_comes_before_a_sample_is_not_measured() -> None:
    time = FakeTime()
    plain = time.contender("a", 1.0)

    def before() -> None:
        time.log.append("before")
        time.now_s += 50.0

    measured = measure(Case("a case", Contender("a", plain.call, "", before), (), 1), 4, clock=time.clock)
    assert measured.floor.samples_s == (1.0,) * 4
    assert runs_of(time.log) == ["before", "a"] * 6  # two of them to warm up


def test_the_collector_is_off_while_a_sample_is_taken_and_on_again_afterwards() -> None:
    seen: list[bool] = []
    was = gc.isenabled()
    gc.enable()
    try:
        measure(Case("a case", Contender("a", lambda: seen.append(gc.isenabled())), (), 1), 2)
        assert gc.isenabled()
    finally:
        if not was:
            gc.disable()
    assert not any(seen)


def test_an_error_says_whose_it_is_and_leaves_the_collector_on() -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        measure(Case("a case", Contender("a", lambda: None), (Contender("the full one", fail),), 1), 2)
    assert caught.value.__notes__ == ["measuring the full one"]
    assert gc.isenabled()


MEASURED = Measured(
    "write: 1 KiB",
    Series("raw", "no lock", 10, (0.001, 0.001, 0.002)),
    (Series("ours", "lock", 5, (0.002, 0.001, 0.002)), Series("theirs", "", 1, (0.00001, 0.00001, 0.00002))),
)


def test_a_table_that_is_no_terminals_is_plain() -> None:
    stream = io.StringIO()
    terminal = BenchTerminal(stream)
    machine = {
        "system": "Linux",
        "processor": "a processor",
        "cores": 2,
        "python": "3.11",
        "directory": "/here",
        "file_system": "ext4",
    }
    terminal.begin(machine)
    terminal.explain(3)
    terminal.show(MEASURED)
    terminal.show(LeftOut("safer is not measured: it is not installed"))
    said = stream.getvalue()
    assert "\x1b" not in said
    assert not any(line != line.rstrip() for line in said.splitlines())
    assert said.startswith("a processor, 2 cores; Linux; Python 3.11; ext4 at /here\n")
    rows = {line.split("  ")[0]: line.split() for line in said.splitlines()}
    assert rows["raw (floor)"][2:] == ["1.00", "ms", "no", "lock"]
    assert rows["ours"][1:] == ["2.00", "ms", "1.00", "0.75…1.00", "+0.00", "µs", "lock"]
    assert rows["theirs"][1:5] == ["10.0", "µs", "100", "100…100"]
    assert "safer is not measured: it is not installed" in said


def test_the_report_has_the_samples_and_the_figures() -> None:
    report = json.loads(as_json("helpers", {"cores": 2}, 3, [MEASURED], [LeftOut("because")]))
    assert report["schema"] == 1
    assert (report["benchmark"], report["rounds"], report["left_out"]) == ("helpers", 3, ["because"])
    (case,) = report["cases"]
    assert case["floor"]["samples_s"] == [0.001, 0.001, 0.002]
    assert "speed" not in case["floor"]
    ours = case["contenders"][0]
    assert (ours["name"], ours["promises"], ours["batch"]) == ("ours", "lock", 5)
    assert ours["speed"] == {"q1": 0.75, "median": 1.0, "q3": 1.0}
    assert ours["beyond_s"]["median"] == 0.0


@pytest.fixture
def drill(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A small benchmark named ``drill``; the directories that it was given."""
    given: list[Path] = []

    def cases(setting: Setting) -> Iterator[Case | LeftOut]:
        given.append(setting.directory)
        yield LeftOut("other is not measured: it is not installed")
        (setting.directory / "file").write_text("x")
        yield Case("one: small", Contender("raw", lambda: None), (Contender("ours", lambda: None),), 5)
        yield Case("two: large", Contender("raw", lambda: None), (Contender("ours", lambda: None),), 5)

    benchmarks.load()
    monkeypatch.setitem(benchmarks.BENCHMARKS._things, "drill", cases)
    return given


def test_the_command_measures_in_a_directory_of_its_own_and_removes_it(
    drill: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "bench.json"
    before = signal.getsignal(signal.SIGTERM)
    argv = ["bench", "drill", "--dir", str(tmp_path), "--rounds", "3", "--report", f"json={report}"]
    assert run_command(argv) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "one: small" in said.out
    assert "two: large" in said.out
    assert "other is not measured" in said.out
    assert drill[0].parent == tmp_path
    assert os.listdir(tmp_path) == ["bench.json"]
    written = json.loads(report.read_text())
    assert [case["name"] for case in written["cases"]] == ["one: small", "two: large"]
    assert written["rounds"] == 3
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_report_on_standard_output_is_alone_there(
    drill: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["bench", "drill", "--quick", "--report", "json=-"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["benchmark"] == "drill"
    assert "one: small" in said.err
    assert os.listdir(tmp_path) == []


def test_only_some_cases(drill: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "drill", "--quick", "--only", "LARGE"]) == 0
    said = capsys.readouterr().out
    assert "two: large" in said
    assert "one: small" not in said


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A small benchmark of figures named ``drill``; the sheets that were made."""
    made: list[str] = []

    def sheet(name: str, value: float, takes: str = "") -> Sheet:
        def make() -> Iterator[Figure]:
            made.append(name)
            yield Figure("rate", value, "operations/s", "counted once")
            yield Figure("size", 0.01234, "bytes", "")

        return Sheet(name, make, takes)

    def sheets(setting: Setting) -> Iterator[Sheet | LeftOut]:
        yield sheet("small", 1234.5)
        yield sheet("small, but slow", 1e7, takes="a minute")
        yield sheet("large", 12.34)

    benchmarks.load()
    monkeypatch.setitem(benchmarks.BENCHMARKS._things, "drill", sheets)
    return made


def test_figures_are_shown_with_unit_and_how_they_were_made(
    figures: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "bench.json"
    assert run_command(["bench", "drill", "--report", f"json={report}"]) == 0
    said = capsys.readouterr().out
    assert figures == ["small", "large"]
    rows = [line.split() for line in said.splitlines()]
    assert ["rate", "1,234", "operations/s", "counted", "once"] in rows
    assert ["rate", "12.3", "operations/s", "counted", "once"] in rows
    assert ["size", "0.0123", "bytes"] in rows
    assert "rounds" not in said  # there were none
    written = json.loads(report.read_text())
    assert [sheet["name"] for sheet in written["sheets"]] == ["small", "large"]
    assert written["sheets"][0]["figures"] == [
        {"name": "rate", "value": 1234.5, "unit": "operations/s", "how": "counted once"},
        {"name": "size", "value": 0.01234, "unit": "bytes", "how": ""},
    ]
    left_out = "small, but slow: not measured, it takes a minute; --only 'small, but slow'"
    assert written["left_out"] == [left_out]
    assert left_out in said


def test_figures_that_take_long_are_made_for_who_asks(figures: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["bench", "drill", "--only", "small, but slow"]) == 0
    assert figures == ["small, but slow"]
    assert "not measured" not in capsys.readouterr().out


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_figure(value: float) -> None:
    with pytest.raises(ValueError, match=r"rate came out as \w+ bytes"):
        figure(Sheet("a sheet", lambda: [Figure("rate", value, "bytes", "")]))
    assert figure(Sheet("a sheet", list)) == Figured("a sheet", ())


BAD = [
    # arguments, option, value, and a part of what would do
    (("bench",), "BENCHMARK", "", "drill, explore, harness, helpers"),
    (("bench", "helper"), "BENCHMARK", "helper", "did you mean 'helpers'?"),
    (("bench", "drill", "more"), "more", "more", "one argument too many"),
    (("bench", "drill", "--rounds", "0"), "--rounds", "0", "such as --rounds 30"),
    (("bench", "drill", "--rounds", "-1"), "--rounds", "-1", "such as --rounds 30"),
    (("bench", "drill", "--rounds", "many"), "--rounds", "many", "such as --rounds 30"),
    (("bench", "drill", "--rounds", "9" * 5000), "--rounds", "9" * 80, "such as --rounds 30"),
    (("bench", "drill", "--rounds"), "--rounds", "", "needs a value"),
    (("bench", "drill", "--dir", "nosuch"), "--dir", "nosuch", "give a directory"),
    (("bench", "drill", "--only", "three"), "--only", "three", "such as 'one: small', one of 2"),
    (("bench", "drill", "--report", "junit=r.xml"), "--report", "junit=r.xml", "there are: json"),
    (("bench", "drill", "--report", "json"), "--report", "json", "such as --report json=r.json"),
    (("bench", "drill", "--report", "json=no/such"), "--report", "json=no/such", "give a file that can"),
    (("bench", "drill", "--quik"), "--quik", "", "did you mean --quick"),
]


@pytest.mark.parametrize(("argv", "option", "value", "advice"), BAD, ids=[" ".join(case[0])[:60] for case in BAD])
def test_bad_input_is_one_line_that_says_what_would_do(
    argv: Sequence[str],
    option: str,
    value: str,
    advice: str,
    drill: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(list(argv)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert option in said.err
    assert value in said.err
    assert advice in said.err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("raised", "code", "part"),
    [(OSError(28, "No space left on device"), 4, "one: measuring ours"), (KeyboardInterrupt(), 130, "interrupted")],
)
def test_what_can_not_be_measured_is_one_line_and_leaves_nothing(
    raised: BaseException,
    code: int,
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise raised

    def cases(setting: Setting) -> Iterator[Case | LeftOut]:
        yield Case("one", Contender("raw", lambda: None), (Contender("ours", fail),), 1)

    benchmarks.load()
    monkeypatch.setitem(benchmarks.BENCHMARKS._things, "drill", cases)
    assert run_command(["bench", "drill", "--quick", "--dir", str(tmp_path)]) == code
    said = capsys.readouterr()
    assert said.err.strip().count("\n") == 0
    assert part in said.err
    assert os.listdir(tmp_path) == []


def test_the_quick_form_measures_every_helper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "bench.json"
    argv = ["bench", "helpers", "--quick", "--rounds", "1", "--dir", str(tmp_path), "--report", f"json={report}"]
    assert run_command(argv) == 0
    capsys.readouterr()
    cases = json.loads(report.read_text())["cases"]
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names)
    shown = {series["name"] for case in cases for series in case["contenders"]}
    assert shown >= {
        "atomic_append_text",
        "atomic_append_text, in_place",
        "atomic_write_bytes",
        "atomic_write_json",
        "atomic_write_text",
        "import atomicops",
        "safe_read_json",
        "update_json",
    }
    assert all(case["contenders"] for case in cases)
    assert os.listdir(tmp_path) == ["bench.json"]


def test_a_library_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "safer", None)  # importing it raises ImportError
    came = list(benchmarks.load().get("helpers")(Setting(tmp_path, quick=True)))
    # Others may not be installed either: the tests do not ask for them.
    left_out = [one.why for one in came if isinstance(one, LeftOut)]
    assert "safer is not measured: it is not installed; pip install 'atomicops-stress[bench]'" in left_out
    cases = [one for one in came if isinstance(one, Case)]
    assert not any(one.name == "safer" for case in cases for one in case.contenders)


def test_two_benchmarks_of_one_name_are_refused() -> None:
    benchmarks.load()
    with pytest.raises(ValueError, match="'helpers' is registered already"):
        benchmarks.benchmark("helpers")(lambda setting: iter(()))
