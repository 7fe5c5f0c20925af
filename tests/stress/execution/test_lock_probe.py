"""A lock that can't be entered twice is found out before the run, and not waited for in it."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import stress
from stress.execution import lock_probe
from stress.execution.lock_probe import bash_lock_nests, python_lock_nests
from stress.plan import Plan
from stress.result import Verdict
from stress.workload.target import load

HEAD = """
import contextlib, fcntl, json, os, shutil, threading, time
def _put(path, document):
    temp = f"{path}.{os.getpid()}.tmp"
    with open(temp, "w") as file:
        json.dump(document, file)
    shutil.copystat(path, temp)
    os.replace(temp, path)
def read(path):
    with open(path) as file:
        return json.load(file)
def write(path, document):
    with lock(path):
        _put(path, document)
def update(path, change):
    with lock(path):
        _put(path, change(read(path)))
"""
FLOCK = """
@contextlib.contextmanager
def lock(path):
    with open(path + ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
"""
DIRECTORY = """
@contextlib.contextmanager
def lock(path):
    while True:
        try:
            os.mkdir(path + ".lock")
            break
        except FileExistsError:
            time.sleep(0.001)
    try:
        yield
    finally:
        os.rmdir(path + ".lock")
"""
REFUSES = """
mine = threading.Lock()
@contextlib.contextmanager
def lock(path):
    if not mine.acquire(timeout=0.1):
        raise RuntimeError("this process has it already")
    try:
        with open(path + ".lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    finally:
        mine.release()
"""
NESTS = """
depth = 0
@contextlib.contextmanager
def lock(path):
    global depth
    with contextlib.ExitStack() as stack:
        if not depth:
            file = stack.enter_context(open(path + ".lock", "a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        depth += 1
        try:
            yield
        finally:
            depth -= 1
"""

SLOW = NESTS.replace("yield", "[json.dumps(i) for i in range(400_000)]\n            yield")
"""It works for longer than it may sleep."""


def _target(folder: Path, lock: str) -> str:
    path = folder / "mine.py"
    path.write_text(HEAD + lock)
    return str(path)


@pytest.mark.parametrize(
    ("lock", "nests"), [(FLOCK, False), (DIRECTORY, False), (REFUSES, False), (NESTS, True), (SLOW, True)],
    ids=["flock", "directory", "refuses", "nests", "slow"],
)  # fmt: skip
def test_what_nests_is_told_from_what_does_not(lock: str, nests: bool, tmp_path: Path) -> None:
    """It is given up when it sleeps, and not when it works."""
    folder = tmp_path / "probe"
    folder.mkdir()
    began = time.monotonic()
    assert python_lock_nests(load(_target(tmp_path, lock)), folder, 60.0) is nests
    assert time.monotonic() - began < 60.0, "all of the time that it may take was waited for"


@pytest.mark.parametrize("body", ['flock 9; "$@"', '(($# > 1)) && ! mkdir x 2>/dev/null && return 1; "${@:2}"'])
def test_in_bash_too(body: str, tmp_path: Path) -> None:
    """The first waits for itself; the second refuses to be entered twice."""
    source = tmp_path / "mine.bash"
    call = 'lock() { local path=$1; shift; { %s; } 9>>"$path.lock"; }\n' if "flock" in body else "lock() { %s; }\n"
    functions = call % body + 'target_lock() { lock "$@"; }\ntarget_update() { lock "$1" true; }\n'
    source.write_text(functions)
    folder = tmp_path / "probe"
    folder.mkdir()
    assert not bash_lock_nests(source, folder, 1.5)
    source.write_text('target_lock() { "${@:2}"; }\ntarget_update() { true; }\n')
    assert bash_lock_nests(source, folder, 15.0)


@pytest.mark.parametrize("lock", [FLOCK, DIRECTORY], ids=["flock", "directory"])
def test_it_passes_and_what_was_not_nested_is_said(lock: str, tmp_path: Path) -> None:
    plan = Plan(
        scenarios=("session_count",), target=_target(tmp_path, lock), writers=3, readers=2, duration_s=0.5,
        runs=str(tmp_path / "runs"),
    )  # fmt: skip
    result = stress.run(plan)
    assert [finding.message for finding in result.findings] == []
    assert result.verdict is Verdict.PASS
    said = [str(each) for each in result.skipped if "update inside lock" in str(each)]
    assert len(said) == 1
    assert "can't be entered twice" in said[0]


@pytest.mark.parametrize(("asleep", "given_up_s"), [(True, 0.5), (False, 60.0)], ids=["sleeps", "works"])
def test_it_is_given_up_soon_when_it_sleeps_and_late_when_it_works(
    asleep: bool, given_up_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("stress.execution.lock_probe.time.monotonic", lambda: now[0])
    monkeypatch.setattr("stress.execution.lock_probe.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr("stress.execution.lock_probe.process_tree.all_asleep", lambda pid: asleep)
    lock_probe._wait(SimpleNamespace(is_alive=lambda: True, pid=1), 60.0)
    assert now[0] - 100.0 == pytest.approx(given_up_s, abs=0.05)
