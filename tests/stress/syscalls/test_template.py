"""What starts an agent's process stays from execution to execution, and the process does not see it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from stress.syscalls import Denied, Forked, Kind, Program, Supervisor
from stress.syscalls.tasks import children

from .schedules import in_order, run


def bash(script: str) -> Program:
    return Program(["bash", "-c", script])


def started() -> frozenset[int]:
    return frozenset(children(os.getpid(), os.getpid()))


def append() -> None:
    with Path("x").open("a", encoding="ascii") as file:
        file.write(f"{os.getpid()} {os.getppid()} {os.getpgrp() == os.getsid(0)}\n")


@pytest.mark.parametrize("kind", [Forked(append), bash("echo $$ $PPID True >> x")], ids=["forked", "program"])
def test_each_execution_is_that_of_a_new_process_and_its_template_stays(
    supervisor: Supervisor, shared: Path, kind: Kind
) -> None:
    (shared / "x").touch()
    traces: set[tuple[str, ...]] = set()
    templates: set[frozenset[int]] = set()
    before = started()
    for times in range(1, 4):
        traces.add(tuple(step.call.text for step in run(supervisor, [kind]).trace))
        templates.add(started() - before)
        lines = (shared / "x").read_text("ascii").splitlines()
        assert len(lines) == times
        assert len(set(lines)) == 1
        assert lines[0].split()[1:] == ["1", "True"]
    assert len(traces) == len(templates) == 1


@pytest.mark.parametrize(
    ("script", "statuses"),
    [
        ("trap '' TERM; kill 0; kill -HUP -$$", -signal.SIGHUP),
        ("kill -KILL $$", -signal.SIGKILL),
        ("exit 200", 200),
        ("yes | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}", 128 + signal.SIGPIPE),
        ("trap 'exit 9' INT; kill -INT $$; exit 1", 9),
        ("cat; ! readlink /proc/$$/fd/* | grep -q memfd:spec", 0),
    ],
)
def test_what_a_program_does_to_itself_and_its_group_does_not_reach_the_template(
    supervisor: Supervisor, script: str, statuses: int
) -> None:
    kind = bash(script)
    for _ in range(2):
        ran = run(supervisor, [kind])
        assert (ran.ending, ran.statuses, ran.outputs) == ("done", (statuses,), ((b"", b""),))


@pytest.mark.parametrize(
    "rests",
    ["sleep 5", f"{sys.executable} -ISc 'import os, select; select.select([os.pipe()[0]], [], [], 5)'"],
    ids=["a sleep is a step", "a timeout comes when nobody can do anything"],
)
def test_what_outlives_a_program_is_waited_for(supervisor: Supervisor, shared: Path, rests: str) -> None:
    kind = bash(f"({rests}; echo last > x) & echo first > x")
    for _ in range(2):
        ran = run(supervisor, [kind])
        assert (ran.ending, ran.statuses) == ("done", (0,))
        assert (shared / "x").read_text("ascii") == "last\n"


@pytest.mark.parametrize("directory", [None, "inside"])
def test_a_directory_that_was_replaced_is_where_the_next_one_starts(
    supervisor: Supervisor, shared: Path, directory: str | None
) -> None:
    place = shared / (directory or "")
    kinds: list[Kind] = [Program(["bash", "-c", "echo 1 >> x"], directory=str(place)), Forked(append)]
    for _ in range(2):
        shutil.rmtree(shared)
        place.mkdir(parents=True)
        ran = run(supervisor, kinds)
        assert (ran.ending, ran.statuses) == ("done", (0, 0))
        assert (place / "x").read_text("ascii").startswith("1\n")


def test_an_agent_of_another_kind_takes_the_place_of_the_one_before(supervisor: Supervisor, shared: Path) -> None:
    before = started()
    for number in range(3):
        run(supervisor, [bash(f"echo {number} >> x")], in_order())
        assert len(started() - before) == 1
    assert (shared / "x").read_text("ascii").split() == ["0", "1", "2"]


def test_a_template_may_find_what_it_needs_in_the_shared_directory(
    supervisor: Supervisor, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / "ctypes.py").write_text("class CDLL:\n    def __init__(*_): pass\n    def prctl(*_): pass\n", "ascii")
    monkeypatch.setenv("PYTHONPATH", str(shared))
    limit = signal.signal(signal.SIGALRM, signal.default_int_handler), signal.alarm(60)
    try:
        assert [step.call.text for step in run(supervisor, [bash(": > x")]).trace] == ["create x"]
    finally:
        signal.alarm(limit[1])
        signal.signal(signal.SIGALRM, limit[0])


def test_a_template_that_does_not_start_is_told(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Denied, match=r"has ended: exit status 1: see whether /bin/false starts"):
        run(supervisor, [bash("true")])
    monkeypatch.undo()
    assert run(supervisor, [bash("true")]).statuses == (0,)
