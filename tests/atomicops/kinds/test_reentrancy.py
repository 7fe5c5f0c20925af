"""An operation is indivisible, also for its own thread: what is acknowledged inside of it is kept, or was refused.

Steps that the caller has grouped with `file_lock` or ``with_lock`` are another matter: they go on working.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from atomicops import (
    atomic_append_text,
    atomic_write_json,
    atomic_write_text,
    create_backup,
    file_lock,
    prune_backups,
    recover,
    update_json,
)
from tests.atomicops.both import Helpers

HELPERS = Helpers()
BEGIN = {"outer": 0, "inner": 0}
ONE_MORE = "atomic_update s.json '.inner += 1'"


def _update(path: Path) -> None:
    update_json(path, lambda d: {**d, "inner": d["inner"] + 1}, timeout=1)


def _write(path: Path) -> None:
    atomic_write_json({**BEGIN, "inner": 1}, path, timeout=1)


def _update_under_lock(path: Path) -> None:
    with file_lock(path, timeout=1):
        _update(path)


def _by_another_name(path: Path) -> None:
    link = path.with_name("link.json")
    link.symlink_to(path.name)
    _update(link)


WRITERS: dict[str, Callable[[Path], None]] = {
    "update": _update,
    "write": _write,
    "update under file_lock": _update_under_lock,
    "update through a link": _by_another_name,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    atomic_write_json(BEGIN, tmp_path / "s.json")
    return tmp_path / "s.json"


@pytest.fixture
def handler() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Sets what SIGUSR1 does, for the length of a test."""
    before = signal.getsignal(signal.SIGUSR1)

    def install(action: Callable[[], None]) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: action())

    yield install
    signal.signal(signal.SIGUSR1, before)


