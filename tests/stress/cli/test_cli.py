"""The command line: bad input, exit codes, and that an error of ours never looks like a verdict."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from stress import engine
from stress.anomalies import LOST_UPDATE, NO_OVERLAP
from stress.checkers import registry as checkers
from stress.cli._entry import DEBUG_VARIABLE, run_command
from stress.cli._group import group
from stress.execution.progress import Phase, Progress
from stress.host import machine
from stress.plan import OPTIONS, Plan, UsageError
from stress.result import Finding, Result, Verdict
from stress.stats import Stats
from stress.workload import catalog
from stress.workload.scenario import Scenario

TARGET = "def write(path, document): ...\ndef read(path): ...\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, a scenario to name, and a target in a file."""
    catalog.load()
    for name in ("drill", "bridge"):
        if name not in catalog.SCENARIOS:
            monkeypatch.setitem(catalog.SCENARIOS._things, name, Scenario(name, "An exercise.", (), (), frozenset()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "mine.py").write_text(TARGET)
    return tmp_path


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that reach the engine; nothing is run."""
    seen: list[Plan] = []

    def run(plan: Plan, watch: Callable[[Progress], None] | None = None) -> Result:
        seen.append(plan)
        if watch is not None:
            watch(Progress(Phase.RUNNING, 1.0, plan.duration_s, plan.ops, writers=16, readers=4))
        return result_of()

    monkeypatch.setattr(engine, "run", run)
    return seen


def result_of(*findings: Finding, **fields: Any) -> Result:
    verdict = max((finding.verdict for finding in findings), default=Verdict.PASS)
    return Result(verdict, findings, Stats(duration_s=1.0), Plan(seed=1).to_json(), **fields)


def engine_does(monkeypatch: pytest.MonkeyPatch, what: Result | BaseException) -> None:
    def run(plan: Plan, watch: Callable[[Progress], None] | None = None) -> Result:
        if isinstance(what, BaseException):
            raise what
        return what

    monkeypatch.setattr(engine, "run", run)


RUN = ("run", "drill", "--target", "mine.py")

BAD = [
    # arguments, option, value, and a part of what would do
    (("run", "--writers", "0"), "--writers", "0", "give 1 or more"),
    (("run", "--writers", "x"), "--writers", "x", "such as --writers 16"),
    (("run", "--writers", ""), "--writers", "", "such as --writers 16"),
    (("run", "--writers", "1e9"), "--writers", "1e9", "give 1 or more"),
    (("run", "--writers", "99999"), "--writers", "99999", "give 4096 or less"),
    (("run", "--writers", "9" * 5000), "--writers", "9" * 80, "such as --writers 16"),
    (("run", "--writers", "1\n2"), "--writers", "1\\n2", "such as --writers 16"),
    (("run", "--writers"), "--writers", "", "needs a value"),
    (("run", "--readers", "-1"), "--readers", "-1", "give 0 or more"),
    (("run", "--readers", "few"), "--readers", "few", "such as --readers 4"),
    (("run", "--duration", "-1s"), "--duration", "-1s", "such as --duration 30s"),
    (("run", "--duration", "0"), "--duration", "0", "above zero"),
    (("run", "--duration", "10x"), "--duration", "10x", "such as --duration 30s"),
    (("run", "--duration", "nan"), "--duration", "nan", "such as --duration 30s"),
    (("run", "--duration", "9999d"), "--duration", "9999d", "such as --duration 30s"),
    (("run", "--ops", "0"), "--ops", "0", "such as --ops 100000"),
    (("run", "--ops", "1.5"), "--ops", "1.5", "such as --ops 100000"),
    (("run", "--seed", "-1"), "--seed", "-1", "such as --seed 7"),
    (("run", "--seed", "abc"), "--seed", "abc", "such as --seed 7"),
    (("run", "--mix", "bash"), "--mix", "bash", "such as --mix bash=8,python=8"),
    (("run", "--mix", "bash=0"), "--mix", "bash=0", "no writer at all"),
    (("run", "--mix", "bash=-3,python=9"), "--mix", "bash=-3,python=9", "such as --mix"),
    (("run", "--mix", "bash=3,python=3", "--writers", "5"), "--mix", "bash=3,python=3", "give one of the two"),
    (("run", "--kill-every", "often"), "--kill-every", "often", "such as --kill-every 200ms"),
    (("run", "--pause-every", "0s"), "--pause-every", "0s", "such as --pause-every 500ms"),
    (("run", "--fill-every", "-2"), "--fill-every", "-2", "such as --fill-every 200ms"),
    (("run", "--pause-for", "0s"), "--pause-for", "0s", "such as --pause-for 6s"),
    (("run", "--signal-every", "-3"), "--signal-every", "-3", "such as --signal-every 100ms"),
    (("run", "--nemesis", "touch"), "--nemesis", "'touch' is not", "such as --nemesis touch=200ms"),
    (("run", "--load", "none.py"), "--load", "none.py", "there is no such file"),
    (("run", "--op-limit", "0"), "--op-limit", "0", "such as --op-limit 30s"),
    (("run", "--stop-on-first=yes"), "--stop-on-first", "", "takes no value"),
    (("run", "--dir", ""), "--dir", "", "give a directory"),
    (("run", "--runs", ""), "--runs", "", "give a directory"),
    (("run", "--plan", "none.toml"), "--plan", "none.toml", "give a TOML file"),
    (("run", "--target", ""), "--target", "", "stress list targets"),
    (("run", "drill", "--target", "nosuch"), "--target", "nosuch", "there are:"),
    (("run", "drill", "--target", "none.py"), "--target", "none.py", "there is no such file"),
    (("run", "drill", "--target", "broken.py"), "--target", "broken.py", "ZeroDivisionError"),
    (("run", "drill", "--target", "empty.py"), "--target", "empty.py", "defines none of the operations"),
    (("run", "drill", "--target", "bad.toml"), "--target", "bad.toml", "{path}"),
    (("run", "nosuch"), "SCENARIO", "nosuch", "there are:"),
    (("run", "dril"), "SCENARIO", "dril", "did you mean 'drill'?"),
    (("run", "a b"), "SCENARIO", "a b", "stress list scenarios"),
    (("run", "--wrters", "3"), "--wrters", "", "did you mean --writers"),
    ((*RUN, "--report", "jsn=x"), "--report", "jsn=x", "there are: html, json, junit, markdown, trace"),
    ((*RUN, "--report", "json"), "--report", "json", "such as --report json=r.json"),
    ((*RUN, "--report", "json=no/such.json"), "--report", "json=no/such.json", "give a file that can"),
    (("check",), "RUN", "", "stress run"),
    (("check", "nosuch"), "RUN", "nosuch", "stress run"),
    (("check", "."), "RUN", ".", "stress run"),
    (("check", "a", "b"), "b", "b", "one argument too many"),
    (("list", "scenario"), "WHAT", "scenario", "did you mean 'scenarios'?"),
    (("doctor", "--dir", "nosuch"), "--dir", "nosuch", "give a directory"),
    (("rnu",), "COMMAND", "rnu", "did you mean 'run'?"),
    (("--nosuch",), "--nosuch", "", "stress --help"),
]


@pytest.mark.parametrize(("argv", "option", "value", "advice"), BAD, ids=[" ".join(case[0])[:60] for case in BAD])
def test_bad_input_is_one_line_that_says_what_would_do(
    argv: Sequence[str],
    option: str,
    value: str,
    advice: str,
    home: Path,
    plans: list[Plan],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (home / "broken.py").write_text("1 / 0\n")
    (home / "empty.py").write_text("")
    (home / "bad.toml").write_text('write = "cat"\n')
    before = sorted(os.listdir(home))
    assert run_command(list(argv)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith("\n")
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("stress: ")
    for part in (option, value, advice):
        assert part in said.err
    assert len(said.err) < 600
    assert plans == []
    assert sorted(name for name in os.listdir(home) if name != "__pycache__") == before
    assert os.listdir(home / "temporary") == []


def test_every_option_of_a_plan_is_an_option_of_run_and_tells_its_default() -> None:
    command = group.get_command(None, "run")  # type: ignore[arg-type]
    assert command is not None
    options = {param.name.replace("_", "-"): param for param in command.params if param.name}
    assert set(options) >= set(OPTIONS)
    for name, param in options.items():
        help_ = getattr(param, "help", None)
        assert name == "scenarios" or (help_ and "[default: " in help_), f"--{name} does not tell its default"


@pytest.mark.parametrize(
    "argv", [["--help"], ["-h"], ["run", "--help"], ["check", "-h"], ["report", "-h"], ["list", "-h"]]
)
def test_help_has_examples(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(argv) == 0
    said = capsys.readouterr()
    assert "Usage: stress" in said.out
    assert said.err == ""
    if argv[0] != "list":
        assert "Examples:" in said.out
    assert max(map(len, said.out.splitlines())) <= 100


def test_nothing_asked_for_is_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) == 2
    assert "stress run" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out.startswith("stress 0.")


# What goes to the engine, and what comes of it


def test_what_is_typed_reaches_the_engine(plans: list[Plan]) -> None:
    argv = "run drill --target mine.py --mix python=4 --readers 1 --ops 10 --seed 3 --kill-every 200ms --stop-on-first"
    assert run_command(shlex.split(argv)) == 0
    assert plans == [
        Plan(
            scenarios=("drill",), target="mine.py", writers=4, readers=1, mix=(("python", 4),), duration_s=None, ops=10,
            seed=3, kill_every_s=0.2, stop_on_first=True,
        )
    ]  # fmt: skip
    assert shlex.join(plans[0].to_argv()).startswith("stress run drill --target mine.py")


VIOLATION = Finding(LOST_UPDATE, "updates", "drill", "f.json", "It is gone.")
DOUBT = Finding(NO_OVERLAP, "vacuity", "drill", "", "Nothing overlapped.", verdict=Verdict.UNKNOWN)


@pytest.mark.parametrize(
    ("result", "code", "word"),
    [
        (result_of(), 0, "PASS"),
        (result_of(VIOLATION, DOUBT), 1, "FAIL"),
        (result_of(DOUBT), 3, "UNKNOWN"),
        (result_of(interrupted=True), 130, "INTERRUPTED"),
        (result_of(DOUBT, interrupted=True), 130, "INTERRUPTED"),
        (result_of(VIOLATION, interrupted=True), 1, "FAIL"),
    ],
)
def test_exit_codes_of_verdicts(
    result: Result, code: int, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine_does(monkeypatch, result)
    assert run_command([*RUN, "--quiet", "--report", "json=r.json,junit=r.xml"]) == code
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith(word)
    assert said.err == ""
    assert json.loads(Path("r.json").read_text())["exit_code"] == code
    assert Path("r.xml").read_text().startswith("<?xml")


@pytest.mark.skipif(
    not os.geteuid() and not shutil.which("setpriv"), reason="root may read all, and there is no setpriv"
)
@pytest.mark.parametrize(
    ("option", "name"), [("--target", "a.toml"), ("--target", "shut/a.py"), ("--load", "shut/a.py")]
)
def test_a_file_that_may_not_be_read_is_said(option: str, name: str, home: Path) -> None:
    (home / "shut").mkdir()
    for file in (home / "a.toml", home / "shut" / "a.py", home / "shut"):
        file.touch()
        file.chmod(0)
    drop = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if not os.geteuid() else []  # root without its rights
    done = subprocess.run(
        [*drop, sys.executable, "-m", "stress", "run", option, name], capture_output=True, text=True, check=False
    )
    (home / "shut").chmod(0o700)
    assert done.returncode == 2
    assert f"{name}': it can't be read: Permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (engine.HarnessError("the disk is full"), 4, "stress: the disk is full\n"),
        (OSError(24, "Too many open files", "/a"), 4, "stress: Too many open files (/a): raise `ulimit -n`\n"),
        (OSError(11, "Resource temporarily unavailable"), 4, "no process could be started; raise `ulimit -u`\n"),
        (OSError(13, "Permission denied", "a"), 4, "stress: Permission denied (a): choose a place that you may use\n"),
        (OSError(2, "No usable temporary directory found in []"), 4, "[]: set TMPDIR to a directory that can be writ"),
        (OSError(2, "No such file or directory"), 4, "the current directory has been removed; go to one"),
        (OSError(2, "No such file or directory", "a"), 4, "an error in stress itself"),
        (UsageError("--dir", "x", "can't be used; give another"), 2, "stress: --dir: 'x' can't be used; give another"),
        (KeyboardInterrupt(), 130, "stress: interrupted"),
        (ZeroDivisionError("by\nzero"), 4, "ZeroDivisionError: by zero (the traceback is in "),
        (SystemExit(0), 4, "SystemExit"),
        (SystemExit(1), 4, "SystemExit"),
        (OSError(28, "No space left on device"), 4, "No space left"),
        (MemoryError(), 4, "stress: Cannot allocate memory: close some programs, or raise `ulimit -v`\n"),
        (AssertionError(), 4, "AssertionError"),
    ],
)
def test_no_error_looks_like_a_verdict(
    error: BaseException, code: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine_does(monkeypatch, error)
    assert run_command(list(RUN)) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1  # click ends the line that ^C is on


def test_the_traceback_of_an_error_of_ours_is_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine_does(monkeypatch, ZeroDivisionError("oops"))
    assert run_command(list(RUN)) == 4
    path = Path(capsys.readouterr().err.rpartition("the traceback is in ")[2].rstrip(")\n"))
    assert path.parent == home / "temporary"
    assert "in run\n" in path.read_text()
    path.unlink()
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    assert run_command(list(RUN)) == 4
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert os.listdir(home / "temporary") == []


def test_a_report_that_fails_after_the_run_is_an_error_but_the_verdict_is_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "gone").mkdir()

    def run(plan: Plan, watch: object = None) -> Result:
        (home / "gone").rmdir()
        return result_of()

    monkeypatch.setattr(engine, "run", run)
    assert run_command([*RUN, "--report", "json=gone/r.json"]) == 4
    said = capsys.readouterr()
    assert "PASS" in said.out
    assert "--report: 'json=gone/r.json' could not be written: No such file or directory" in said.err


def test_the_result_is_kept_in_the_run_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "kept").mkdir()
    engine_does(monkeypatch, result_of(run="kept"))
    assert run_command(list(RUN)) == 0
    assert json.loads((home / "kept" / "result.json").read_text())["verdict"] == "pass"


def test_check_judges_a_run_that_was_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".stress" / "one").mkdir(parents=True)
    (home / ".stress" / "one" / "plan.json").write_text("{}")
    monkeypatch.setattr(engine, "check", lambda run: result_of(VIOLATION, run=run))
    assert run_command(["check", ".stress/one", "--report", "json=r.json"]) == 1
    assert "Show it again: stress check .stress/one\n" in capsys.readouterr().out
    assert json.loads((home / "r.json").read_text())["run"] == ".stress/one"
    assert run_command(["check", ".stress/two"]) == 2
    assert "the newest in .stress is .stress/one" in capsys.readouterr().err


def test_check_of_a_broken_run_directory_is_no_verdict(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "plan.json").write_text("{")
    assert run_command(["check", "."]) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("what", ["scenarios", "targets", "checkers", "anomalies"])
def test_lists_have_a_line_on_each(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines), "a name without a word about it"
    assert run_command(["list"]) == 0
    assert f"{what}:" in capsys.readouterr().out


def test_every_checker_says_what_it_does() -> None:
    for name in checkers.load():
        assert checkers.CHECKERS.get(name).__module__ == f"stress.checkers.{name}"


def test_doctor_looks_at_the_machine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_command(["doctor", "--dir", "."]) == 0
    assert "flock(2) excludes there" in capsys.readouterr().out
    monkeypatch.setenv("PATH", "")
    assert run_command(["doctor", "--dir", "."]) == 3
    shown = capsys.readouterr().out
    assert "MISSING  jq           not found, and needed for Bash workers that read and update JSON: apt-get" in shown
    assert "MISSING  perl         not found, and needed for the helpers in Bash: apt-get install perl" in shown
    assert "without  strace" in shown


def test_doctor_has_one_line_for_each_need_whatever_a_directory_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["doctor", "--dir", str(tmp_path)]) == 0
    lines = len(capsys.readouterr().out.splitlines())
    (tmp_path / "a\nb").mkdir()
    assert run_command(["doctor", "--dir", str(tmp_path / "a\nb")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == lines


def test_doctor_says_what_a_limit_is_too_low_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stress.host.machine.limit_of", lambda name: (64, 4096))
    assert run_command(["doctor"]) == 3
    shown = capsys.readouterr().out
    assert "MISSING  open files   64 at once, enough for 16 workers: ulimit -n 4096" in shown
    assert "MISSING  processes" in shown


def test_the_machine_is_described() -> None:
    there = machine.file_system("/proc/self")
    assert there is not None
    assert (there.type, there.mount) == ("proc", "/proc")
    assert machine.limit_of("NOFILE")[0] > 0
    assert set(machine.cgroup_limits()) <= {"memory", "cpu"}


# As a process


def _stress(*argv: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "stress", *argv], capture_output=True, text=True, timeout=60, **more)


def test_the_exit_code_is_the_process_s() -> None:
    done = _stress("run", "--writers", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "stress: --writers: '0' is not a number of processes; give 1 or more, such as --writers 16\n"
    )


def test_who_stops_reading_stops_nothing() -> None:
    line = f"{shlex.quote(sys.executable)} -m stress list anomalies | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_under_standard_output_is_no_verdict() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stress", "list"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 4
    assert done.stderr == "stress: standard output could not be written: No space left on device\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize(("words", "code"), [("--version", 4), ("nosuch", 2)])
def test_a_full_disk_under_both_outputs_changes_no_exit_code(words: str, code: int) -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        argv = [sys.executable, "-m", "stress", words]
        assert subprocess.run(argv, stdout=full, stderr=full, timeout=60, env=buffered, check=False).returncode == code


def test_a_terminal_that_has_no_such_letters_gets_a_question_mark() -> None:
    done = _stress("list", "anomalies", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert done.stderr == ""


def test_the_shell_completes_names() -> None:
    words = {"_STRESS_COMPLETE": "bash_complete", "COMP_WORDS": "stress list anom", "COMP_CWORD": "2"}
    done = _stress(env={**os.environ, **words})
    assert (done.returncode, done.stdout) == (0, "plain,anomalies\n")


def test_the_library_has_what_its_page_says() -> None:
    import stress

    for name in stress.__all__:
        assert getattr(stress, name) is not None
    with pytest.raises(AttributeError):
        _ = stress.nosuch
