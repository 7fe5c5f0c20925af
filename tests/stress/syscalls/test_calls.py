"""What a real process does, as the engine says it: the words, and what each call touches."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stress.syscalls import Forked, Program, Supervisor
from stress.syscalls.calls import Call

from .schedules import run


def calls_of(supervisor: Supervisor, function: Callable[[], object]) -> list[Call]:
    ran = run(supervisor, [Forked(function)])
    assert ran.outputs == ((b"", b""),)
    assert (ran.ending, ran.statuses, ran.findings) == ("done", (0,), ())
    return [step.call for step in ran.trace]


def writes(call: Call) -> set[tuple[object, ...]]:
    return {access.what for access in call.accesses if access.writes}


def reads(call: Call) -> set[tuple[object, ...]]:
    return {access.what for access in call.accesses if not access.writes}


def _low_level() -> None:
    file = os.open("x", os.O_RDONLY)
    os.read(file, 9)
    os.close(file)
    file = os.open("new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(file, b"abc")
    os.fsync(file)
    os.ftruncate(file, 1)
    os.close(file)
    os.rename("new", "x")
    os.link("x", "y")
    os.unlink("y")
    os.mkdir("d")
    os.listdir("d")
    os.rmdir("d")
    os.symlink("x", "s")
    os.readlink("s")
    os.chmod("s", 0o600)
    os.truncate("x", 0)
    os.lstat("none") if os.path.lexists("none") else None


def test_the_calls_of_a_process_are_said_in_words(supervisor: Supervisor, shared: Path) -> None:
    (shared / "x").write_text("1")
    calls = [call for call in calls_of(supervisor, _low_level) if call.text != "stat d"]
    assert [call.text for call in calls] == [
        "open x to read",
        "read x",
        "create new",
        "write 3 bytes to new",
        "fsync new",
        "truncate new to 1 bytes",
        "rename new → x",
        "link x → y",
        "unlink y",
        "mkdir d",
        "open d to read",
        "list d",
        "list d",
        "rmdir d",
        "symlink s → x",
        "read link s",
        "chmod x",
        "truncate x to 0 bytes",
        "stat none",
    ]
    assert {(call.agent, call.task, call.spins) for call in calls} == {(0, 0, False)}
    by_text = {call.text: call for call in calls}
    assert writes(by_text["open x to read"]) == set()
    assert reads(by_text["open x to read"]) == {("entry", ".", "x")}
    assert reads(by_text["read x"]) == {("inode", "x")}
    assert writes(by_text["create new"]) == {("entry", ".", "new")}
    assert writes(by_text["write 3 bytes to new"]) == {("inode", "0.0")}
    assert by_text["fsync new"].accesses == ()
    assert writes(by_text["rename new → x"]) == {("entry", ".", "new"), ("entry", ".", "x"), ("links", "x")}
    assert reads(by_text["rename new → x"]) == {("listing", ".")}
    assert writes(by_text["unlink y"]) == {("entry", ".", "y"), ("links", "0.0")}
    assert writes(by_text["list d"]) == {("listing", "0.1")}
    assert writes(by_text["chmod x"]) == {("inode", "0.0")}
    assert reads(by_text["chmod x"]) == {("entry", ".", "s"), ("entry", ".", "x")}


def test_results_are_said_where_they_are_known(supervisor: Supervisor, shared: Path) -> None:
    (shared / "x").touch()

    def fails() -> None:
        for function in (
            lambda: os.unlink("none"),
            lambda: os.stat("none"),
            lambda: os.rename("none", "x"),
            lambda: os.open("x", os.O_CREAT | os.O_EXCL),
            lambda: os.mkdir("x"),
            lambda: os.open("none", os.O_RDONLY),
        ):
            with pytest.raises(OSError, match=r"\[Errno"):
                function()

    results = [step.result for step in run(supervisor, [Forked(fails)]).trace]
    assert results == [-2, -2, -2, -17, -17, -2]


def _locks() -> None:
    file = os.open("l", os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_SH)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an upgrade of its own
    fcntl.flock(file, fcntl.LOCK_UN)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.close(file)
    file = os.open("l", os.O_RDWR)
    fcntl.lockf(file, fcntl.LOCK_EX)
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
    fcntl.fcntl(file, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))


def test_what_a_call_does_with_a_lock_is_said(supervisor: Supervisor, shared: Path) -> None:
    (shared / "l").touch()
    calls = calls_of(supervisor, _locks)
    assert [(call.text, call.lock, bool(writes(call))) for call in calls if not call.text.startswith("open")] == [
        ("lock shared l", "waits", False),
        ("try to lock l", "tries", True),
        ("unlock l", "frees", True),
        ("lock l", "waits", True),
        ("close (frees lock l)", "frees", True),
        ("lock l", "waits", True),
        ("try to lock l", "tries", True),
        ("ask for the lock of l", "", False),
        ("exit (frees lock l)", "frees", True),
    ]
    assert {access.what for call in calls for access in call.accesses if call.lock} == {
        ("lock", "l", "flock"),
        ("lock", "l", "record"),
    }


def test_a_mapping_is_a_read_and_a_shared_one_that_may_be_written_a_write(supervisor: Supervisor, shared: Path) -> None:
    (shared / "x").write_text("1")
    code = "import mmap; f = open('x', 'r+b'); mmap.mmap(f.fileno(), 0); mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)"
    ran = run(supervisor, [Program([sys.executable, "-c", code])])
    assert [bool(writes(step.call)) for step in ran.trace if step.call.text == "map x"] == [True, False]


def test_what_is_outside_is_no_point(supervisor: Supervisor, tmp_path: Path) -> None:
    def outside() -> None:
        (tmp_path / "other").write_text("1")
        os.rename(tmp_path / "other", tmp_path / "another")
        os.listdir(".")

    assert [call.text for call in calls_of(supervisor, outside)] == ["list .", "list ."]
