"""Nobody waits where he does not expect it: all input before the lock, no open that blocks, timeouts that hold."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from atomicops import LockTimeout, atomic_write_text, create_backup, file_lock, read_json, recover, safe_read_json
from tests.atomicops.both import LANGUAGES, LIMIT_S, Helpers

HELPERS = Helpers()
HOLDER = (
    "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print('have it', flush=True); sys.stdin.read()"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "s.json").write_text('{"n": 1}')
    return tmp_path / "s.json"


class held:
    """Another process has the lock for the length of a block."""

    def __init__(self, lock: Path) -> None:
        self.lock = lock

    def __enter__(self) -> None:
        command = [sys.executable, "-S", "-c", HOLDER, str(self.lock)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=LIMIT_S)


def make_socket(path: Path) -> None:
    with ExitStack() as stack:
        here = stack.enter_context(socket.socket(socket.AF_UNIX))
        before = os.getcwd()
        stack.callback(os.chdir, before)
        os.chdir(path.parent)  # a path of a socket is short
        here.bind(path.name)


def make_link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


STRANGE: dict[str, Callable[[Path], object]] = {
    "FIFO": lambda path: os.mkfifo(path),
    "socket": make_socket,
    "link to a FIFO": make_link_to_a_fifo,
    "directory": lambda path: path.mkdir(),
    "terminal": lambda path: path.symlink_to("/dev/ptmx"),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", STRANGE)
def test_a_lock_that_is_no_file(path: Path, language: str, kind: str) -> None:
    STRANGE[kind](path.with_name(".s.json.lock"))
    for operation, *arguments in (("write", '{"n": 2}', "s.json"), ("backup", "s.json"), ("recover", "s.json")):
        done = HELPERS.call(language, operation, *arguments, cwd=path.parent, timeout_s=1)
        assert (done.code, done.refused) == (73, True), done
        assert done.err.endswith("; remove .s.json.lock, which is no lock\n")
    assert path.read_text() == '{"n": 1}'


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", STRANGE)
def test_a_target_that_is_no_file(path: Path, language: str, kind: str) -> None:
    STRANGE[kind](path.with_name("t.json"))
    for operation, *arguments in (
        ("read", "t.json"),
        ("write", "{}", "t.json"),
        ("append", "1", "t.json"),
        ("recover", "t.json"),
    ):
        done = HELPERS.call(language, operation, *arguments, cwd=path.parent, timeout_s=1)
        assert done.refused, (operation, done)
        assert done.code == 73, (operation, done)


@pytest.mark.parametrize("kind", ["FIFO", "link to a FIFO", "directory"])
def test_no_reader_waits_for_a_fifo(path: Path, kind: str) -> None:
    strange = path.with_name("t.json")
    STRANGE[kind](strange)
    for action in (lambda: safe_read_json(strange, {}), lambda: read_json(strange), lambda: create_backup(strange)):
        with pytest.raises(OSError, match="file"):
            action()
    strange.unlink() if not strange.is_dir() else strange.rmdir()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", STRANGE)
def test_a_backup_that_is_no_file_is_passed_over(path: Path, language: str, kind: str) -> None:
    path.write_text("{torn")
    path.with_name("s.json.1.bak").write_text('{"n": 0}')
    os.utime(path.with_name("s.json.1.bak"), (1_700_000_000, 1_700_000_000))
    STRANGE[kind](path.with_name("s.json.2.bak"))
    assert HELPERS.call(language, "recover", "s.json", cwd=path.parent).code == 0
    assert path.read_text() == '{"n": 0}'


@pytest.mark.parametrize(
    ("form", "before"),
    [
        ("python", ""),
        ("python", "--if-version"),
        ("function", "--if-version"),
        ("script", ""),
        ("script", "--if-version"),
        ("append", ""),
        ("append by python", ""),
    ],
)
def test_a_slow_producer_does_not_hold_the_lock(path: Path, form: str, before: str) -> None:
    """Its input is open, and it has written half of it; meanwhile another writer is served."""
    version = HELPERS.call("bash", "version", "s.json", cwd=path.parent).out.strip()
    options = [before, version] if before else []
    shell = str(HELPERS.shell)
    command = {
        "python": [HELPERS.python, "-m", "atomicops", "write", *options, "-", "s.json"],
        "function": ["bash", "-c", '. "$0/atomicops.sh"; atomic_write "$@"', shell, *options, "-", "s.json"],
        "script": ["bash", f"{shell}/atomic-write.sh", *options, "-", "s.json"],
        "append": ["bash", "-c", '. "$0/atomicops.sh"; atomic_append - s.json', shell],
        "append by python": [HELPERS.python, "-m", "atomicops", "append", "-", "s.json"],
    }[form]
    slow = subprocess.Popen(
        command, cwd=path.parent, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=HELPERS.environment()
    )
    assert slow.stdin is not None
    slow.stdin.write(b"[1,")
    slow.stdin.flush()
    until_it_has_read(slow.stdin.fileno())
    other = HELPERS.call("python", "write", '{"n": 9}', "s.json", cwd=path.parent, timeout_s=0)
    assert other.code == 0, other
    slow.communicate(b"2]", timeout=LIMIT_S)
    if before and "append" not in " ".join(command):
        assert (slow.returncode, path.read_text()) == (76, '{"n": 9}\n')


def until_it_has_read(pipe: int) -> None:
    ends, unread = time.monotonic() + LIMIT_S, array("i", [1])
    while unread[0]:
        assert time.monotonic() < ends
        time.sleep(0.002)
        fcntl.ioctl(pipe, termios.FIONREAD, unread)


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e30])
def test_an_endless_timeout_waits(path: Path, timeout_s: float) -> None:
    """The waiting thread is told a number of seconds, and there are larger ones."""
    with file_lock(path):
        results: list[object] = []
        waiting = threading.Thread(target=_write, args=(path, timeout_s, results))
        waiting.start()
        time.sleep(0.05)  # longer than one waits without a thread
    waiting.join(LIMIT_S)
    assert (results, path.read_text()) == ([None], "[2]")


def _write(path: Path, timeout_s: float, results: list[object]) -> None:
    try:
        results.append(atomic_write_text("[2]", path, timeout=timeout_s, durability="none"))  # type: ignore[func-returns-value]
    except Exception as error:
        results.append(error)


@pytest.mark.parametrize("mask", ["blocked", "ignored", "blocked, all"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_timeout_holds_whatever_signals_are_masked(path: Path, language: str, mask: str) -> None:
    def before() -> None:
        if mask == "ignored":
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        else:
            numbers = signal.valid_signals() if "all" in mask else {signal.SIGALRM}
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    command = [HELPERS.python, "-m", "atomicops", "write", "--timeout", "0.3", "{}", "s.json"]
    if language == "bash":
        command = ["bash", "-c", '. "$0/atomicops.sh"; atomic_write "{}" s.json', str(HELPERS.shell)]
    env = {**HELPERS.environment(), "ATOMICOPS_LOCK_TIMEOUT": "0.3"}
    with held(path.with_name(".s.json.lock")):
        done = subprocess.run(
            command, cwd=path.parent, env=env, capture_output=True, text=True, timeout=20, preexec_fn=before
        )
    assert done.returncode == 75, done
    assert path.read_text() == '{"n": 1}'


@pytest.mark.parametrize("seconds", [0, 0.2])
def test_a_timeout_of_python_leaves_nothing_behind(path: Path, seconds: float) -> None:
    """What waited on goes away by itself, and does not take the lock for good when it gets it."""
    with held(path.with_name(".s.json.lock")):
        for _ in range(3):
            with pytest.raises(LockTimeout), file_lock(path, timeout=seconds):
                pass
    atomic_write_text("{}", path, timeout=5)
    assert recover(path, timeout=5).status == "valid"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_reader_waits_for_no_lock(path: Path, language: str) -> None:
    path.with_name("s.json.1.bak").write_text("{}")
    with held(path.with_name(".s.json.lock")):
        assert HELPERS.call(language, "read", "s.json", cwd=path.parent).code == 0
        assert HELPERS.call("python", "list-backups", "s.json", cwd=path.parent).code == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_fair_share_beside_blocking_waiters(path: Path, language: str) -> None:
    """Six loops of flock(1) that hold the lock for 5 ms, and a writer: it gets a quarter of a fair share at least."""
    path.with_name(".s.json.lock").touch()
    loop = "echo; read -r _ || exit; n=0; while [ ! -e over ]; do flock .s.json.lock sleep 0.005; n=$((n + 1)); done; echo $n"
    mine = {
        "python": "import os, time, atomicops\nn = 0\nprint(flush=True)\ninput()\nwhile not os.path.exists('over'):\n"
        " with atomicops.file_lock('s.json', timeout=20): time.sleep(0.005); n += 1\nprint(n)",
        "bash": '. "$0/atomicops.sh"; echo; read -r _ || exit; n=0; while [[ ! -e over ]]; do '
        "with_lock s.json sleep 0.005 && ((n += 1)); done; echo $n",
    }[language]
    command = ["bash", "-c", mine, str(HELPERS.shell)] if language == "bash" else [HELPERS.python, "-c", mine]
    with ExitStack() as stack:
        children = []
        for words in (*[["sh", "-c", loop]] * 6, command):
            pipe = subprocess.PIPE
            child = subprocess.Popen(
                words, cwd=path.parent, stdin=pipe, stdout=pipe, text=True, env=HELPERS.environment()
            )
            stack.callback(child.communicate)
            children.append(child)
        stack.callback(path.with_name("over").touch)
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        time.sleep(1)
        path.with_name("over").touch()
        counts = [int(child.communicate(timeout=LIMIT_S)[0]) for child in children]
    assert counts[-1] >= sum(counts) / 7 / 4, counts
