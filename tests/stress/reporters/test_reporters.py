"""Reports of golden results: the words, the witness, the schema, and that nothing breaks a terminal."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from stress.anomalies import LOST_EVIDENCE, LOST_UPDATE, METADATA_LOST, STALE_READ, TORN_READ, WORKER_DIED
from stress.execution.progress import Phase, Progress
from stress.history.kinds import FaultKind, Kind, Language, Outcome
from stress.history.naming import Naming
from stress.history.notes import ErrorNote, SeenBytes
from stress.history.record import ABSENT, GARBAGE, INITIAL, NO_VERSION, Operation, version_of
from stress.history.skipped import Part, Skipped
from stress.latency import BUCKETS, buckets_of
from stress.plan import Plan, UsageError
from stress.reporters.destinations import Destination, destinations, write
from stress.reporters.github import workflow_commands
from stress.reporters.groups import Group, told
from stress.reporters.html import as_html
from stress.reporters.json import as_json, as_plain
from stress.reporters.junit import as_junit
from stress.reporters.live import LineView, LiveView, frame, headline, progress_line
from stress.reporters.markdown import as_markdown
from stress.reporters.registry import REPORTERS, load
from stress.reporters.terminal import Terminal
from stress.reporters.witness import diagram, group_lines, witness_table
from stress.reporters.words import again, escape_bytes, plain_text, verdict_line
from stress.result import Evidence, Finding, Owner, Result, Verdict
from stress.stats import Cpu, KindStats, Stats

AsItWas = Callable[[Path, str], None]
GOLDEN = Path(__file__).parents[1] / "reports"
BEGAN = 5_000_000_000
PLAN = Plan(scenarios=("drill",), target="guide", seed=7, kill_every_s=0.2)
LOST = Finding(
    LOST_UPDATE,
    "updates",
    "drill",
    ".claude/handoff-context.json",
    "p3.44 and p7.9 both started from p1.12: the change of p3.44 was acknowledged, and is gone.",
    (
        Operation(
            process=7, kind=Kind.UPDATE, version=version_of(7, 9), parent=version_of(1, 12), seq=9,
            invoke=BEGAN + 1_203_201_000, ret=BEGAN + 1_230_020_000, language=Language.BASH, outcome=Outcome.INFO,
            note=ErrorNote("exit status 1: jq: error"),
        ),
        Operation(
            process=3, kind=Kind.UPDATE, version=version_of(3, 44), parent=version_of(1, 12), seq=44,
            invoke=BEGAN + 1_203_120_000, ret=BEGAN + 1_203_441_123, held_from=BEGAN + 1_203_200_000,
            held_to=BEGAN + 1_203_400_000, size=812,
        ),
    ),
    (("expected", "p7.9 starts from p3.44"), ("seen", "p7.9 starts from p1.12")),
    count=12,
)  # fmt: skip
TORN = Finding(
    TORN_READ,
    "torn",
    "drill",
    "feature_list.json",
    "p13 saw 23 bytes that are not one complete document.",
    (
        Operation(process=12, kind=Kind.WRITE, version=version_of(12, 5), invoke=BEGAN + 10, ret=BEGAN + 2_000_000),
        Operation(
            process=13, kind=Kind.OBSERVE, version=GARBAGE, invoke=BEGAN + 1_000_000, ret=BEGAN + 1_000_000,
            note=SeenBytes(b'{"v": "p12.5",\n\x00\x1b[31m\xff\\'), size=23,
        ),
        Operation(process=2, kind=Kind.OBSERVE_BACKUP, version=ABSENT, parent=INITIAL, invoke=BEGAN, ret=BEGAN + 10),
    ),
    evidence=Evidence(
        b'{"v": "p12.5",\n\x00\x1b[31m\xff\\', 14, (Owner(version_of(12, 5), 0, 14), Owner(NO_VERSION, 14, 23))
    ),
)  # fmt: skip
DIED = Finding(WORKER_DIED, "vacuity", "", "", "Worker 5 ended by itself: exit status 7.", verdict=Verdict.UNKNOWN)
RESUME = Skipped(Part.SCENARIO, "resume", "the target has no recover")
CHECKERS = {"drill": frozenset({"torn", "updates"})}


def _some(ok: int, *, fail: int = 0, info: int = 0, p50_s: float = 0.001, p99_s: float = 0.002) -> KindStats:
    """Figures of so many operations, with these percentiles of what they took."""
    spans = np.zeros(BUCKETS, np.int64)
    slow = ok // 50
    np.add.at(spans, buckets_of(np.array([p50_s * 1e9, p99_s * 1e9], np.int64)), [ok - slow, slow])
    outcomes = {Outcome.OK: ok, Outcome.FAIL: fail, Outcome.INFO: info}
    return KindStats({outcome: count for outcome, count in outcomes.items() if count}, spans)


STATS = Stats(
    duration_s=10.04,
    kinds={
        (Kind.WRITE, Language.BASH): _some(312, info=2, p50_s=0.0241, p99_s=0.061),
        (Kind.WRITE, Language.PYTHON): _some(12345, p50_s=0.0012, p99_s=0.009),
        (Kind.UPDATE, Language.PYTHON): _some(1000, fail=3),
        (Kind.OBSERVE_BACKUP, Language.PYTHON): _some(5),
        (Kind.READ, Language.PYTHON): _some(27536),
    },
    processes=69,
    in_flight_s=17.3 * 10.04,
    faults={FaultKind.KILL: 49, FaultKind.PAUSE: 0, FaultKind.FILL: 1},
    cpu=Cpu(10.0, 9.17, 0.0, 0.0),
)
ONE_APPEND = dataclasses.replace(STATS, kinds={(Kind.APPEND, Language.BASH): _some(1)})


def result_of(*findings: Finding, **fields: Any) -> Result:
    verdict = max((finding.verdict for finding in findings), default=Verdict.PASS)
    return Result(
        **{
            "verdict": verdict, "findings": findings, "stats": STATS, "checkers": CHECKERS,
            "plan": PLAN.to_json(), "run": ".stress/20260131-120000-guide-1a2b3c", "began": BEGAN, **fields,
        }
    )  # fmt: skip


GOLDEN_RESULT = result_of(LOST, TORN, DIED, skipped=(RESUME,))


def shown(result: Result, *, quiet: bool = False, reports: tuple[str, ...] = ()) -> str:
    stream = io.StringIO()
    Terminal(quiet=quiet, stream=stream).show(result, reports)
    return stream.getvalue()


class Screen(io.StringIO):
    """A terminal, as far as anybody can tell."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    return Screen()