class Ledger:
    """Who was told that his change is done."""

    def __init__(self) -> None:
        self.outer = self.inner = 0

    def try_inner(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (RuntimeError, OSError):
            return
        self.inner += 1

    def try_outer(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (RuntimeError, OSError):
            return
        self.outer += 1

    def check(self, path: Path) -> None:
        assert json.loads(path.read_text()) == {"outer": self.outer, "inner": self.inner}
        assert self.outer + self.inner > 0
        update_json(path, lambda d: {**d, "outer": d["outer"] + 1}, timeout=1)  # and it goes on


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_writer_inside_of_an_update(path: Path, writer: Callable[[Path], None]) -> None:
    ledger = Ledger()

    def change(document: dict[str, int]) -> dict[str, int]:
        ledger.try_inner(lambda: writer(path))
        return {**document, "outer": document["outer"] + 1}

    ledger.try_outer(lambda: update_json(path, change))
    ledger.check(path)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_writer_in_a_signal_handler_inside_of_an_update(
    path: Path, handler: Callable[[Callable[[], None]], None], writer: Callable[[Path], None]
) -> None:
    ledger = Ledger()
    handler(lambda: ledger.try_inner(lambda: writer(path)))

    def change(document: dict[str, int]) -> dict[str, int]:
        signal.raise_signal(signal.SIGUSR1)
        return {**document, "outer": document["outer"] + 1}

    ledger.try_outer(lambda: update_json(path, change))
    ledger.check(path)


def test_a_writer_in_a_signal_handler_between_two_grouped_steps(
    path: Path, handler: Callable[[Callable[[], None]], None]
) -> None:
    ledger = Ledger()
    handler(lambda: ledger.try_inner(lambda: _update(path)))

    def steps() -> None:
        with file_lock(path):
            document = json.loads(path.read_text())
            signal.raise_signal(signal.SIGUSR1)
            atomic_write_json({**document, "outer": document["outer"] + 1}, path)

    ledger.try_outer(steps)
    ledger.check(path)


class Action:
    """A handler that is an object."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.action()

    method = __call__


def forgetful(action: Callable[[], None], number: int, frame: FrameType | None) -> None:
    del number, frame
    action()


def overwriting(action: Callable[[], None], number: int, frame: FrameType | None) -> None:
    number = 0
    frame = None
    action()
    assert (number, frame) == (0, None)


HANDLERS: dict[str, Callable[[Callable[[], None]], Any]] = {
    "a function that forgets its arguments": lambda action: partial(forgetful, action),
    "a function that overwrites its arguments": lambda action: partial(overwriting, action),
    "an object": Action,
    "a method": lambda action: Action(action).method,
}


@pytest.mark.parametrize("form", HANDLERS.values(), ids=HANDLERS)
def test_whatever_the_handler_is(path: Path, form: Callable[[Callable[[], None]], Any]) -> None:
    ledger = Ledger()

    def steps() -> None:
        with file_lock(path):
            document = json.loads(path.read_text())
            signal.raise_signal(signal.SIGUSR1)
            atomic_write_json({**document, "outer": document["outer"] + 1}, path)

    before = signal.signal(signal.SIGUSR1, form(lambda: ledger.try_inner(lambda: _update(path))))
    try:
        ledger.try_outer(steps)
    finally:
        signal.signal(signal.SIGUSR1, before)
    ledger.check(path)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_another_task_between_two_grouped_steps(path: Path, writer: Callable[[Path], None]) -> None:
    """A task has its thread to itself only until it awaits something."""
    ledger = Ledger()

    async def first() -> None:
        with file_lock(path):
            document = json.loads(path.read_text())
            await asyncio.sleep(0)
            atomic_write_json({**document, "outer": document["outer"] + 1}, path)
        ledger.outer += 1

    async def second() -> None:
        ledger.try_inner(lambda: writer(path))

    async def both() -> None:
        await asyncio.gather(first(), second())

    asyncio.run(both())
    ledger.check(path)


def test_a_lock_around_all_tasks_is_theirs(path: Path) -> None:
    async def task() -> None:
        _update(path)

    with file_lock(path):
        asyncio.run(task())
    assert json.loads(path.read_text()) == {"outer": 0, "inner": 1}


@pytest.mark.parametrize("in_place", [False, True])
def test_an_append_in_a_signal_handler_inside_of_an_append(
    tmp_path: Path, handler: Callable[[Callable[[], None]], None], in_place: bool
) -> None:
    """The handler runs at every call that the append makes."""
    log = tmp_path / "log"
    atomic_append_text("begin\n", log, durability="none")
    told: list[str] = []

    def append(line: str) -> None:
        try:
            atomic_append_text(line, log, in_place=in_place, durability="none", timeout=1)
        except (RuntimeError, OSError):
            return
        told.append(line)

    inside = False

    def profile(frame: Any, event: str, argument: object) -> None:
        nonlocal inside
        if (
            event == "c_call"
            and not inside
            and "atomicops" in frame.f_code.co_filename
            and "tests" not in frame.f_code.co_filename
        ):
            inside = True
            signal.raise_signal(signal.SIGUSR1)
            inside = False

    number = iter(range(10**6))
    handler(lambda: append(f"handler {next(number)}\n"))
    sys.setprofile(profile)
    try:
        append("outer\n")
    finally:
        sys.setprofile(None)
    assert sorted(log.read_text().splitlines(keepends=True)) == sorted(["begin\n", *told])
    assert told
    append("after\n")
    assert log.read_text().endswith("after\n")


@pytest.mark.parametrize(
    "inner",
    [lambda p: create_backup(p, "in"), lambda p: prune_backups(p, 0), lambda p: recover(p)],
    ids=["backup", "prune", "recover"],
)
def test_what_only_looks_may_be_done_inside_or_raises(path: Path, inner: Callable[[Path], object]) -> None:
    ledger = Ledger()

    def change(document: dict[str, int]) -> dict[str, int]:
        ledger.try_inner(lambda: inner(path))
        return {**document, "outer": document["outer"] + 1}

    ledger.try_outer(lambda: update_json(path, change))
    assert json.loads(path.read_text()) == {"outer": ledger.outer, "inner": 0}


def test_grouped_steps_go_on_working(path: Path) -> None:
    with file_lock(path), file_lock(path):
        _update(path)
        atomic_write_json({**json.loads(path.read_text()), "outer": 5}, path)
        create_backup(path, "x")
        with file_lock(path.with_name("link.json")):
            _update(path)
        assert recover(path).ok
    assert json.loads(path.read_text()) == {"outer": 5, "inner": 2}


def test_another_file_may_be_written_inside(path: Path) -> None:
    other = path.with_name("other.json")

    def change(document: dict[str, int]) -> dict[str, int]:
        atomic_write_text("{}", other)
        return {**document, "outer": 1}

    update_json(path, change)
    assert other.read_text() == "{}"


@pytest.mark.parametrize(
    "writer", ["atomic_update s.json '.inner += 1'", 'atomic_write \'{"outer":0,"inner":1}\' s.json']
)
def test_a_bash_trap_inside_of_with_lock(path: Path, writer: str) -> None:
    script = f"""
    . "$0/atomicops.sh"
    on_signal() {{ {writer} && echo inner; }}
    trap on_signal USR1
    steps() {{
      local d; d=$(cat s.json)
      kill -USR1 $$; :
      atomic_write "$(jq '.outer += 1' <<<"$d")" s.json && echo outer
    }}
    with_lock s.json steps
    """
    done = HELPERS.bash(script, cwd=path.parent, env={"ATOMICOPS_LOCK_TIMEOUT": "2"})
    told = done.out.split()
    assert json.loads(path.read_text()) == {"outer": told.count("outer"), "inner": told.count("inner")}, done
    assert told


TRAPS = {
    "in a subshell": (f"({ONE_MORE})", False),
    "in the background": (f"{ONE_MORE} & wait $!", False),
    "in a subshell in the background": (f"({ONE_MORE}) & wait $!", False),
    "in a group of its own": ("with_lock s.json one_more", False),
    "in a group of another file": ("with_lock other one_more", False),
    "of another file": ("with_lock other append_twice", True),
    "of another file, in a subshell": ("(with_lock other append_twice)", True),
}


@pytest.mark.parametrize("where", TRAPS)
def test_a_bash_trap_however_it_writes(path: Path, where: str) -> None:
    """Inside of with_lock its result is not lost, nor refused where it is of another file; outside it is done."""
    body, served = TRAPS[where]
    script = f"""
    . "$0/atomicops.sh"
    one_more() {{
      {ONE_MORE}
    }}
    append_twice() {{
      atomic_append x other && (atomic_append x other)
    }}
    on_signal() {{
      {body}
      echo "inner $?"
    }}
    trap on_signal USR1
    steps() {{
      local d; d=$(cat s.json)
      kill -USR1 $$; :
      atomic_write "$(jq '.outer += 1' <<<"$d")" s.json && echo outer
    }}
    with_lock s.json steps
    kill -USR1 $$; :
    """
    done = HELPERS.bash(script, cwd=path.parent, env={"ATOMICOPS_LOCK_TIMEOUT": "2"})
    assert done.out.split("\n") == ["inner 0" if served else "inner 75", "outer", "inner 0", ""], done
    assert json.loads(path.read_text()) == {"outer": 1, "inner": 0 if served else 1}


@pytest.mark.parametrize(
    "step",
    [
        "atomic_read s.json", "atomic_append ' ' s.json", "atomic_update s.json . -c", "atomic_backup s.json",
        "with_lock s.json true", "with_lock other true", "exit_code=$(kill -USR1 $$)",
    ],
)  # fmt: skip
def test_a_bash_trap_that_comes_during_a_step_of_a_group(path: Path, step: str) -> None:
    """Bash says of some steps what it says of none, or of an `exit`."""
    perl = slow_perl(path.parent, "kill -USR1 $PPID")
    script = f"""
    . "$0/atomicops.sh"
    on_signal() {{ {ONE_MORE} && echo inner; }}
    trap on_signal USR1
    steps() {{
      local d; d=$(cat s.json)
      : >now; {step} >output; rm -f now
      atomic_write "$(jq '.outer += 1' <<<"$d")" s.json && echo outer
    }}
    with_lock s.json steps
    """
    done = HELPERS.bash(script, cwd=path.parent, env={"PATH": perl, "ATOMICOPS_LOCK_TIMEOUT": "2"})
    assert (done.out, json.loads(path.read_text())) == ("outer\n", {"outer": 1, "inner": 0}), done
    assert "a trap came" in done.err


@pytest.mark.parametrize("handler", ["with_lock other true", "with_lock other with_lock other true"])
def test_a_bash_trap_takes_another_lock_while_one_is_taken(path: Path, handler: str) -> None:
    """It is not taken for the one that was wanted."""
    perl = slow_perl(path.parent, "kill -USR1 $PPID")
    script = f"""
    . "$0/atomicops.sh"
    trap '{handler}; echo handler' USR1
    : >now
    with_lock s.json flock -n .s.json.lock echo free
    """
    done = HELPERS.bash(script, cwd=path.parent, env={"PATH": perl})
    assert (done.code, done.out, done.err) == (1, "handler\n", ""), done


def slow_perl(folder: Path, meanwhile: str) -> str:
    """A PATH with a perl that first, once there is a file `now`, does something."""
    (folder / "bin").mkdir()
    perl = folder / "bin" / "perl"
    perl.write_text(f'#!/bin/sh\nif rm now 2>/dev/null; then {meanwhile}; fi\nexec {shutil.which("perl")} "$@"\n')
    perl.chmod(0o755)
    return f"{perl.parent}:{os.environ['PATH']}"


def test_grouped_steps_go_on_working_in_bash(path: Path) -> None:
    script = """
    . "$0/atomicops.sh"
    steps() { atomic_update s.json '.inner += 1' && (atomic_update s.json '.inner += 1') && with_lock s.json again; }
    again() { atomic_update s.json '.outer += 5' && atomic_backup s.json x; }
    with_lock s.json steps
    """
    done = HELPERS.bash(script, cwd=path.parent, env={"ATOMICOPS_LOCK_TIMEOUT": "5"})
    assert (done.code, done.err) == (0, "")
    assert json.loads(path.read_text()) == {"outer": 5, "inner": 2}


def test_a_command_under_update_that_updates_the_same_file_times_out(path: Path) -> None:
    """Another process is no re-entry: it waits, and both end."""
    inner = [HELPERS.python, "-m", "atomicops", "update", "--timeout", "0.2", "s.json", "--increment", "inner"]
    command = [HELPERS.python, "-m", "atomicops", "update", "s.json", "--", *inner]
    done = HELPERS.run(command, cwd=path.parent)
    assert done.code != 0
    assert json.loads(path.read_text()) == BEGIN
