"""The schedulers over real processes: what the engine says of a call is enough for DPOR to be right."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stress.schedulers.critical import critical_steps
from stress.schedulers.dpor import Dpor
from stress.schedulers.execution import Ending, Execution, Run, Tally, executions
from stress.schedulers.exhaustive import Exhaustive
from stress.schedulers.pct import Pct
from stress.schedulers.random import Random
from stress.schedulers.saved import SavedSchedule
from stress.schedulers.shrink import shrink
from stress.syscalls import Forked, Kind, Program, Supervisor, Warm
from stress.syscalls.calls import Abandoned, Diverged, Scheduler

ENDINGS = {"done": Ending.DONE, "deadlock": Ending.DEADLOCK}


def runner(supervisor: Supervisor, shared: Path, kinds: Sequence[Kind], files: dict[str, str]) -> Run:
    """Executes the agents over fresh files; an execution fails if ``count`` is not the number of agents in the end."""

    def run(scheduler: Scheduler) -> Execution:
        for path in shared.iterdir():
            path.unlink()
        for name, text in files.items():
            (shared / name).write_text(text)
        try:
            ran = supervisor.run(kinds, scheduler)
        except Diverged as error:
            return Execution((), Ending.DIVERGED, diverged=error)
        except Abandoned:
            return Execution((), Ending.ABANDONED)
        after = tuple((path.name, path.read_text()) for path in sorted(shared.iterdir()))
        failed = bool(ran.findings) or json.loads((shared / "count").read_text() or "0") != len(kinds)
        ending = ENDINGS.get(ran.ending, Ending.CUT)
        return Execution(ran.trace, ending, (after, ran.statuses, ran.outputs), failed, ran.blocked)

    return run


def in_place(_: int) -> None:
    """Read the number and write the next one over it: three calls."""
    file = os.open("count", os.O_RDWR)
    count = int(os.read(file, 9))
    os.pwrite(file, b"%d" % (count + 1), 0)


def replacing(_: int) -> None:
    """Read a JSON file, write a new one beside it, rename."""
    with open("count", encoding="ascii") as file:
        count = json.load(file)
    with open(f".{os.getpid()}.tmp", "w", encoding="ascii") as file:
        json.dump(count + 1, file)
    os.replace(f".{os.getpid()}.tmp", "count")


def locked(_: int) -> None:
    """In place, under a lock that the process waits for."""
    lock = os.open("lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    in_place(0)
    os.close(lock)


def polled(_: int) -> None:
    """In place, under a lock that the process tries to take until it succeeds."""
    lock = os.open("lock", os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.1)
    in_place(0)
    os.close(lock)


def explored(run: Run, scheduler: Scheduler) -> tuple[Tally, list[Execution]]:
    tally, done = Tally(), []
    for execution in executions(run, scheduler):
        tally.add(execution)
        done.append(execution)
    return tally, done


@pytest.mark.parametrize(("function", "loses"), [(in_place, True), (locked, False), (polled, False)])
def test_dpor_has_the_outcomes_of_every_schedule_and_counts_them(
    supervisor: Supervisor, shared: Path, function: Callable[[int], None], loses: bool
) -> None:
    run = runner(supervisor, shared, [Warm(function), Warm(function)], {"count": "0"})
    every, all_of_them = explored(run, Exhaustive())
    scheduler = Dpor()
    tally, done = explored(run, scheduler)
    assert scheduler.proved(tally)
    assert tally.outcomes == every.outcomes
    assert scheduler.schedules == len(all_of_them)
    assert len(done) * 3 < len(all_of_them)
    assert (tally.failed > 0) == (every.failed > 0) == loses


def test_three_processes_under_a_lock_are_proved(supervisor: Supervisor, shared: Path) -> None:
    run = runner(supervisor, shared, [Warm(locked), Warm(locked), Warm(locked)], {"count": "0", "lock": ""})
    scheduler = Dpor()
    tally, done = explored(run, scheduler)
    assert scheduler.proved(tally)
    assert (len(done), tally.failed) == (6, 0)


def test_a_lost_update_of_a_json_file_is_found_at_once_shrunk_explained_and_replayed(
    supervisor: Supervisor, shared: Path
) -> None:
    run = runner(supervisor, shared, [Warm(replacing), Warm(replacing)], {"count": "0"})
    for scheduler in (Dpor(), Random(1), Pct(1, 2), Exhaustive(2)):
        failing = next(each for each in itertools.islice(executions(run, scheduler), 20) if each.failed)
    shrunk = shrink(run, failing)
    assert (shrunk.preemptions, shrunk.fewest) == (1, True)
    critical = critical_steps(run, shrunk.execution)
    assert critical is not None
    assert critical.words in (
        "agent 2's `rename .4194306.tmp → count` came between agent 1's `open count to read` and "
        "agent 1's `rename .4194305.tmp → count`",
        "agent 1's `rename .4194305.tmp → count` came between agent 2's `open count to read` and "
        "agent 2's `rename .4194306.tmp → count`",
    )
    saved = SavedSchedule.from_json(SavedSchedule.of(shrunk.execution, {}).to_json())
    for _ in range(3):
        replay = saved.replay()
        replay.begin()
        again = run(replay)
        assert (again.trace, again.outcome) == (shrunk.execution.trace, shrunk.execution.outcome)


def test_dpor_ends_where_exhaustive_search_would_not(supervisor: Supervisor, shared: Path) -> None:
    run = runner(supervisor, shared, [Warm(replacing), Warm(replacing)], {"count": "0"})
    scheduler = Dpor()
    tally, done = explored(run, scheduler)
    assert scheduler.proved(tally)
    assert tally.failed
    assert len(done) < 20
    assert scheduler.schedules > 10_000


BASH = 'n=$(<count); echo $((n + 1)) > ".$$.tmp"; mv ".$$.tmp" count'


def test_python_and_bash_are_explored_together(supervisor: Supervisor, shared: Path) -> None:
    run = runner(supervisor, shared, [Program(("bash", "-c", BASH)), Warm(replacing)], {"count": "0"})
    scheduler = Dpor()
    tally, done = explored(run, scheduler)
    assert scheduler.proved(tally)
    assert 0 < tally.failed < len(done)


def _add(name: str, text: str) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, text.encode())
    os.close(file)


def _is_there(pid: int, how: str) -> bool:
    """Whether a process is, as programs ask for it."""
    try:
        if how == "kill":
            os.kill(pid, 0)
        elif how == "getpgid":
            os.getpgid(pid)
        elif how == "stat":
            os.close(os.open(f"/proc/{pid}/stat", os.O_RDONLY))
        else:
            os.stat(f"/proc/{pid}")
    except OSError:
        return False
    return True


@pytest.mark.parametrize("real", [False, True], ids=["told by itself", "told by its parent"])
@pytest.mark.parametrize("how", ["kill", "getpgid", "stat", "directory"])
def test_whether_a_process_of_another_is_there_depends_on_what_that_did(
    supervisor: Supervisor, shared: Path, how: str, real: bool
) -> None:
    """A breaker of locks asks for their owner: that it is there, or is not, comes of steps that touch other files."""

    def owner(_: int) -> None:
        go, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(go, 1)
            if not real:
                _add("pid", str(os.getpid()))
            _add("own", "1")
            os._exit(0)
        if real:
            _add("pid", str(child))
        os.write(tell, b"1")
        os.waitpid(child, 0)

    def breaker(_: int) -> None:
        try:
            with open("pid", encoding="ascii") as file:
                pid = file.read()
        except FileNotFoundError:
            pid = ""
        _add("count", "" if not pid else "1" if _is_there(int(pid), how) else "2")

    compare(supervisor, shared, [Warm(owner), Warm(breaker)], {"count": ""})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
def test_a_signal_to_another_is_sent_between_any_two_of_its_steps(
    supervisor: Supervisor, shared: Path, number: signal.Signals
) -> None:
    def victim() -> None:
        signal.signal(signal.SIGUSR1, lambda *_: _add("handled", "1"))
        _add("pid", str(os.getpid()))
        _add("own", "1")

    def killer() -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open("pid", encoding="ascii") as file:
            if pid := file.read():
                os.kill(int(pid), number)
                _add("count", "1")

    compare(supervisor, shared, [Forked(victim), Forked(killer)], {"count": ""})


def compare(supervisor: Supervisor, shared: Path, kinds: Sequence[Kind], files: dict[str, str]) -> None:
    """DPOR has the outcomes of every schedule, and there is more than one, but for the pid that was told."""
    run, found = runner(supervisor, shared, kinds, files), []
    for scheduler in (Dpor(), Exhaustive()):
        done = [each for each in executions(run, scheduler) if each.ending is not Ending.ABANDONED]
        found.append({_without_pid(each.outcome) for each in done})
        assert isinstance(scheduler, Exhaustive) or len(done) < 30
    assert found[0] == found[1]
    assert len(found[0]) > 1


def _without_pid(outcome: object) -> object:
    assert isinstance(outcome, tuple)
    return tuple((name, text) for name, text in outcome[0] if name != "pid"), *outcome[1:]