def lines_on(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "").split("\n")


# Words


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (
            result_of(),
            "PASS — 16 writers and 4 readers did 41,203 operations in 10.0 s on drill with guide; no reader saw a "
            "partial document, nothing acknowledged was lost; looked for by torn, updates",
        ),
        (
            result_of(plan={**PLAN.to_json(), "writers": 1, "readers": 0}, stats=ONE_APPEND),
            "PASS — 1 writer did 1 operation in 10.0 s on drill with guide; nothing acknowledged was lost; "
            "looked for by torn, updates",
        ),
        (
            GOLDEN_RESULT,
            "FAIL — lost-update ×12, torn-read ×1: 16 writers and 4 readers did 41,203 operations in 10.0 s on drill "
            "with guide; in doubt besides: worker-died ×1; left out: scenario resume: the target has no recover",
        ),
        (
            result_of(DIED),
            "UNKNOWN — Worker 5 ended by itself: exit status 7; 16 writers and 4 readers did 41,203 operations in "
            "10.0 s on drill with guide",
        ),
        (
            result_of(interrupted=True),
            "INTERRUPTED — 16 writers and 4 readers did 41,203 operations in 10.0 s on drill with guide; until then "
            "no reader saw a partial document, nothing acknowledged was lost; looked for by torn, updates",
        ),
        (
            result_of(LOST, interrupted=True),
            "FAIL — lost-update ×12: 16 writers and 4 readers did 41,203 operations in 10.0 s on drill with guide; "
            "interrupted before its end",
        ),
    ],
)
def test_the_verdict_in_plain_words(result: Result, line: str) -> None:
    assert verdict_line(result) == line


