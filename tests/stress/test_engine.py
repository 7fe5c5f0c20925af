"""Whole runs, small ones: what is broken is seen, what is not proved is not passed, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from stress import engine
from stress.execution.nemesis import Fault, Nemesis
from stress.history.events import Started, read_events
from stress.history.kinds import FaultKind, Kind
from stress.history.run_directory import RunDirectory
from stress.history.skipped import Part, Skipped
from stress.host import process_tree
from stress.plan import Plan, UsageError
from stress.result import Result, Verdict

CORRECT = """
import contextlib, fcntl, json, os, shutil, tempfile, time
EXCLUSIVE = True

@contextlib.contextmanager
def lock(path):
    with open(path + ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

def _replace(path, text):
    fd, name = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=".tmp.")
    with open(fd, "w") as file:
        file.write(text)
    if os.path.exists(path):
        shutil.copystat(path, name)
    os.replace(name, path)

def write(path, document):
    with lock(path):
        _replace(path, json.dumps(document))

def read(path):
    with open(path) as file:
        return json.load(file)

def update(path, change):
    with lock(path):
        _replace(path, json.dumps(change(read(path))))

def append(path, text):
    with lock(path):
        _replace(path, (open(path).read() if os.path.exists(path) else "") + text)
"""

STRUCK_S = (1.0, 5.0, 20.0)
"""In the first second a slow machine may come to no fault."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A place for run directories and for files under test; afterwards no test directory may be in it."""
    (tmp_path / "files").mkdir()
    yield tmp_path
    assert os.listdir(tmp_path / "files") == []


def _target(home: Path, source: str) -> str:
    path = home / "mine.py"
    path.write_text(source)
    return str(path)


FORGETS = """
import json, os, tempfile

def write(path, document):
    with tempfile.NamedTemporaryFile("w", delete=False) as copy:
        json.dump(document, copy)
    for kept in ("mine.socket", os.path.abspath(path).replace("/", "_"), "_tmp_x.json"):
        open(os.path.join(tempfile.gettempdir(), kept), "w").close()
    os.system('mktemp >/dev/null; mkdir -p "$TMPDIR/tmp.shell"; : >"$TMPDIR/tmp.shell/inner"')
    with open(path + f".{os.getpid()}", "w") as file:
        json.dump(document, file)
    os.replace(file.name, path)

def read(path):
    with open(path) as file:
        return json.load(file)
"""


