"""Faults at system calls: afterwards the file is old or new, whole, and the exit status tells the truth."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.atomicops.both import LONG

SHELL = Path(__file__).parents[2] / "atomicops" / "shell"
SCRIPT = SHELL / "atomic-write.sh"
OLD = b'{"state": "old"}\n'
NEW = b'{"state": "new", "filler": "' + b"x" * 3000 + b'"}\n'
TEMP = re.compile(r"\.f\.json\.[0-9a-f]{32}\.atomicops-tmp")


def can_inject() -> bool:
    if shutil.which("strace") is None:
        return False
    probe = ["strace", "-f", "-qq", "-e", "trace=execve", "-e", "inject=fsync:error=EIO", "true"]
    return subprocess.run(probe, capture_output=True).returncode == 0


needs_strace = pytest.mark.skipif(not can_inject(), reason="strace is missing, or may not trace")


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ATOMICOPS_")}
    return {**kept, "ATOMICOPS_LOCK_TIMEOUT": "20"}


def write(directory: Path, *strace: str) -> subprocess.CompletedProcess[bytes]:
    before = ["strace", "-f", "-qq", "-o", "/dev/null", *strace] if strace else []
    return subprocess.run(
        [*before, "bash", str(SCRIPT), "-", "f.json"],
        cwd=directory, env=environment(), input=NEW, capture_output=True, timeout=100,
    )  # fmt: skip


def start(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    (directory / "f.json").write_bytes(OLD)
    (directory / ".f.json.lock").touch()


def judge(directory: Path, result: subprocess.CompletedProcess[bytes], *, killed: bool = False) -> bool:
    """Holds what is found against the contract; returns whether the file is new."""
    content = (directory / "f.json").read_bytes()
    assert content in (OLD, NEW)
    new = content == NEW
    message = result.stderr.decode()
    if result.returncode == 0:
        assert new
    elif not killed:
        said = message.splitlines()[-1] if message else ""
        assert said.startswith("atomicops: "), message
        assert ("may not survive" in said) == new, message
    names = {path.name for path in directory.iterdir()} - {"f.json", ".f.json.lock"}
    temps = {name for name in names if TEMP.fullmatch(name)}
    assert names == temps
    if not killed:
        assert not temps
    elif temps:
        swept = subprocess.run(
            ["bash", "-c", f"source '{SHELL}/atomicops.sh'; atomic_sweep ."], cwd=directory, capture_output=True
        )
        assert swept.returncode == 0, swept.stderr
        assert {path.name for path in directory.iterdir()} == {"f.json", ".f.json.lock"}
    return new


FAULTS = [
    (call, error)
    for call, errors in {
        "fsync": ["EIO", "ENOSPC", "EDQUOT", "EINTR"],
        "rename": ["EIO", "ENOSPC", "EACCES"],
        "flock": ["ENOLCK", "EOPNOTSUPP"],
    }.items()
    for error in errors
]


@needs_strace
@pytest.mark.parametrize(("call", "error"), FAULTS)
def test_an_error_of_a_call_becomes_the_right_status(tmp_path: Path, call: str, error: str) -> None:
    start(tmp_path)
    result = write(tmp_path, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when=1")
    assert (result.returncode, judge(tmp_path, result)) == (73 if error == "EACCES" else 74, False)


@needs_strace
@pytest.mark.parametrize("error", ["EIO", "EINTR"])
def test_an_error_of_the_directorys_fsync_is_told_apart(tmp_path: Path, error: str) -> None:
    start(tmp_path)
    # -P: of all calls only those on the directory itself.
    result = write(tmp_path, "-P", str(tmp_path), "-e", "trace=fsync", "-e", f"inject=fsync:error={error}")
    assert (result.returncode, judge(tmp_path, result)) == (74, True)


@needs_strace
@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EIO"])
def test_an_error_of_the_write_itself(tmp_path: Path, error: str) -> None:
    start(tmp_path)
    # Perl's writes are its own; nothing else in that process writes but the message.
    script = f'exec strace -qq -o /dev/null -e trace=write -e inject=write:error={error}:when=1 "$0" "$@"'
    programs = tmp_path.parent / f"{tmp_path.name}-bin"
    programs.mkdir()
    perl = shutil.which("perl")
    (programs / "perl").write_text(f"#!/bin/sh\n{script.replace('$0', perl or 'perl')}\n")
    (programs / "perl").chmod(0o755)
    result = subprocess.run(
        ["bash", str(SCRIPT), "-", "f.json"], cwd=tmp_path, input=NEW, capture_output=True, timeout=100,
        env={**environment(), "PATH": f"{programs}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert (result.returncode, judge(tmp_path, result)) == (74, False)


@needs_strace
@pytest.mark.parametrize("call", ["openat", "write", "flock", "fsync", "rename,renameat,renameat2", "close", "execve"])
def test_killed_at_any_call(tmp_path: Path, call: str) -> None:
    """One process is killed at its k-th call: the shell, or one of its children, whichever gets there."""
    outcomes = set()
    for which in {"fsync": (1, 2), "flock": (1,), "rename,renameat,renameat2": (1,)}.get(
        call, range(1, 31) if LONG else (1, 3, 8, 20)
    ):
        start(tmp_path)
        result = write(tmp_path, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={which}")
        outcomes.add((result.returncode == 0, judge(tmp_path, result, killed=True)))
        after = write(tmp_path)
        assert (after.returncode, after.stderr) == (0, b"")  # its lock is free
    assert (False, False) in outcomes or call in ("flock", "close", "openat", "write", "rename,renameat,renameat2")
    assert (True, False) not in outcomes


@needs_strace
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopped_at_the_fsync_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    start(tmp_path)
    call = "fsync"
    result = write(tmp_path, "-e", f"trace={call}", "-e", f"inject={call}:signal={number.name}:when=1")
    assert result.returncode in (-number, 128 + number)
    assert (tmp_path / "f.json").read_bytes() == OLD
    assert {path.name for path in tmp_path.iterdir()} == {"f.json", ".f.json.lock"}


@pytest.mark.parametrize(
    "function", ["atomic_write - f.json", 'atomic_write "$NEW" f.json', "atomic_append - log", "atomic_backup big x"]
)
def test_a_file_size_limit_is_an_error_and_no_death(tmp_path: Path, function: str) -> None:
    start(tmp_path)
    (tmp_path / "log").write_bytes(b"old\n")
    (tmp_path / "big").write_bytes(b"b" * 5000)
    result = subprocess.run(
        ["bash", "-c", f"source '{SHELL}/atomicops.sh'; ulimit -f 1; {function}"],
        cwd=tmp_path, env={**environment(), "NEW": NEW.decode()}, input=NEW, capture_output=True,
    )  # fmt: skip
    assert result.returncode == 74, result.stderr
    assert b"unchanged" in result.stderr
    assert (tmp_path / "f.json").read_bytes() == OLD
    assert (tmp_path / "log").read_bytes() == b"old\n"
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(("-tmp", ".bak"))]


@needs_strace
def test_processes_per_write(tmp_path: Path) -> None:
    """Forks and execs, bash itself not counted. Content goes to Perl through a pipe, for arguments have a limit."""
    (tmp_path / "f.json").write_bytes(OLD)
    forks = "clone,clone3,fork,vfork"
    shell = f"source '{SHELL}/atomicops.sh'; "
    for command, expected in [
        (["bash", str(SCRIPT), "{}", "f.json"], (0, 1)),
        (["bash", "-c", shell + "atomic_write {} f.json; :"], (2, 1)),
        (["bash", "-c", shell + "atomic_append - f <f.json; :"], (1, 1)),
        (["bash", "-c", shell + "atomic_update f.json . -c; :"], (2, 2)),
        (["bash", "-c", shell + "atomic_read f; :"], (1, 1)),
    ]:
        log = tmp_path / "log"
        subprocess.run(
            ["strace", "-f", "-qq", "-z", "-o", log, "-e", f"trace={forks},execve", *command],
            cwd=tmp_path, env=environment(), check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        calls = re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE)
        counted = (len(calls) - calls.count("execve"), calls.count("execve") - 1)
        assert counted == expected, command


def stopped_at(directory: Path, call: str, number: signal.Signals, which: int, command: str) -> tuple[bool, int]:
    """Whether that signal came at the which-th such call of Perl, and how the command ended."""
    perl = shutil.which("perl")
    assert perl
    programs = directory.parent / f"{directory.name}-signals"
    programs.mkdir(exist_ok=True)
    log = programs / "log"
    log.unlink(missing_ok=True)
    inject = f"-e trace={call} -e inject={call}:signal={number.name}:when={which}"
    (programs / "perl").write_text(f'#!/bin/sh\nexec strace -qq -o {log} {inject} {perl} "$@"\n')
    (programs / "perl").chmod(0o755)
    started = subprocess.Popen(
        ["bash", "-c", f"source '{SHELL}/atomicops.sh'; {command}"],
        cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**environment(), "PATH": f"{programs}:{os.environ['PATH']}"},
    )  # fmt: skip
    try:
        status = started.wait(timeout=60)
    except subprocess.TimeoutExpired:  # with all that it has started
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        raise
    return f"--- {number.name}" in log.read_text(), status


def free(lock: Path) -> bool:
    if not lock.exists():
        return True
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


CALLS = [
    "openat",
    "read",
    "write",
    "flock",
    "fcntl",
    "newfstatat",
    "fchmod",
    "chdir",
    "flistxattr",
    "fsync",
    "rename",
    "link",
    "unlink",
    "copy_file_range",
]
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@needs_strace
@pytest.mark.parametrize(
    ("command", "new"),
    [
        ("atomic_write '[2]' f.json", b"[2]\n"),
        ("atomic_append ' ' f.json", b"[1]\n \n"),
        ("atomic_update f.json '[2]' -c", b"[2]\n"),
        ("atomic_backup f.json x", b"[1]\n"),
    ],
    ids=["write", "append", "update", "backup"],
)
def test_stopped_at_each_call(tmp_path: Path, command: str, new: bytes) -> None:
    """A signal at every call of Perl: no temp file, the lock free, the file old, and new where the status is 0.

    One of three signals at each eighth; all three at every call with ``ATOMICOPS_TEST_LONG=1``. What they come to at the
    steps that matter is in the fault table.
    """
    seen: list[int] = []
    for call in CALLS:
        for which in range(1, 1000, 1 if LONG else 8):
            cases = SIGNALS if LONG else [SIGNALS[len(seen) % 3]]
            if not all(one_stop(tmp_path, call, which, number, command, new, seen) for number in cases):
                break
    assert 0 in seen  # some came too late, and some in time
    assert {128 + number for number in SIGNALS} <= set(seen)


def one_stop(
    directory: Path, call: str, which: int, number: signal.Signals, command: str, new: bytes, seen: list[int]
) -> bool:
    for path in directory.iterdir():
        path.unlink()
    (directory / "f.json").write_bytes(b"[1]\n")
    came, status = stopped_at(directory, call, number, which, command)
    what = (call, which, number.name, status)
    content = (directory / "f.json").read_bytes()
    assert content in (b"[1]\n", new), what
    assert status in (0, 128 + number), what
    assert status != 0 or content == new, what
    names = {path.name for path in directory.iterdir()}
    assert names <= {"f.json", ".f.json.lock", "f.json.x.bak"}, (what, names)
    if "f.json.x.bak" in names:
        assert (directory / "f.json.x.bak").read_bytes() == b"[1]\n"
    assert free(directory / ".f.json.lock"), what
    seen.append(status)
    return came