def test_nothing_is_claimed_that_no_checker_looked_at() -> None:
    one = result_of(checkers={"drill": frozenset({"progress"}), "other": frozenset({"appends"})})
    assert verdict_line(one).endswith("with guide; nothing acknowledged was lost; looked for by appends, progress")
    none = result_of(checkers={"drill": frozenset({"progress"})})
    assert verdict_line(none).endswith("with guide; nothing wrong was found; looked for by progress")


def test_what_was_left_out_is_said_also_when_it_passes() -> None:
    skipped = Skipped(Part.WORKERS, "bash", "jq is missing", "apt-get install jq", ("update",))
    words = "bash update: jq is missing; apt-get install jq"
    assert verdict_line(result_of(skipped=(skipped,))).endswith(f"; left out: {words}")


def test_the_command_that_shows_it_again_can_be_pasted() -> None:
    assert again(result_of(run="a b/c")) == "stress check 'a b/c'"
    for path in ('it\'s "$mine" \\', "a\nb\t'c'\x1b\\", os.fsdecode(b"r\xff\xc3\xbc'"), "\u2028é"):
        command = plain_text(again(result_of(run=path)) or "").replace("stress check", "printf %s")
        said = subprocess.run(["bash", "-c", command.encode()], capture_output=True, check=True)
        assert os.fsdecode(said.stdout) == path
    assert again(result_of(run="-x/y")) == "stress check ./-x/y"
    assert again(result_of(run="")) is None


@given(st.binary(max_size=200))
def test_escaped_bytes_are_safe_and_say_exactly_what_they_were(data: bytes) -> None:
    text = escape_bytes(data)
    assert text.isprintable()
    assert _unescaped(text) == data


def _unescaped(text: str) -> bytes:
    simple = {"\\": b"\\", "n": b"\n", "r": b"\r", "t": b"\t"}

    def one(match: re.Match[str]) -> str:
        word = match[1]
        if word in simple:
            return simple[word].decode()
        code = int(word[1:], 16)
        return chr(code) if word[0] != "x" or code < 0x80 else chr(0xDC00 + code)

    plain = re.sub(r"\\(\\|n|r|t|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})", one, text)
    return plain.encode("utf-8", "surrogateescape")


@given(st.text(max_size=100))
def test_text_of_others_moves_no_cursor(text: str) -> None:
    assert plain_text(text).isprintable()


# The witness


def test_the_witness_is_a_table_in_order_of_time() -> None:
    assert witness_table(sorted(LOST.witness, key=lambda op: op.invoke), Naming(BEGAN)) == [
        "process  language  operation  from   version  start ms    end ms  outcome",
        "p3       python    update     p1.12  p3.44    1203.120  1203.441  ok",
        "p7       bash      update     p1.12  p7.9     1203.201  1230.020  unknown",
    ]


def test_where_it_is_narrow_the_witness_loses_columns_and_says_which() -> None:
    ops = sorted(LOST.witness, key=lambda op: op.invoke)
    assert witness_table(ops, Naming(BEGAN), 60)[::2] == [
        "process  operation  from   version  start ms  outcome",
        "p7       update     p1.12  p7.9     1203.201  unknown",
    ]
    assert witness_table(ops, Naming(BEGAN), 60)[-1] == "not shown: language, end ms"
    assert max(map(len, witness_table(ops, Naming(BEGAN), 20))) > 20


