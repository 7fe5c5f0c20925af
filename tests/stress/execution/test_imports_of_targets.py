"""What a user's module does when it is imported is done in each worker, and in no process of the tool's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import stress
from stress.execution import supervisor
from stress.host.child import in_child
from stress.plan import Plan
from stress.result import Result, Verdict
from stress.workload import module
from stress.workload.target import TargetError, load

HEAD = """
import asyncio, contextlib, fcntl, functools, json, multiprocessing, os, queue, shutil, signal, subprocess, sys
import threading, time

def read(path):
    with open(path) as file:
        return json.load(file)

def put(path, document):
    temp = f"{path}.{os.getpid()}.tmp"
    with open(temp, "w") as file:
        json.dump(document, file)
    shutil.copystat(path, temp)
    os.replace(temp, path)

@contextlib.contextmanager
def held(path):
    with open(path + ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

def write(path, document):
    with held(path):
        put(path, document)

def update(path, change):
    with held(path):
        put(path, change(read(path)))

"""
BY_ITS_LOCK = """
def write(path, document):
    with lock:
        put(path, document)

def update(path, change):
    with lock:
        document = change(read(path))
        time.sleep(0.002)
        put(path, document)
"""
DISTURBING = """
os.chdir("/")
print("said at import")
subprocess.Popen(["sh", "-c", "echo $$ >'{here}'/pid; exec sleep 600"], start_new_session=True)
while not os.path.exists("{here}/pid"):
    time.sleep(0.01)
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda *_: None)
json.dumps = None
sys.stdout.close()
sys.stdout = sys.stderr = open(os.devnull, "w")
"""


def _module(tmp_path: Path, text: str, name: str = "mine.py") -> str:
    path = tmp_path / name
    path.write_text(HEAD + textwrap.dedent(text))
    return str(path)


def _run(path: str, tmp_path: Path, scenario: str = "session_count", **options: object) -> Result:
    chosen = {"writers": 3, "readers": 1, "ops": 200} | options
    return stress.run(Plan(scenario, target=path, runs=str(tmp_path / "runs"), **chosen))  # type: ignore[arg-type]


def _started(tmp_path: Path, path: str, *more: str) -> subprocess.Popen[str]:
    argv = [
        sys.executable,
        "-m",
        "stress",
        "run",
        "handoff",
        "--target",
        path,
        "--writers",
        "2",
        "--runs",
        "runs",
        *more,
    ]
    return subprocess.Popen(argv, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_an_import_disturbs_neither_the_run_nor_its_report(tmp_path: Path) -> None:
    path = _module(tmp_path, DISTURBING.format(here=tmp_path))
    tool = _started(tmp_path, Path(path).name, "--ops", "200", "--report", "json=-")
    out, err = tool.communicate(timeout=100)
    assert (tool.returncode, json.loads(out)["verdict"]) == (0, "pass"), err
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists(), "what it started is ended"


def test_a_signal_ends_a_run_whose_target_has_handlers_of_its_own(tmp_path: Path) -> None:
    path = _module(tmp_path, "for number in (2, 15): signal.signal(number, lambda *_: None)")
    tool = _started(tmp_path, path, "--duration", "60s")
    while not list(tmp_path.glob("runs/**/*.ops")):
        assert tool.poll() is None
        time.sleep(0.05)
    tool.send_signal(signal.SIGTERM)
    out, err = tool.communicate(timeout=50)
    assert tool.returncode == 130, out + err


def test_an_import_that_is_interrupted_is_named(tmp_path: Path) -> None:
    path = _module(tmp_path, f"open({str(tmp_path / 'begun')!r}, 'w'); time.sleep(600)")
    tool = _started(tmp_path, path)
    while not (tmp_path / "begun").exists():
        assert tool.poll() is None
        time.sleep(0.05)
    tool.send_signal(signal.SIGINT)
    _, err = tool.communicate(timeout=50)
    assert (tool.returncode, err.strip().count("\n")) == (130, 0), err
    assert "mine.py' was being imported" in err


@pytest.mark.parametrize(
    "text",
    [
        "held_file = open(__file__ + '.lock', 'w')\n"
        "class Lock:\n"
        "    def __enter__(self): fcntl.flock(held_file, fcntl.LOCK_EX)\n"
        "    def __exit__(self, *_): fcntl.flock(held_file, fcntl.LOCK_UN)\n"
        "lock = Lock()\n" + BY_ITS_LOCK,
        "asked, answered = queue.Queue(), queue.Queue()\n"
        "def serve():\n"
        "    while True:\n"
        "        with held(asked_path := asked.get()): put(asked_path, asked.get())\n"
        "        answered.put(None)\n"
        "threading.Thread(target=serve, daemon=True).start()\n"
        "def write(path, document): asked.put(path); asked.put(document); answered.get()\n",
    ],
    ids=["a lock file that is opened", "a thread that does the work"],
)
def test_what_is_right_where_each_program_imports_it_passes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + text)
    result = _run(str(path), tmp_path, "handoff")
    assert result.verdict is Verdict.PASS, [finding.message for finding in result.findings]


def test_a_lock_that_only_forks_have_in_common_excludes_nobody(tmp_path: Path) -> None:
    path = _module(tmp_path, "lock = multiprocessing.Lock()\n" + BY_ITS_LOCK)
    assert "lost-update" in {finding.anomaly for finding in _run(path, tmp_path).findings}


def test_what_an_operation_puts_in_place_of_functions_is_not_called_by_the_harness(tmp_path: Path) -> None:
    replaced = """
    def write(path, document):
        time.time = time.monotonic = time.monotonic_ns = time.sleep = time.thread_time_ns = lambda *_: 5
        with held(path):
            put(path, document)
        json.dumps = json.loads = lambda *_, **__: "{}"
    """
    result = _run(_module(tmp_path, replaced), tmp_path, "handoff")
    assert result.verdict is Verdict.PASS, [finding.message for finding in result.findings]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("async def later(path, document): pass", "write returned a coroutine, for whose result nobody here waits"),
        ("def later(path, document): yield", "write returned a generator, which does nothing"),
        (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "def later(*given): return ThreadPoolExecutor(1).submit(write_now, *given)",
            "write returned a Future, for whose result",
        ),
    ],
)
def test_what_is_returned_before_it_is_done_is_no_violation(tmp_path: Path, made: str, words: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        f"{HEAD}write_now = write\n{made}\n@functools.wraps(print)\ndef write(*given): return later(*given)\n"
    )
    result = _run(str(path), tmp_path, "handoff")
    assert result.verdict is Verdict.UNKNOWN
    assert any(words in finding.message for finding in result.findings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("while True: time.sleep(1)", "did not end within"),
        ("os._exit(3)", "ended the process that it was in (exit status 3)"),
        ("raise KeyboardInterrupt", "could not be imported: KeyboardInterrupt"),
        ("sys.exit('usage: mine FILE')", "could not be imported: SystemExit: usage: mine FILE"),
    ],
)
def test_a_module_that_does_not_come_to_its_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.setattr(module, "IMPORT_S", 1.0 if "while" in text else 60.0)
    with pytest.raises(TargetError) as raised:
        load(_module(tmp_path, text))
    assert words in str(raised.value)


def test_an_import_finds_what_lies_where_the_tool_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers have a directory of their own by the time at which they import."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "settings.json").write_text('{"depth": 1}')
    (tmp_path / "mine.py").write_text(
        "import pathlib\nSETTINGS = pathlib.Path('settings.json').read_text()\ndef read(path): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    target = load("mine.py")
    monkeypatch.chdir("elsewhere")
    assert target.side().SETTINGS == '{"depth": 1}'
    assert Path.cwd() == tmp_path / "elsewhere"


def test_workers_that_wait_for_each_other_where_they_import_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "IMPORT_S", 2.0)
    path = _module(tmp_path, "one = open(__file__ + '.pid', 'w'); fcntl.flock(one, fcntl.LOCK_EX)")
    with pytest.raises(stress.HarnessError, match="does not come to begin"):
        _run(path, tmp_path, "handoff")


def test_what_a_child_has_started_is_not_waited_for(tmp_path: Path) -> None:
    later = tmp_path / "later"

    def body() -> None:
        subprocess.Popen(["sh", "-c", f"sleep 5; : >{later}"])

    assert in_child(body, "child", 600) == 0
    assert not later.exists()