@pytest.mark.parametrize("fault", [{}, {"kill_every_s": 0.2}], ids=["clean", "killed"])
def test_what_is_forgotten_where_temporary_files_are_made_is_found(
    home: Path, fault: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(home / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    result = _run(home, _target(home, FORGETS), "handoff", only=("leftovers",), writers=2, duration_s=1.0, **fault)
    left = [finding for finding in result.findings if finding.anomaly == "leftover-temp"]
    assert os.listdir(home / "tmp") == []
    assert os.environ["TMPDIR"] == str(home / "tmp")
    if result.stats.faults.get("kill"):
        assert left == []
    elif not fault:
        paths = [text for label, text in left[0].detail if label == "left"]
        assert all(path.startswith("$TMPDIR/tmp") or "more" in path for path in paths), "no name made of a path"
        assert left[0].count > 3


def _run(home: Path, target: str, *scenarios: str, **options: object) -> Result:
    fields = {"writers": 3, "readers": 2, "duration_s": 60.0, "ops": 400, "op_limit_s": 20.0, **options}
    plan = Plan(
        scenarios=scenarios, target=target, runs=str(home / "runs"), directory=str(home / "files"), **fields  # type: ignore[arg-type]
    )  # fmt: skip
    return engine.run(plan)


def _anomalies(result: Result) -> set[str]:
    return {finding.anomaly for finding in result.findings}


def test_a_correct_target_passes_and_its_figures_add_up(home: Path) -> None:
    result = _run(home, _target(home, CORRECT), "handoff", "progress_log", mix=(("python", 3),))
    assert result.findings == ()
    assert result.verdict is Verdict.PASS
    assert result.exit_code == 0
    counted = sum(n for by in result.operations.values() for outcomes in by.values() for n in outcomes.values())
    assert counted == result.stats.total >= 400
    assert result.stats.mean_in_flight > 0
    assert result.stats.cpu is not None
    assert 0 < result.stats.cpu.harness_share < 1
    assert (Part.WORKERS, "bash") in [(skipped.part, skipped.name) for skipped in result.skipped], (
        "that the target has no Bash side must be said"
    )


@pytest.mark.long
def test_a_run_can_be_checked_again_from_its_directory_alone(home: Path) -> None:
    first = _run(
        home, _target(home, CORRECT.replace("os.replace(name, path)", "open(path, 'w').write(text)")), "handoff"
    )
    again = engine.check(first.run)
    assert (again.verdict, again.findings, again.operations) == (first.verdict, first.findings, first.operations)


def test_in_place_writes_are_seen_as_torn(home: Path) -> None:
    # The file is empty for long enough that somebody is sure to see it so.
    broken = CORRECT.replace(
        "_replace(path, json.dumps(document))",
        "file = open(path, 'w'); time.sleep(0.005); file.write(json.dumps(document)); file.close()",
    )
    result = _run(home, _target(home, broken), "handoff", ops=20000, stop_on_first=True)
    assert "torn-read" in _anomalies(result)
    assert result.exit_code == 1
    torn = next(finding for finding in result.findings if finding.anomaly == "torn-read")
    assert torn.witness
    assert torn.detail


def test_updates_and_appends_without_a_lock_are_lost(home: Path) -> None:
    broken = CORRECT.replace("fcntl.flock(file, fcntl.LOCK_EX)", "pass")
    broken = broken.replace(
        "    os.replace", "    time.sleep(0.005)\n    os.replace"
    )  # the others are sure to come between
    result = _run(home, _target(home, broken), "session_count", "progress_log", ops=600, mix=(("python", 3),))
    assert {"lost-update", "lost-append", "lock-overlap"} <= _anomalies(result)


def test_kills_pauses_and_full_disks_are_survived_and_counted(home: Path) -> None:
    for duration_s in STRUCK_S:
        result = _run(
            home, _target(home, CORRECT), "handoff", ops=None, duration_s=duration_s, readers=2,
            kill_every_s=0.1, pause_every_s=0.2, fill_every_s=0.1,
        )  # fmt: skip
        faults = result.stats.faults
        if struck := min(faults[FaultKind.KILL], faults[FaultKind.FILL], faults[FaultKind.PAUSE]):
            break
    assert struck
    assert result.stats.processes == 5 + faults[FaultKind.KILL]
    # Temp files of the killed may be left, for this target has no sweep; nothing else may be wrong.
    assert _anomalies(result) <= {"leftover-temp"}, result.findings
    history = RunDirectory(Path(result.run)).history()
    assert {facts.end for facts in history.processes} == {"finished", "killed"}


def test_a_worker_that_ends_while_another_is_killed_gets_no_signal_by_a_number_that_is_not_its_own_any_more(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever takes the place of the killed is forked by multiprocess, which reaps what has ended meanwhile.
    struck: list[int] = []

    def due(self: Nemesis, now: float, pids: Sequence[int], stop_inside: object = None) -> list[Fault]:
        if struck or len(pids) < 3:
            return []
        struck.extend(pids)
        for pid in pids[1:3]:
            os.kill(pid, signal.SIGKILL)
            while process_tree.state_of(pid) != "Z":
                time.sleep(0.001)
        return [Fault("kill", pids[0]), Fault("pause", pids[1], 0.1), Fault("kill", pids[2])]

    monkeypatch.setattr(Nemesis, "is_due", lambda self, now: True)
    monkeypatch.setattr(Nemesis, "due", due)
    result = _run(home, _target(home, CORRECT), "handoff", mix=(("python", 3),), readers=1, kill_every_s=1.0)
    assert {kind: n for kind, n in result.stats.faults.items() if n} == {FaultKind.KILL: 1}
    ends = [facts.end for facts in RunDirectory(Path(result.run)).history().processes]
    assert sorted(ends) == ["died", "died", "finished", "finished", "killed"]


@pytest.mark.parametrize("language", ["python", "bash"])
def test_who_takes_the_place_of_the_killed_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    """Also when its driver does an operation by itself, as it does the looks at a backup for Bash."""
    struck: list[int] = []

    def due(self: Nemesis, now: float, pids: Sequence[int], stop_inside: object = None) -> list[Fault]:
        first = [] if struck else list(pids)
        struck.extend(first)
        return [Fault("kill", pid) for pid in first]

    monkeypatch.setattr(Nemesis, "is_due", lambda self, now: True)
    monkeypatch.setattr(Nemesis, "due", due)
    mix = ((language, 2),)
    result = _run(
        home, "atomicops", "backups", mix=mix, writers=2, readers=1, ops=60, duration_s=20.0, kill_every_s=1.0
    )
    history = RunDirectory(Path(result.run)).history()
    assert sorted(facts.end for facts in history.processes) == ["finished"] * 3 + ["killed"] * 3
    assert result.stats.total >= 60
    assert (history.ops["kind"] == Kind.OBSERVE_BACKUP).sum() > 2, "each of the two readers goes on after its first"


def test_after_kills_what_lies_beside_a_linked_file_is_swept_too(home: Path) -> None:
    littering = CORRECT.replace(
        "def _replace(path, text):", "def _replace(path, text):\n    path = os.path.realpath(path)"
    )
    littering += """
_put = _replace
def _replace(path, text):
    fd, temp = tempfile.mkstemp(dir=os.path.dirname(os.path.realpath(path)), prefix=".tmp.")
    os.close(fd)
    _put(path, text)
    os.unlink(temp)

def sweep(directory):
    for name in os.listdir(directory):
        if name.startswith(".tmp."):
            os.unlink(os.path.join(directory, name))
"""
    plan = {"ops": None, "kill_every_s": 0.2, "mix": (("python", 3),)}
    for duration_s in STRUCK_S:
        result = _run(home, _target(home, littering), "feature_list", duration_s=duration_s, **plan)
        if kills := result.stats.faults[FaultKind.KILL]:
            break
    assert kills
    assert "leftover-temp" not in _anomalies(result), result.findings


@pytest.mark.parametrize(("leaves", "status"), [("os._exit(7)", 7), ("os._exit(0)", 0), ("sys.exit(0)", 0)])
def test_a_worker_that_dies_by_itself_makes_the_run_unknown(leaves: str, status: int, home: Path) -> None:
    dying = CORRECT + "\nimport itertools, sys\n_n = itertools.count()\n_write = write\n"
    dying += f"def write(path, document):\n    next(_n) == 2 and {leaves}\n    _write(path, document)\n"
    result = _run(home, _target(home, dying), "handoff", mix=(("python", 3),), ops=500)
    assert result.verdict is Verdict.UNKNOWN
    assert result.exit_code == 3
    assert "worker-died" in _anomalies(result)
    assert f"exit status {status}" in next(f.message for f in result.findings if f.anomaly == "worker-died")


def test_an_operation_without_end_is_a_hang_and_the_run_still_ends(home: Path) -> None:
    hanging = CORRECT + "\nimport time\ndef write(path, document):\n    time.sleep(600)\n"
    result = _run(home, _target(home, hanging), "handoff", ops=None, duration_s=0.5, op_limit_s=0.5)
    assert "hang" in _anomalies(result)


def test_without_readers_nothing_is_proved(home: Path) -> None:
    only_writes = CORRECT.replace("def read(", "def _read(").replace("change(read(", "change(_read(")
    result = _run(home, _target(home, only_writes), "handoff", readers=0, ops=50)
    assert result.verdict is Verdict.UNKNOWN
    assert result.exit_code == 3


def test_scenarios_whose_operations_the_target_lacks_are_skipped_and_it_is_said(home: Path) -> None:
    result = _run(home, _target(home, CORRECT), "handoff", "backups", "resume")
    assert {"handoff"} == set(json.loads((Path(result.run) / "world.json").read_text())["scenarios"])
    assert Skipped(Part.SCENARIO, "backups", "the target has no backup") in result.skipped
    nothing = _run(home, _target(home, CORRECT), "resume")
    assert nothing.verdict is Verdict.UNKNOWN


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_a_target_of_command_lines(home: Path) -> None:
    commands = home / "mine.toml"
    new, done = (
        "t=$(mktemp {path}.tmp.XXXXXX) &&",
        'cp --attributes-only --preserve=all {path} "$t" && mv -f "$t" {path}',
    )
    commands.write_text(
        f"""
read = "cat {{path}}"
write = '{new} cat >"$t" && {done}'
update = '{new} jq {{filter}} {{path}} >"$t" && sleep 0.02 && {done}'
"""
    )
    result = _run(home, str(commands), "handoff", "session_count", ops=150)
    assert result.stats.total >= 150, "workers whose operation the driver did by itself go on"
    assert set(result.operations["write"]) == {"command"}
    assert "lost-update" in _anomalies(result)
    assert "torn-read" not in _anomalies(result)


@pytest.mark.parametrize(
    ("source", "words"),
    [("1/0", "ZeroDivisionError"), ("import sys; sys.exit(3)", "SystemExit"), ("x = (", "SyntaxError"), ("", "write")],
)
def test_a_target_that_cannot_be_used_is_one_line(home: Path, source: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        _run(home, _target(home, source), "handoff")
    assert "\n" not in str(raised.value)
    assert "mine.py" in str(raised.value)


def _start(home: Path, target: str) -> tuple[subprocess.Popen[str], Path]:
    """The tool as a process, in the middle of a run; its run directory."""
    argv = ["run", "handoff", "--target", target, "--writers", "4", "--duration", "60s"]
    argv += ["--runs", str(home / "runs"), "--dir", str(home / "files")]
    tool = subprocess.Popen(
        [sys.executable, "-m", "stress", *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while not (runs := list((home / "runs").glob("*/events.jsonl"))) or "gate" not in runs[0].read_text():
        assert tool.poll() is None, tool.communicate()[0]
        time.sleep(0.02)
    return tool, runs[0].parent


def _alive(run: Path) -> list[int]:
    """The processes of that run that there still are, and what they started."""
    mark = f"{run.resolve()}:".encode()
    pids = {event.pid for event in read_events(run) if isinstance(event, Started)}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if not zombie and (int(folder.name) in pids or mark in (folder / "environ").read_bytes()):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_tool_leaves_no_process_and_no_directory(home: Path) -> None:
    tool, run = _start(home, "naive")
    assert _alive(run)
    tool.kill()
    tool.wait()
    assert tool.stdout is not None
    tool.stdout.close()
    deadline = time.monotonic() + 20
    while (_alive(run) or os.listdir(home / "files")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _alive(run) == []
    assert os.listdir(home / "files") == []


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_tool_reports_what_was_done(home: Path, number: int) -> None:
    tool, run = _start(home, _target(home, CORRECT))
    time.sleep(0.5)
    tool.send_signal(number)
    said, _ = tool.communicate(timeout=60)
    assert tool.returncode == 130, said
    assert "interrupted" in said.lower()
    assert _alive(run) == []


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux namespaces")
def test_a_full_disk_under_the_run_directory_is_the_harnesss_error(home: Path) -> None:
    small = home / "small"
    small.mkdir()
    command = 'mount -t tmpfs -o size=600k none "$1" && shift && exec "$@"'
    argv = [sys.executable, "-m", "stress", "run", "handoff", "--target", _target(home, CORRECT), "--writers", "4"]
    argv += ["--duration", "20s", "--runs", str(small), "--dir", str(home / "files")]
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command, "sh", str(small)]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare(1) may not make a mount namespace here")
    done = subprocess.run([*unshare, *argv], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_that_somebody_removes_meanwhile_says_nothing_about_the_target(home: Path) -> None:
    removing = f"""{CORRECT}
_write, _here = write, []
def write(path, document):
    _here or _here.append(os.getcwd())
    while os.path.isdir(_here[0]):  # others make files there meanwhile
        shutil.rmtree(_here[0], True)
    _write(path, document)
"""
    with pytest.raises(engine.HarnessError, match="somebody has removed or replaced the directory under"):
        _run(home, _target(home, removing), "handoff", mix=(("python", 3),), ops=60)


@pytest.mark.parametrize("read", ["echo INFO loading; cat {path}", "cat {path}; echo done", "cat {path} | gzip"])
def test_a_reader_that_never_finds_a_document_does_not_end_the_run_as_the_first_violation(
    read: str, home: Path
) -> None:
    target = home / "mine.toml"
    write = "cat >{path}.$$; chmod --reference={path} {path}.$$; mv {path}.$$ {path}"
    target.write_text(f"read = {json.dumps(read)}\nwrite = {json.dumps(write)}\n")
    given = {"ops": 250, "duration_s": 60.0, "stop_on_first": True, "allow": ("metadata-lost",)}
    result = _run(home, str(target), "handoff", writers=4, readers=4, **given)
    assert result.verdict is Verdict.UNKNOWN, result.findings
    assert "reads by command workers succeeded" in str([finding.message for finding in result.findings])


def test_what_a_link_leads_to_that_was_put_in_place_of_the_directory_is_neither_judged_nor_removed(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "precious").touch()
    replacing = f"""{CORRECT}
_write = write
def write(path, document):
    _write(path, document)
    try:
        os.rename(here := os.getcwd(), {str(home)!r} + "/moved")
        os.symlink({str(home / "data")!r}, here)
    except OSError:
        pass
"""
    with pytest.raises(engine.HarnessError, match="somebody has removed or replaced the directory under"):
        _run(home, _target(home, replacing), "handoff", mix=(("python", 3),), ops=60, clean_every="10ms")
    assert list((home / "data").iterdir()) == [home / "data" / "precious"]
    assert [path.name for path in home.rglob("*") if path.is_symlink()] == []


def test_a_file_that_is_a_link_to_itself_in_the_end_is_missing(home: Path) -> None:
    looping = f"""{CORRECT}
def write(path, document):
    with contextlib.suppress(OSError):
        os.unlink(path)
        os.symlink(os.path.basename(path), path)
import contextlib
"""
    result = _run(home, _target(home, looping), "handoff", mix=(("python", 3),), ops=200)
    assert "missing-read" in {finding.anomaly for finding in result.findings}


@pytest.mark.skipif(
    not os.geteuid() and not shutil.which("setpriv"), reason="root may read all, and there is no setpriv"
)
@pytest.mark.parametrize("shut", ["path", "os.path.dirname(path)", "os.getcwd()"])
def test_what_nobody_may_read_any_more_is_judged_and_removed(shut: str, home: Path) -> None:
    target = _target(
        home, f"{CORRECT}\n_write = write\ndef write(*a):\n _write(*a)\n path = a[0]\n os.chmod({shut}, 0)\n"
    )
    argv = [sys.executable, "-m", "stress", "run", "handoff", "--target", target, "--mix", "python=3", "--ops", "200"]
    argv += ["--dir", str(home / "files"), "--runs", str(home / "runs"), "--only", "metadata,torn"]
    drop = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if not os.geteuid() else []  # root without its rights
    done = subprocess.run([*drop, *argv], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == (1 if shut == "path" else 3), done.stdout + done.stderr
    assert ("its mode was 0640, and now it is 0000" if shut == "path" else "Permission denied") in done.stdout
    assert list((home / "files").iterdir()) == []


def test_without_jq_what_needs_it_is_left_out_and_it_is_said(
    home: Path, path_without: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", folder := path_without("jq"))
    monkeypatch.setattr(sys, "executable", f"{folder}/python")  # its own folder is put first on PATH
    result = _run(home, "atomicops", "handoff", "session_count", writers=4, ops=200)
    assert result.verdict is Verdict.PASS, result.findings
    assert "bash" not in result.operations["update"]
    assert "bash" not in result.operations.get("read", {})
    assert "bash" in result.operations["write"]
    assert any("jq is missing; apt-get install jq" in str(skipped) for skipped in result.skipped)