def test_the_diagram_keeps_the_order_of_starts_and_ends() -> None:
    ops = [
        Operation(process=1, kind=Kind.WRITE, invoke=0, ret=100),
        Operation(process=2, kind=Kind.READ, invoke=50, ret=10**12),
        Operation(process=3, kind=Kind.READ, invoke=100, ret=100),
    ]
    first, second, third, legend = diagram(ops, Naming(), 60)
    assert first.startswith("p1 write  ├")
    assert "time" in legend
    assert first.index("├") < second.index("├") < first.index("┤") < second.index("┤")
    assert third.index("|") == first.index("┤")


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12), st.integers(60, 100))
def test_the_diagram_is_exact_and_fits(spans: list[tuple[int, int]], width: int) -> None:
    ops = [Operation(process=1, kind=Kind.OBSERVE_BACKUP, invoke=start, ret=start + length) for start, length in spans]
    bars = diagram(ops, Naming(), width)[:-1]
    starts = [re.search(r"[├|]", bar) for bar in bars]
    for one, bar in zip(ops, starts, strict=True):
        for other, another in zip(ops, starts, strict=True):
            assert bar is not None
            assert another is not None
            assert (one.invoke < other.invoke) == (bar.start() < another.start())
    assert max(map(len, bars)) <= width


def test_a_finding_without_details_shows_the_bytes() -> None:
    lines = group_lines(Group((TORN,)), Naming(BEGAN))
    assert lines[0] == "torn-read in feature_list.json (checker torn, scenario drill)"
    assert r'  p13 observe saw 23 bytes: {"v": "p12.5",\n\x00\x1b[31m\xff\\' in lines


def test_long_words_and_many_operations_are_cut() -> None:
    ops = tuple(
        Operation(process=n, kind=Kind.READ, invoke=n, ret=n + 2, note=SeenBytes(b"x" * 5000)) for n in range(1, 40)
    )
    lines = group_lines(Group((Finding(TORN_READ, "torn", "drill", "f", "w" * 500, ops),)), Naming())
    assert max(map(len, lines)) <= 80
    assert len(lines) < 120
    assert any("and 27 more operations" in line for line in lines)
    assert any("4,800 bytes" in line for line in lines)


# The terminal


def test_the_plain_report_is_as_it_was(as_it_was: AsItWas) -> None:
    as_it_was(GOLDEN / "plain.txt", shown(GOLDEN_RESULT, reports=("report.json",)))


def test_a_width_of_zero_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert "lost-update" in shown(result_of(LOST))


def test_a_pipe_is_not_as_narrow_as_the_terminal_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = shown(GOLDEN_RESULT)
    monkeypatch.setenv("COLUMNS", "20")
    assert shown(GOLDEN_RESULT) == wide


def test_a_pipe_gets_neither_colour_nor_cut_lines() -> None:
    text = shown(GOLDEN_RESULT)
    assert "\x1b" not in text
    assert verdict_line(GOLDEN_RESULT) in text.splitlines()
    assert text.endswith("Show it again: stress check .stress/20260131-120000-guide-1a2b3c\n")


def test_a_screen_of_80_columns_is_enough(screen: Screen) -> None:
    long_path = Finding(
        TORN_READ, "torn", "drill", "deep/" * 30 + "f.json", "W" * 300, TORN.witness, (("seen", "d" * 200),)
    )
    many = [Finding(STALE_READ, "register", "drill", "f", f"Number {n} " + "x" * 90) for n in range(9)]
    kinds = (*{kind for kind, _ in STATS.kinds}, Kind.APPEND)
    big = dataclasses.replace(STATS, kinds={(kind, Language.PYTHON): _some(ok=98_765_432) for kind in kinds})
    Terminal(stream=screen).show(result_of(LOST, TORN, long_path, DIED, *many, stats=big), ["report.json"])
    text = screen.getvalue()
    assert "\x1b[1;31mFAIL" in text
    assert max(map(cell_len, lines_on(text))) <= 80
    assert "98,765,432" in text


