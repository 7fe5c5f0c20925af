"""The engine: the order is the scheduler's, whoever is scheduled; and what it finds by itself."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stress.syscalls import Denied, Forked, Kind, Program, Supervisor, Warm, mark, require
from stress.syscalls.calls import Abandoned, Call

from .schedules import Choose, at_random, in_order, one_after_another, run, turn_by_turn


def increment() -> None:
    number = int(Path("x").read_text("ascii"))
    Path(f"x.{os.getpid()}").write_text(str(number + 1), "ascii")
    os.rename(f"x.{os.getpid()}", "x")


def warm_increment(number: int) -> None:
    increment()


BASH = Program(["bash", "-c", "v=$(<x); echo $((v + 1)) > x.$$; mv x.$$ x"])
JQ = Program(["bash", "-c", "jq '. + 1' x > x.$$; mv x.$$ x"])
PYTHON = Program([sys.executable, "-IS", "-c", "v = int(open('x').read()); open('x', 'w').write(str(v + 1))"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Forked(increment), Forked(increment)),
        (Warm(warm_increment), Warm(warm_increment)),
        (BASH, BASH),
        (JQ, PYTHON),
        (PYTHON, Forked(increment)),
        (BASH, Warm(warm_increment)),
    ],
    ids=["forked", "warm", "bash", "jq and python", "python and forked", "bash and warm"],
)
def test_the_scheduler_decides_whether_an_update_is_lost(
    supervisor: Supervisor, shared: Path, first: Kind, second: Kind
) -> None:
    for scheduler, value in ((one_after_another(0, 1), 2), (turn_by_turn(), 1), (one_after_another(1, 0), 2)):
        (shared / "x").write_text("0")
        ran = run(supervisor, [first, second], scheduler)
        assert (ran.ending, ran.statuses, ran.outputs) == ("done", (0, 0), ((b"", b""), (b"", b"")))
        assert int((shared / "x").read_text()) == value
        assert {path.name for path in shared.iterdir()} == {"x"}
        assert scheduler.ended == (ran.trace, ())
        assert [step.index for step in ran.trace] == [*range(len(ran.trace))]


def test_every_call_waits_for_its_turn(supervisor: Supervisor, shared: Path) -> None:
    """What another agent does is never seen before its step, and always after it."""
    order = [0, 1, 1, 0, 1, 0, 0, 1]

    def makes() -> None:
        for number in range(4):
            os.close(os.open(f"{os.getpid()}-{number}", os.O_CREAT | os.O_WRONLY))

    seen: list[int] = []

    def choose(enabled: object, trace: object) -> int:
        seen.append(len([*shared.iterdir()]))
        return in_order(*order)._choose(enabled, trace)  # type: ignore[arg-type]

    ran = run(supervisor, [Forked(makes), Forked(makes)], Choose(choose))
    assert [*ran.decisions] == order
    assert seen == [*range(8)]


def lock_and_hold(first: str, second: str) -> Callable[[], None]:
    def hold() -> None:
        one = os.open(first, os.O_RDWR)
        fcntl.flock(one, fcntl.LOCK_EX)
        two = os.open(second, os.O_RDWR)
        fcntl.flock(two, fcntl.LOCK_EX)

    return hold


def test_a_deadlock_is_found_and_the_calls_that_wait_are_said(supervisor: Supervisor, shared: Path) -> None:
    (shared / "a").touch()
    (shared / "b").touch()
    agents = [Forked(lock_and_hold("a", "b")), Forked(lock_and_hold("b", "a"))]
    scheduler = turn_by_turn()
    ran = run(supervisor, agents, scheduler)
    assert (ran.ending, ran.statuses) == ("deadlock", (-signal.SIGKILL, -signal.SIGKILL))
    assert [(finding.kind, finding.text) for finding in ran.findings] == [
        ("deadlock", "agent 1 waits to lock b; agent 2 waits to lock a")
    ]
    assert [(call.agent, call.text, call.lock) for call in ran.blocked] == [
        (0, "lock b", "waits"),
        (1, "lock a", "waits"),
    ]
    assert scheduler.ended == (ran.trace, ran.blocked)
    ran = run(supervisor, agents, one_after_another(0, 1))
    assert (ran.ending, ran.findings) == ("done", ())


@pytest.mark.parametrize("forever", [":", "[ -e /nowhere ]"])
def test_what_never_comes_to_the_directory_is_stuck(shared: Path, refusal: str | None, forever: str) -> None:
    if refusal is not None:
        pytest.skip(refusal)
    with Supervisor(shared, stuck_s=1.0) as supervisor:
        ran = run(supervisor, [Program(["true"]), Program(["bash", "-c", f"while :; do {forever}; done"])])
    assert (ran.ending, [finding.kind for finding in ran.findings]) == ("stuck", ["stuck"])
    assert ran.findings[0].text.startswith("agent 2: ")


def test_who_waits_for_ever_without_a_lock_is_said(supervisor: Supervisor) -> None:
    ran = run(supervisor, [Program(["true"]), Program(["sleep", "infinity"])])
    assert [(finding.kind, finding.text) for finding in ran.findings] == [
        ("deadlock", "agent 2 waits for ever, and not for a lock")
    ]


@pytest.mark.parametrize("kind", ["flock", "lockf", "ofd"])
def test_a_task_whose_lock_is_held_is_not_enabled(supervisor: Supervisor, shared: Path, kind: str) -> None:
    (shared / "l").touch()

    def critical() -> None:
        file = os.open("l", os.O_RDWR)
        if kind == "ofd":
            import struct

            fcntl.fcntl(file, 38, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        else:
            getattr(fcntl, kind)(file, fcntl.LOCK_EX)
        for _ in range(3):
            os.stat("l")

    def tells(enabled: object, trace: object) -> int:
        return turn_by_turn()._choose(enabled, trace)  # type: ignore[arg-type]

    ran = run(supervisor, [Forked(critical)] * 3, Choose(tells))
    assert ran.ending == "done"
    inside = [step.call.agent for step in ran.trace if step.call.text == "stat l"]
    assert [inside[at : at + 3] for at in (0, 3, 6)] == [[agent] * 3 for agent in dict.fromkeys(inside)]


def test_a_lock_that_bash_takes_through_a_child_is_held_until_its_descriptor_is_closed(
    supervisor: Supervisor, shared: Path
) -> None:
    (shared / "x").write_text("0")
    agent = Program(["bash", "-c", "{ flock 9; v=$(<x); echo $((v + 1)) > x; } 9> lock; : > end"])
    ran = run(supervisor, [agent, agent], turn_by_turn())
    assert (ran.ending, ran.statuses) == ("done", (0, 0))
    assert (shared / "x").read_text() == "2\n"
    frees = [step.call.text for step in ran.trace if step.call.lock == "frees"]
    assert frees == ["close (frees lock lock)"] * 2


def hold_and_wait_in_a_child() -> None:
    with open("x", "r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        pid = os.fork()
        if pid == 0:
            fcntl.lockf(file, fcntl.LOCK_EX)
        os.waitpid(pid, 0)


class LateEnd:
    """A poll object that says that a listener is gone only to who waits for long."""

    def __init__(self, poll: Any) -> None:
        self._poll = poll
        self.register, self.unregister = poll.register, poll.unregister

    def poll(self, wait_ms: int) -> list[tuple[int, int]]:
        events: list[tuple[int, int]] = self._poll.poll(wait_ms)
        return events if wait_ms >= 1_000 else [event for event in events if event[1] & select.POLLIN]


def kill_oneself() -> None:
    increment()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_seen_dead_before_its_listener_says_so_is_no_deadlock(
    supervisor: Supervisor, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / "x").write_text("0")
    monkeypatch.setattr(supervisor._population, "_poll", LateEnd(supervisor._population._poll))
    ran = run(supervisor, [Forked(kill_oneself)])
    assert (ran.ending, ran.findings, ran.statuses) == ("done", (), (-signal.SIGKILL,))


def test_a_process_that_waits_for_a_lock_may_be_gone_when_its_agent_is(supervisor: Supervisor, shared: Path) -> None:
    (shared / "x").touch()
    ran = run(supervisor, [Forked(hold_and_wait_in_a_child)])
    assert ran.ending == "deadlock", "the child waits for its parent, and that for the child"
    assert [call.text for call in ran.blocked] == ["lock x"]


def test_a_try_for_a_lock_that_is_held_spins(supervisor: Supervisor, shared: Path) -> None:
    (shared / "l").touch()

    def tries() -> None:
        file = os.open("l", os.O_RDWR)
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.25)

    ran = run(supervisor, [Forked(tries), Forked(tries)], in_order(0, 1, 0, 1, 1, 1))
    steps = [(step.call.agent, step.call.text, step.call.spins, step.result) for step in ran.trace[2:6]]
    assert steps == [
        (0, "try to lock l", False, None),
        (1, "try to lock l", True, -11),
        (1, "sleep 0.25 s", True, 0),
        (1, "try to lock l", True, -11),
    ]


def test_polling_without_an_end_is_a_livelock(shared: Path, refusal: str | None) -> None:
    if refusal is not None:
        pytest.skip(refusal)

    def polls(seconds: float) -> None:
        while not os.path.exists("never"):
            select.select([os.pipe()[0]] if seconds > 0.01 else [], [], [], seconds)

    with Supervisor(shared, idle_max=50) as supervisor:
        for seconds, steps in ((0.01, 50), (0.02, 99)):  # a sleep is a step, a wait for a descriptor is none
            ran = run(supervisor, [Forked(partial(polls, seconds))])
            assert (ran.ending, ran.statuses) == ("cut", (-signal.SIGKILL,))
            assert [(finding.kind, finding.text) for finding in ran.findings] == [
                ("livelock", f"{steps} steps one after another have changed no file")
            ]


def _reads_one_file() -> None:
    for _ in range(100):
        Path("f0").read_text()


def _reads_many_files() -> None:
    for number in range(60):
        time.sleep(0.01)
        Path(f"f{number}").read_text()


@pytest.mark.parametrize("reads", [_reads_one_file, _reads_many_files])
def test_who_reads_much_is_not_said_to_poll(shared: Path, refusal: str | None, reads: Callable[[], None]) -> None:
    if refusal is not None:
        pytest.skip(refusal)
    for number in range(60):
        (shared / f"f{number}").touch()
    with Supervisor(shared, idle_max=100) as supervisor:
        ran = run(supervisor, [Forked(reads), Forked(reads)])
    assert (ran.ending, ran.statuses, ran.findings) == ("done", (0, 0), ())
    assert len(ran.trace) > 400


def test_a_bound_on_the_steps_is_no_livelock(shared: Path, refusal: str | None) -> None:
    if refusal is not None:
        pytest.skip(refusal)
    with Supervisor(shared, steps_max=20) as supervisor:
        ran = run(supervisor, [Program(["bash", "-c", "while :; do echo >> f; done"])])
    assert (ran.ending, len(ran.trace)) == ("cut", 20)
    assert [(finding.kind, finding.text) for finding in ran.findings] == [("endless", "no end after 20 file syscalls")]


def test_computing_without_an_end_is_found(shared: Path, refusal: str | None) -> None:
    if refusal is not None:
        pytest.skip(refusal)

    def computes() -> None:
        while True:
            pass

    with Supervisor(shared, stuck_s=0.5) as supervisor:
        # The first is over before the second begins, whose listener has the same number then.
        ran = run(supervisor, [Forked(lambda: None), Forked(computes)])
    assert (ran.ending, [finding.kind for finding in ran.findings]) == ("stuck", ["stuck"])


def test_a_file_that_is_readable_to_more_for_a_step_is_a_finding(supervisor: Supervisor, shared: Path) -> None:
    (shared / "secret").write_text("1")
    (shared / "secret").chmod(0o600)

    def replaces(mode: int) -> Callable[[], None]:
        def replace() -> None:
            os.umask(0)
            file = os.open("temp", os.O_CREAT | os.O_WRONLY, mode)
            os.write(file, b"2")
            os.fchmod(file, 0o600)
            os.rename("temp", "secret")

        return replace

    assert run(supervisor, [Forked(replaces(0o600))]).findings == ()
    (finding,) = run(supervisor, [Forked(replaces(0o640))]).findings
    assert (finding.kind, finding.text) == (
        "readable",
        "secret was readable to its group, who could not read it before",
    )
    (finding,) = run(supervisor, [Forked(lambda: os.chmod("secret", 0o604))]).findings
    assert finding.text == "secret was readable to everybody, who could not read it before"


def test_children_threads_and_pipelines_are_scheduled_too(supervisor: Supervisor, shared: Path) -> None:
    def family() -> None:
        subprocess.run(["touch", "by-subprocess"], check=True)  # vfork, or posix_spawn
        pid = os.fork()
        if pid == 0:
            Path("by-fork").touch()
            os._exit(0)
        os.waitpid(pid, 0)
        threads = [threading.Thread(target=Path(f"by-thread-{number}").touch) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    pipeline = Program(["bash", "-c", "touch a & cat <(echo 1 | tee b) > c; wait; (touch d; (touch e))"])
    for seed in range(3):
        ran = run(supervisor, [Forked(family), pipeline], at_random(seed))
        assert (ran.ending, ran.statuses, ran.outputs) == ("done", (0, 0), ((b"", b""), (b"", b"")))
        names = {path.name for path in shared.iterdir()}
        assert names == {"by-subprocess", "by-fork", "by-thread-0", "by-thread-1", *"abcde"}
        assert len({step.call.task for step in ran.trace if step.call.agent == 1}) >= 5
        for name in names:
            (shared / name).unlink()


def test_marks_have_the_step_and_come_from_any_language(supervisor: Supervisor, shared: Path) -> None:
    def python() -> None:
        mark("begins: é")
        Path("x").touch()
        mark("ends")

    ran = run(supervisor, [Forked(python), Program(["bash", "-c", "[[ -e '/.stress/mark/of bash' ]] || exit 3"])])
    assert ran.statuses == (0, 3)
    marks = {(mark.agent, mark.text): mark.step for mark in ran.marks}
    assert marks[0, "begins: é"] == 0
    assert marks[0, "ends"] == len([step for step in ran.trace if step.call.agent == 0])
    assert marks[1, "of bash"] == 0


def test_errors_of_agents_are_told_by_status_and_output(supervisor: Supervisor, shared: Path) -> None:
    def exits() -> None:
        sys.exit("message")

    def kills() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    agents: list[Kind] = [
        Forked(lambda: 1 // 0),
        Forked(exits),
        Forked(lambda: sys.exit(7)),
        Forked(kills),
        Program(["no-such-program"]),
    ]
    ran = run(supervisor, agents)
    assert (ran.ending, ran.statuses) == ("done", (1, 1, 7, -signal.SIGKILL, 127))
    assert ran.outputs[0][1].endswith(b"ZeroDivisionError: integer division or modulo by zero\n")
    assert ran.outputs[1][1] == b"message\n"


def test_a_warm_worker_is_replaced_when_it_ends(supervisor: Supervisor, shared: Path) -> None:
    def ends(number: int) -> None:
        print(number, os.getpid())
        Path("x").touch()
        if number == 1:
            os._exit(3)
        if number == 2:
            raise ValueError

    agents = [Warm(ends)]
    statuses: list[int | None] = []
    for number in range(4):
        ran = run(supervisor, agents, number=number)
        statuses += ran.statuses
        assert number == 1 or ran.outputs[0][0].split()[0] == str(number).encode()
    assert statuses == [0, 3, 1, 0]


def test_a_scheduler_may_abandon_an_execution(supervisor: Supervisor, shared: Path) -> None:
    def choose(enabled: object, trace: object) -> int:
        raise Abandoned

    scheduler = Choose(choose)
    with pytest.raises(Abandoned):
        run(supervisor, [Forked(Path("x").touch), BASH], scheduler)
    assert scheduler.ended == ((), ())
    assert [*shared.iterdir()] == []


def test_a_refusal_says_what_would_allow_it(supervisor: Supervisor) -> None:
    """A real one: a process that has a listener cannot have another."""

    def nested() -> None:
        with pytest.raises(Denied, match=r"not available .*: these processes have a listener already"):
            require()

    ran = run(supervisor, [Forked(nested)])
    assert (ran.statuses, ran.outputs) == ((0,), ((b"", b""),))


def test_an_answer_in_the_kernels_place_plugs_in(supervisor: Supervisor, shared: Path) -> None:
    def full(index: int, call: Call) -> int | None:
        return -28 if call.name == "write" else None

    ran = supervisor.run([Program(["bash", "-c", "echo 1 > x"])], in_order(), disturb=full)
    assert b"No space left on device" in ran.outputs[0][1]
    assert (shared / "x").read_bytes() == b""
    assert [step.result for step in ran.trace if step.call.name == "write"] == [-28]
