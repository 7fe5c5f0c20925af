"""The tool and its own faults: signals from others, few descriptors, failed forks, full disks, threads that stay."""

from __future__ import annotations

import errno
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import stress
from stress.anomalies import HANG, LEFTOVER_TEMP, WORKER_STAYED
from stress.engine import HarnessError
from stress.execution.supervisor import Supervisor
from stress.host.process_tree import children, state_of
from stress.plan import Plan
from stress.result import Result, Verdict

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

RUN = [sys.executable, "-m", "stress", "run", "handoff", "--writers", "3", "--readers", "2"]
CORRECT = """
import json, os, threading, time, shutil
def read(path):
    with open(path) as file:
        return json.load(file)
def write(path, document):
    temp = f"{path}.{os.getpid()}.tmp"
    with open(temp, "w") as file:
        json.dump(document, file)
    shutil.copystat(path, temp)
    os.replace(temp, path)
"""


def _run(tmp_path: Path, source: str, **fields: object) -> Result:
    target = tmp_path / "mine.py"
    target.write_text(source)
    values: dict[str, object] = {"writers": 3, "readers": 2, "duration_s": 0.4, "scenarios": ("handoff",)} | fields
    return stress.run(Plan(target=str(target), runs=str(tmp_path / "runs"), **values))  # type: ignore[arg-type]


def _environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return os.environ | {"TMPDIR": str(tmp_path / "tmp")}


# SIGCHLD