def test_a_command_stays_one_line_on_a_screen_that_is_narrower(screen: Screen) -> None:
    run = f"/tmp/{'long/' * 30}20260131-120000-guide-1a2b3c"
    Terminal(stream=screen).show(dataclasses.replace(GOLDEN_RESULT, run=run), [f"{run}/report.json"])
    lines = lines_on(screen.getvalue())
    for line in (f"Show it again: stress check {run}", f"Reports: {run}/report.json"):
        assert line in lines, "in two lines it would be two commands when it is copied"


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_a_log_of_ci_and_a_dumb_terminal_get_plain_lines(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    terminal = Terminal(stream=screen)
    with terminal.view(PLAN) as view:
        assert view.watch is not None
        view.watch(progress(1.0))
    terminal.show(GOLDEN_RESULT)
    assert "\x1b" not in screen.getvalue()
    assert verdict_line(GOLDEN_RESULT) in screen.getvalue().splitlines()


@pytest.mark.parametrize("never", [False, True], ids=["", "NO_COLOR"])
def test_a_log_of_ci_has_colours_where_they_are_asked_for(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, never: bool
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("FORCE_COLOR", "1")
    if never:
        monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal(stream=screen)
    with terminal.view(PLAN) as view:
        assert isinstance(view, LineView)
        view.watch(progress(1.0))
    terminal.show(GOLDEN_RESULT)
    assert ("\x1b[1;31mFAIL" in screen.getvalue()) != never
    assert "\x1b[?25l" not in screen.getvalue()


def test_quiet_is_the_findings_and_the_verdict() -> None:
    assert shown(result_of(), quiet=True) == verdict_line(result_of()) + "\n"
    text = shown(GOLDEN_RESULT, quiet=True, reports=("report.json",))
    assert text.startswith("lost-update ×12 in ")
    assert "\nFAIL — " in text
    assert "in flight" not in text
    assert "lost-update ×12 in .claude" in text


def test_each_anomaly_is_told_once_in_full_the_worst_first_and_the_verdict_comes_last() -> None:
    resume = [
        Finding(LOST_EVIDENCE, "recovery", "resume", f"resume-{n:03}/state.json", f"Number {n}.", count=2)
        for n in range(112)
    ]
    elsewhere = [Finding(LOST_EVIDENCE, "recovery", "drill", f"{chr(97 + n)}.json", "It is gone.") for n in range(11)]
    mode = Finding(METADATA_LOST, "metadata", "drill", "f", "Its mode is gone.")
    lines = shown(result_of(DIED, mode, *resume, *elsewhere, TORN, LOST)).splitlines()
    heads = [line for line in lines if re.match(r"[a-z]+-[a-z]+ (×|in|\()", line)]
    assert [head.split()[0] for head in heads] == [
        "lost-update", "torn-read", "lost-evidence", "metadata-lost", "worker-died",
    ]  # fmt: skip
    assert heads[2] == (
        "lost-evidence ×224 in 112 files resume-*/state.json (checker recovery, scenario resume)"
    )  # fmt: skip
    assert sum("Number" in line for line in lines) == 1
    assert "  The witness is of resume-000/state.json." in lines
    assert "  also lost-evidence in a.json (checker recovery, scenario drill)" in lines
    assert "  and in 3 more places: --report json=FILE has them all" in lines
    verdict = next(at for at, line in enumerate(lines) if line.startswith("FAIL — "))
    assert lines[verdict].startswith("FAIL — lost-update ×12, torn-read ×1, lost-evidence ×235, metadata-lost ×1: ")
    assert lines[verdict + 1 :] == [
        "See it as a page: stress report .stress/20260131-120000-guide-1a2b3c",
        "Show it again: stress check .stress/20260131-120000-guide-1a2b3c",
    ]
    assert max(at for at, line in enumerate(lines) if "in flight on average" in line) < verdict


def test_the_finding_that_shows_most_is_the_one_that_is_told() -> None:
    without = Finding(LOST_UPDATE, "updates", "drill", "a1", "Nobody saw it.", count=9)
    (only,) = told([without, dataclasses.replace(LOST, file="a2")])
    assert (only.first.best.file, only.first.count, only.first.place) == ("a2", 21, "2 files a*")
    apart = told([without, dataclasses.replace(LOST, file="b")])
    assert [group.best.file for group in (apart[0].first, *apart[0].others)] == ["b", "a1"]


def test_a_usual_cause_is_told_with_each_finding() -> None:
    lines = group_lines(Group((LOST,)), Naming(BEGAN))
    assert any(line.startswith("  Usual cause: read, change and write are three") for line in lines)
    for text in (as_junit(GOLDEN_RESULT), as_markdown(GOLDEN_RESULT), "\n".join(workflow_commands(GOLDEN_RESULT))):
        assert "Usual cause: read, change and write are three steps" in text


def test_every_report_tells_it_in_the_same_order() -> None:
    mode = Finding(METADATA_LOST, "metadata", "drill", "f", "Its mode is gone.")
    result = result_of(DIED, mode, TORN, LOST)
    for text in (shown(result), as_markdown(result), as_junit(result), as_html(result)):
        plain = re.sub(r"<[^>]*>|\\", "", text)
        places = [plain.index(each) for each in (LOST.message[:20], TORN.message[:20], mode.message, DIED.message[:20])]
        assert places == sorted(places)


def test_no_markup_of_others_is_obeyed() -> None:
    evil = Finding(TORN_READ, "torn", "drill", "[red]f[/red]", "[bold]x[/] \x1b[31m :smile:", ())
    text = shown(result_of(evil))
    assert "[red]f[/red]" in text
    assert "[bold]x[/] \\x1b[31m :smile:" in text


# While it runs


def progress(elapsed_s: float, phase: Phase = Phase.RUNNING, **fields: Any) -> Progress:
    keys = [
        (kind, language)
        for kind in (Kind.WRITE, Kind.OBSERVE_BACKUP, Kind.UPDATE, Kind.READ)
        for language in (Language.BASH, Language.PYTHON, Language.COMMAND)
    ]
    kinds = {key: _some(int(98_765_432 * elapsed_s), info=123, p50_s=0.0012, p99_s=0.0341) for key in keys}
    return Progress(
        **{
            "phase": phase, "elapsed_s": elapsed_s, "duration_s": 10.0, "ops": None,
            "kinds": kinds if elapsed_s else {}, "per_s": dict.fromkeys(keys, 12345.6) if elapsed_s else {},
            "mean_in_flight": 17.31, "kills": 3, "violations": {TORN_READ: 7} if elapsed_s > 2 else {},
            "writers": 16, "readers": 4, **fields,
        }
    )  # fmt: skip


@pytest.mark.parametrize("phase", Phase)
def test_the_live_view_fits_80_columns(phase: Phase) -> None:
    stream = io.StringIO()
    plan = Plan(scenarios=("handoff", "session_count", "progress_log", "feature_list"), target="x" * 60, ops=10**9)
    for elapsed_s in (0.0, 1.0, 9.0):
        now = progress(elapsed_s, phase, ops=10**9)
        Console(file=stream, width=80).print(frame(plan, now, phase, 80))
    assert max(map(cell_len, stream.getvalue().split("\n"))) <= 80
    assert "torn-read ×7" in stream.getvalue()
    assert "no violation seen so far" in stream.getvalue()


def test_the_live_view_is_taken_away_and_the_cursor_comes_back(screen: Screen) -> None:
    terminal = Terminal(stream=screen)
    view = terminal.view(PLAN)
    assert isinstance(view, LiveView)
    with view:
        for elapsed_s in (0.0, 1.0, 3.0):
            view.watch(progress(elapsed_s))
        drawn = screen.getvalue()
        view.watch(progress(0.0, Phase.CHECKING))
        assert "checking what was done" in screen.getvalue()[len(drawn) :]
        assert "observe" not in drawn.splitlines()[0]
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")


def test_elsewhere_there_is_a_line_now_and_then() -> None:
    lines: list[str] = []
    view = LineView(lines.append, PLAN, every_s=5.0)
    with view:
        for tenth in range(120):
            view.watch(progress(tenth / 10))
        view.watch(progress(0.0, Phase.CHECKING))
        view.watch(progress(0.0, Phase.CHECKING))
    assert lines[0] == headline(PLAN, progress(0)) == "drill with guide: 16 writers, 4 readers, 10s, seed 7"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "5.0 s, 5s left",
        "10.0 s, 0s left",
        "checking what was done",
    ]
    assert lines[1] == progress_line(progress(5.0))
    assert lines[1].startswith("5.0 s, 5s left: 5,925,927,")
    assert lines[1].endswith("17.3 in flight, 3 kills, torn-read ×7; most kinds are judged at the end")


def test_a_run_in_stages_has_a_line_for_each() -> None:
    lines: list[str] = []
    view = LineView(lines.append, PLAN, every_s=5.0)
    for stage in (1, 2):
        for second in range(1, 11):
            view.watch(progress(second + 10.0 * (stage - 1), stage=stage, stages=3, duration_s=30.0))
        view.watch(progress(0.0, Phase.CHECKING, stage=stage, stages=3))
    assert [re.sub("[0-9,]+ operations, .*/s", "…", line) for line in lines[1:]] == [
        "stage 1 of 3: 10.0 s, 20s left: …, 17.3 in flight, 3 kills, torn-read ×7; most kinds are judged at the end; "
        "checking it",
        "stage 2 of 3: 20.0 s, 10s left: …, 17.3 in flight, 3 kills, torn-read ×7; most kinds are judged at the end; "
        "checking it",
    ]


@pytest.mark.parametrize(
    ("width", "height", "columns", "rows", "gone"),
    [
        (100, 24, "operation by done per s p50 p99 failed unknown", 12, ""),
        (80, 24, "operation by done per s p99 failed unknown", 12, "p50"),
        (60, 20, "operation by done failed unknown", 10, "p50, p99, per s"),
        (50, 12, "operation by done failed", 2, "p50, p99, per s, unknown"),
        (40, 12, "operation by done", 2, "p50, p99, per s, unknown, fa…"),
        (30, 7, "", 0, ""),
        (30, 4, "", 0, ""),
    ],
)
def test_what_a_small_terminal_does_without_is_said(
    width: int, height: int, columns: str, rows: int, gone: str
) -> None:
    stream = io.StringIO()
    Console(file=stream, width=width).print(frame(PLAN, progress(9.0), Phase.RUNNING, width, height))
    lines = stream.getvalue().rstrip("\n").split("\n")
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= height
    assert "torn-read ×7" in lines[2]
    head = next((line for line in lines if line.startswith("operation ")), "")
    assert " ".join(head.split()) == columns
    assert sum("888,889,011" in line for line in lines) == rows
    assert any(line.startswith(f"{12 - rows} more rows: the ter") for line in lines) == (rows < 12)
    assert next((line.rstrip() for line in lines if "not shown" in line), "") == (f"not shown: {gone}" if gone else "")
    assert any(line.startswith("Ctrl-C") for line in lines) == (height > 4)


# Files


def test_the_json_report_is_as_it_was(as_it_was: AsItWas) -> None:
    """The schema is stable. A changed or removed field: raise `SCHEMA`."""
    as_it_was(GOLDEN / "report.json", as_json(GOLDEN_RESULT))


def test_the_json_report_has_what_the_documentation_promises() -> None:
    plain = as_plain(GOLDEN_RESULT)
    assert list(plain) == [
        "schema", "verdict", "exit_code", "interrupted", "message", "findings", "operations", "stats", "checkers",
        "allowed", "skipped", "provenance", "plan", "run",
    ]  # fmt: skip
    assert (plain["schema"], plain["verdict"], plain["exit_code"]) == (2, "fail", 1)
    assert Plan.from_json(plain["plan"]) == PLAN
    operation = plain["findings"][0]["witness"][0]
    assert (operation["start_s"], operation["held_from_s"], operation["outcome"]) == (1.203201, None, "info")
    assert as_plain(result_of(interrupted=True))["exit_code"] == 130


def test_much_evidence_is_cut_in_the_report_and_says_so() -> None:
    op = Operation(process=1, kind=Kind.READ, version=NO_VERSION, note=SeenBytes(b"\xff" * 100_000))
    made = as_plain(result_of(Finding(TORN_READ, "torn", "drill", "f", "m", (op,))))["findings"][0]["witness"][0]
    assert made["bytes"] == "\\xff" * (16 << 10)
    assert made["bytes_total"] == 100_000


def test_junit_has_a_case_for_each_checker() -> None:
    text = as_junit(
        result_of(LOST, TORN, DIED, skipped=(dataclasses.replace(RESUME, why="the target has no recover\x00"),))
    )
    suite = ElementTree.fromstring(text.encode())[0]
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "2", "errors": "1", "skipped": "1",
    }  # fmt: skip
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    failure = cases["updates"].find("failure")
    assert failure is not None
    assert failure.get("type") == "lost-update"
    assert "p3       python    update" in (failure.text or "")
    assert cases["vacuity"].find("error") is not None