@pytest.mark.parametrize("by", ["parent", "target", "operation"])
def test_where_sigchld_is_ignored_a_run_ends_as_it_always_does(by: str, tmp_path: Path) -> None:
    ignore = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    source = CORRECT + (ignore if by == "target" else "")
    if by == "operation":
        source = source.replace("def read(path):", "def read(path):\n    " + ignore)
    (tmp_path / "mine.py").write_text(source)
    argv = [*RUN, "--ops", "200", "--runs", "runs", "--target", "mine.py"]
    starter = (ignore if by == "parent" else "") + f"import os; os.execv({argv[0]!r}, {argv!r})"
    done = subprocess.run(
        [sys.executable, "-c", starter], cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True,
        timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.listdir(tmp_path / "tmp") == []


def test_a_script_may_trap_the_sigint_that_the_supervisor_does_not_mind(tmp_path: Path) -> None:
    """A signal that is ignored where Bash starts can't be trapped in it."""
    caught, target = tmp_path / "caught", tmp_path / "mine.toml"
    write = f"trap 'echo >{caught}' INT; kill -INT $BASHPID; cat >{{path}}.$$.tmp && mv {{path}}.$$.tmp {{path}}"
    target.write_text(f'read = "cat {{path}}"\nwrite = """{write}"""\n')
    runs = str(tmp_path / "runs")
    stress.run(Plan(target=str(target), runs=runs, scenarios=("handoff",), writers=1, readers=1, ops=20))
    assert caught.exists()


# Signals to the supervisor


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGSTOP, signal.SIGKILL])
def test_a_signal_to_the_supervisor_is_told_and_nothing_is_left(number: signal.Signals, tmp_path: Path) -> None:
    with (tmp_path / "said").open("w") as said:
        tool = subprocess.Popen(
            [*RUN, "--duration", "60s", "--runs", "runs"], cwd=tmp_path, env=_environment(tmp_path), stdout=said,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            supervisor = _wait(lambda: _supervisor_at_work(tool.pid, tmp_path / "runs"))
            workers = _children_of(supervisor)
            os.kill(supervisor, number)
            assert tool.wait(45) == (4 if number is signal.SIGKILL else 130)
        finally:
            tool.kill()
            tool.wait()
    words = (tmp_path / "said").read_text()
    assert number.name in words
    assert "supervisor" in words
    assert os.listdir(tmp_path / "tmp") == []
    assert not [pid for pid in workers if state_of(pid) not in ("", "Z")]


def _wait(what: Callable[[], int]) -> int:
    deadline = time.monotonic() + 45
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def _supervisor_at_work(tool: int, runs: Path) -> int:
    pids = _children_of(tool)
    began = any('"gate"' in path.read_text() for path in runs.glob("*/events.jsonl"))
    return pids[0] if pids and began else 0


def _children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


# Limits


@pytest.mark.parametrize("nth", [1, 2, 4])
def test_a_fork_that_fails_is_named(nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    _environment(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    fork, forks, before = os.fork, [0], set(children())

    def failing() -> int:
        forks[0] += 1
        if forks[0] == nth:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    monkeypatch.setattr(os, "fork", failing)
    # The first is of who asks the target's module.
    words = r"could not begin.*unavailable" if nth == 1 else r"process could be started .*--writers.*ulimit -u"
    with pytest.raises(HarnessError, match=words):
        _run(tmp_path, CORRECT)
    assert os.listdir(tmp_path / "tmp") == []
    assert set(children()) <= before


def test_where_not_one_file_can_be_opened_any_more_nobody_is_left_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = mmap.mmap(-1, 1)

    def give_up(*_: object) -> None:
        waited[0] = 1
        os._exit(1)

    def exhaust(*_: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(20)
        while True:
            os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    monkeypatch.setattr(Supervisor, "_start", exhaust)
    with pytest.raises(HarnessError, match=r"no file could be opened .*ulimit -n"):
        _run(tmp_path, CORRECT)
    assert not waited[0]


def _limited(soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("soft", "hard", "code"), [(24, 1024, 0), (24, 24, 4), (40, 40, 4)])
def test_few_descriptors_are_raised_as_far_as_they_go_and_told(soft: int, hard: int, code: int, tmp_path: Path) -> None:
    argv = [*RUN[:-4], "--writers", "12", "--mix", "bash=12", "--ops", "60", "--runs", "runs"]
    done = subprocess.run(
        argv, cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=_limited(soft, hard),
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert code == 0 or "ulimit -n" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path / "tmp") == []


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounts, which needs root")
@pytest.mark.parametrize("where", ["runs", "scratch", "directory"])
def test_a_full_disk_of_ours_is_named_and_is_no_violation(where: str, tmp_path: Path) -> None:
    point = {"runs": "runs", "scratch": "/dev/shm", "directory": "under"}[where]
    size = {"runs": "200k", "scratch": "16k", "directory": "64k"}[where]
    script = f"""mkdir -p runs under; mount -t tmpfs -o size={size} tmpfs {point} || exit 77
exec {" ".join(RUN)} --duration 1s --runs runs --dir under"""
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script], cwd=tmp_path, env=_environment(tmp_path),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("can't mount here")
    assert done.returncode in (0, 3, 4), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode == 4:
        assert "o space left" in done.stderr
        assert {"runs": "--runs", "scratch": "/dev/shm", "directory": "under"}[where] in done.stderr
    assert os.listdir(tmp_path / "tmp") == []


# Threads that stay, and workers that hang

STAYS = "threading.Thread(target=time.sleep, args=(1000,)).start()"
POOL = "from concurrent.futures import ThreadPoolExecutor as P; global pool; pool = P(); pool.submit(time.sleep, 1000)"
RINGS = "threading.Timer(1000, print).start()"


@pytest.mark.parametrize("start", [STAYS, POOL, RINGS])
def test_a_thread_that_outlives_the_work_is_no_hang(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stress.execution.supervisor.STAY_S", 0.5)
    once = f"started = []\ndef once():\n    if not started:\n        started.append(1); {start}\n"
    source = once + CORRECT.replace("    temp = f", "    once()\n    temp = f")
    result = _run(tmp_path, source, op_limit_s=20.0)
    assert [finding.anomaly for finding in result.findings] == [WORKER_STAYED]
    assert result.verdict is Verdict.UNKNOWN
    assert "thread" in result.findings[0].message.lower()


@pytest.mark.parametrize("kind", ["daemon=True", "daemon=False"])
def test_a_thread_that_ends_soon_or_is_a_daemon_is_no_matter(kind: str, tmp_path: Path) -> None:
    seconds = 1000 if kind == "daemon=True" else 0.5
    thread = f"    threading.Thread(target=time.sleep, args=({seconds},), {kind}).start()\n    temp = f"
    source = CORRECT.replace("    temp = f", "    if document['seq'] % 50 == 1:\n    " + thread, 1)
    source = source.replace("document['seq'] % 50 == 1", "hash(str(document)) % 50 == 1")
    assert _run(tmp_path, source, duration_s=30.0, ops=800).findings == ()


def test_temps_of_a_worker_that_hung_are_told_as_what_they_are(tmp_path: Path) -> None:
    first = f"""
def first():
    try:
        os.mkdir({str(tmp_path / "hangs")!r})
    except FileExistsError:
        return False
    return True
"""
    source = first + CORRECT.replace("    os.replace", "    time.sleep(1000 if first() else 0)\n    os.replace")
    result = _run(tmp_path, source, op_limit_s=1.5)
    found = {finding.anomaly: finding for finding in result.findings}
    assert found[HANG].verdict is Verdict.FAIL
    assert found[LEFTOVER_TEMP].verdict is Verdict.UNKNOWN
    assert "had to be killed" in found[LEFTOVER_TEMP].message