def test_junit_has_times_and_the_plan() -> None:
    suite = ElementTree.fromstring(as_junit(GOLDEN_RESULT).encode())[0]
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties["plan.seed"] == "7"
    assert str(properties["show it again"]).startswith("stress check .stress/")
    assert properties.keys() >= GOLDEN_RESULT.provenance.keys()
    assert {float(case.get("time", "")) for case in suite.iter("testcase")} > {0.0}


def test_junit_of_a_clean_run_has_cases_too() -> None:
    suite = ElementTree.fromstring(as_junit(result_of()).encode())[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")


@given(st.text(max_size=30))
def test_junit_is_xml_whatever_the_words(text: str) -> None:
    finding = Finding(TORN_READ, text, text, text, text, (), ((text, text),))
    skipped = Skipped(Part.CHECKER, text, text, text)
    ElementTree.fromstring(as_junit(result_of(finding, skipped=(skipped,))).encode("utf-8", "backslashreplace"))


def test_the_kinds_there_are() -> None:
    assert set(load()) >= {"json", "junit"}
    assert load() is REPORTERS


def test_destinations_are_read_and_tried(tmp_path: Path) -> None:
    one, two, three = (str(tmp_path / name) for name in ("r,x.json", "r.xml", "s.json"))
    assert destinations([f"json={one},junit={two}", f"json={three}"]) == [
        Destination("json", one), Destination("junit", two), Destination("json", three),
    ]  # fmt: skip
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is not KIND=FILE"),
        ("json", "is not KIND=FILE"),
        ("json=", "is not KIND=FILE"),
        ("=x", "is not KIND=FILE"),
        ("jsn=x", f"did you mean 'json'?); there are: {', '.join(load())}"),
        ("json=.", "it is a directory"),
        ("json=nosuch/r.json", "No such file or directory"),
        ("json=r.json,junit=./r.json", "another report"),
        ("json=a\0b", "can't be written"),
    ],
)
def test_a_report_that_can_not_be_is_found_out_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="--report") as caught:
        destinations([value])
    assert says in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_report_replaces_the_old_one_whole(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    link.symlink_to("real.json")
    with real.open() as before:
        write(Destination("json", str(link)), as_json(GOLDEN_RESULT))
        assert before.read() == "old"
    assert json.loads(real.read_text())["verdict"] == "fail"
    assert link.is_symlink()
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(real.stat().st_mode) == 0o666 & ~mask
    assert sorted(os.listdir(tmp_path)) == ["link.json", "real.json"]


def test_a_report_can_go_to_a_device() -> None:
    destination = destinations([f"json={os.devnull}"])[0]
    write(destination, as_json(GOLDEN_RESULT))
    assert not Path(os.devnull).is_file()


def test_a_report_can_go_to_a_pipe() -> None:
    reader, writer = os.pipe()
    destination = destinations([f"junit=/dev/fd/{writer}"])[0]
    write(destination, as_junit(result_of()))
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        ElementTree.fromstring(pipe.read().encode())
