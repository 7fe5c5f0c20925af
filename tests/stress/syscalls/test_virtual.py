"""What programs are told instead of the truth: pids, clocks, random numbers; and that signals and timers still work."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from stress.syscalls import Forked, Kind, Program, Supervisor, tables
from stress.syscalls.clock import _LOCAL, EPOCH_NS

from .schedules import at_random, in_order, run

PID_MAX = 4_194_304


def bash(script: str) -> Program:
    return Program(["bash", "-c", script])


def output(supervisor: Supervisor, *agents: Kind) -> list[str]:
    ran = run(supervisor, agents)
    assert ran.ending == "done"
    assert [error for _, error in ran.outputs] == [b""] * len(agents)
    return [text.decode() for text, _ in ran.outputs]


def test_pids_are_virtual_and_the_same_each_time(supervisor: Supervisor) -> None:
    def python() -> None:
        print(os.getpid(), os.getppid())

    agents: list[Kind] = [bash("echo $$ $PPID; (echo $BASHPID); bash -c 'echo $$ $PPID'; :"), Forked(python)]
    first, second = output(supervisor, *agents), output(supervisor, *agents)
    assert first == second
    own, subshell, child = (line.split() for line in first[0].splitlines())
    assert own == [str(PID_MAX + 1), "1"]
    assert first[1] == f"{PID_MAX + 2} 1\n"
    assert child[1] == own[0]
    assert len({own[0], subshell[0], child[0]}) == 3
    assert all(int(pid) > PID_MAX for pid in (*subshell, *child))


def test_a_signal_reaches_the_process_with_a_virtual_pid(supervisor: Supervisor) -> None:
    script = (
        "kill -0 $$ && echo alive; trap 'echo trapped' USR1; kill -USR1 $$; bash -c 'kill -USR1 $PPID'; "
        "kill -0 4999999 2> /dev/null || echo gone; "
        "bash -c 'echo $$; exec sleep 1000' & wait -n -p x %1 2> /dev/null; kill -TERM $$"
    )
    ran = run(supervisor, [bash(script)])
    assert ran.outputs[0][0].decode().splitlines()[:4] == ["alive", "trapped", "trapped", "gone"]
    assert ran.statuses == (-signal.SIGTERM,)


def test_an_agent_signals_another_by_the_pid_that_it_wrote(supervisor: Supervisor, shared: Path) -> None:
    killer = bash("until [[ -s pid ]]; do sleep 0.1; done; kill -0 $(<pid) && kill -9 $(<pid); echo $?")
    victim = bash("echo $$ > pid; while :; do : < pid; done")
    ran = run(supervisor, [killer, victim], at_random(1))
    assert (ran.ending, ran.statuses, ran.outputs[0][0]) == ("done", (0, -signal.SIGKILL), b"0\n")


def test_the_times_of_files_are_virtual(supervisor: Supervisor, shared: Path) -> None:
    """A lock is judged by its age, which for some is what reading it makes of its time of access."""
    (shared / "f").write_text("x")
    look = "stat -c '%X %Y'"
    script = f"{look} f; cat f; sleep 5; {look} f; mkdir d; : >d/x; {look} d; touch -d @7777777777 f d; {look} f d"
    (text,) = output(supervisor, bash(script))
    start = EPOCH_NS // 10**9
    assert text.split("x") == [
        f"{start} {start}\n",
        f"{start + 5} {start}\n{start + 5} {start + 5}\n7777777777 7777777777\n7777777777 7777777777\n",
    ]


def test_a_virtual_pid_is_found_in_proc(supervisor: Supervisor) -> None:
    script = "[[ -d /proc/$$ ]] && [[ -r /proc/$$/stat ]] && readlink /proc/$$/cwd; [[ -e /proc/4999999 ]] || echo gone"
    text = output(supervisor, bash(script))[0].split()
    assert text[1:] == ["gone"]
    assert text[0].endswith("/shared")


def test_a_virtual_pid_never_reaches_a_real_kill(supervisor: Supervisor) -> None:
    (text,) = output(
        supervisor, bash("for pid in 4194400 4200000 2000000000; do kill -0 $pid 2> /dev/null; echo $?; done")
    )
    assert text.split() == ["1", "1", "1"]


def test_a_default_signal_ends_a_sleep_and_a_handled_one_interrupts_it(supervisor: Supervisor) -> None:
    def sleeps() -> None:
        signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
        time.sleep(1000)

    killer = "sleep 1; kill -{} {}; sleep 1"
    ran = run(supervisor, [Forked(sleeps), bash(killer.format("USR1", PID_MAX + 1))], in_order(1, 1))
    assert ran.outputs[0][0] == b"handled\n"
    ran = run(supervisor, [bash("sleep 1000"), bash(killer.format("TERM", PID_MAX + 1))], in_order(1, 1))
    assert (ran.ending, ran.statuses) == ("done", (-signal.SIGTERM, 0))


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [("USR1", 0, b"trapped\n"), ("CHLD", 0, b""), ("TERM", -signal.SIGTERM, b""), ("KILL", -signal.SIGKILL, b"")],
)
def test_a_signal_to_who_waits_for_its_turn_ends_it_or_comes_when_it_has_it(
    supervisor: Supervisor, shared: Path, number: str, status: int, said: bytes
) -> None:
    victim = bash("trap 'echo trapped' USR1; : > a; : > b")
    killer = bash(f": > k; kill -{number} {PID_MAX + 1}; : > l")
    ran = run(supervisor, [victim, killer], in_order(1, 1))
    assert (ran.ending, ran.statuses, ran.outputs[0][0]) == ("done", (status, 0), said)
    assert (shared / "b").exists() is (status == 0)
    sent = [(step.call.text, step.result) for step in ran.trace if step.call.name == "kill"]
    assert sent == [(f"send SIG{number} to agent 1", 0)]


def test_time_is_virtual_in_every_way_that_programs_ask_for_it(supervisor: Supervisor, shared: Path) -> None:
    (shared / "x").touch()
    began = time.monotonic()
    scripts = (
        "printf '%(%s)T ' -1; date +%s; echo $EPOCHSECONDS; sleep 100; date +%s; stat -c %Y x; touch x; stat -c %Y x",
        'perl -e \'print time, "\\n"; select undef, undef, undef, 100; print time, "\\n"\'',
    )
    start = 1_767_225_600
    for script, times in zip(scripts, ([0, 0, 0, 100, 0, 100], [0, 100]), strict=True):
        (text,) = output(supervisor, bash(script))
        assert [int(word) - start for word in text.split()] == times

    def python() -> None:
        clocks: list[Callable[[], float]] = [time.time, time.monotonic, time.perf_counter]
        clocks.append(partial(time.clock_gettime, time.CLOCK_BOOTTIME))
        first = [clock() for clock in clocks]
        time.sleep(5)
        os.stat("x")
        print([round(clock() - before) for clock, before in zip(clocks, first, strict=True)], time.process_time() < 6)

    assert output(supervisor, Forked(python)) == ["[5, 5, 5, 5] True\n"]
    assert time.monotonic() - began < 60  # 210 s of virtual time


def test_looking_at_the_clock_until_time_has_passed_ends(supervisor: Supervisor, shared: Path) -> None:
    def looks(clock: int) -> None:
        until = time.clock_gettime(clock) + 3
        while time.clock_gettime(clock) < until:
            pass

    for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME):
        assert output(supervisor, Forked(partial(looks, clock))) == [""]


def test_timers_run_out_in_virtual_time(supervisor: Supervisor, shared: Path) -> None:
    def alarm() -> None:
        signal.signal(signal.SIGALRM, lambda *_: print("alarm", round(time.monotonic() - began)))
        began = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 7)
        assert 6 < signal.getitimer(signal.ITIMER_REAL)[0] <= 7
        time.sleep(100)
        signal.alarm(9)
        signal.pause()

    waits = bash("exec 9> l; flock 9; (exec 7> l; flock -w 5 7; echo $?)")
    assert output(supervisor, Forked(alarm)) == ["alarm 7\nalarm 109\n"]
    assert output(supervisor, waits) == ["1\n"]
    assert output(supervisor, bash("timeout 2 sleep 5; echo $?; timeout 5 sleep 2; echo $?")) == ["124\n0\n"]


def test_random_numbers_are_the_same_each_time_and_differ_from_agent_to_agent(supervisor: Supervisor) -> None:
    def python() -> None:
        with open("/dev/urandom", "rb", buffering=0) as file:
            print(os.urandom(4).hex(), file.read(4).hex())

    script = "echo $SRANDOM $(mktemp -u) $(head -c 8 /dev/urandom | od -An -tx1)"
    agents: list[Kind] = [
        bash(script),
        bash(script),
        Forked(python),
        Program([sys.executable, "-IS", "-c", "print({'a', 'b', 'c'})"]),
    ]
    first, second = output(supervisor, *agents), output(supervisor, *agents)
    assert first == second
    assert first[0] != first[1]
    assert len(set(first[2].split())) == 2


def test_the_kernels_file_of_uuids_has_the_same_each_time_and_a_new_one_when_it_is_opened_anew(
    supervisor: Supervisor,
) -> None:
    def python() -> None:
        for _ in range(2):
            with open(FILE, encoding="ascii") as file:
                print(uuid.UUID(file.read(5) + file.read().rstrip("\n")), file.read() == "")

    shell = f"cat {FILE}; read -r one <{FILE}; echo $one; echo $(<{FILE})"
    first, second = (output(supervisor, bash(shell), bash(shell), Forked(python)) for _ in range(2))
    assert first == second
    found = [line.split()[0] for text in first for line in text.splitlines()]
    assert len({str(uuid.UUID(each)) for each in found}) == len(found) == 8


FILE = "/proc/sys/kernel/random/uuid"


@pytest.mark.parametrize("name", ["io_uring_setup", "clone3", "timerfd_create"])
def test_what_cannot_be_seen_is_refused(supervisor: Supervisor, name: str) -> None:
    import ctypes

    from stress.syscalls.tables import REFUSED, machine

    column = 0 if machine().seccomp == 317 else 1

    def calls() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        print(libc.syscall(REFUSED[name][column], 0, 0), ctypes.get_errno())

    assert output(supervisor, Forked(calls)) == ["-1 38\n"]


def test_who_is_within_the_stub_when_other_code_takes_its_place_goes_on_as_before() -> None:
    stub = tables.machine("x86_64").vdso["__vdso_clock_gettime"]
    assert _LOCAL[5 : len(stub)] == stub[5:] == b"\x0f\x05\xc3"  # syscall; ret


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("while [[ -e run ]]; do sleep 1; done", "sleep 0.1; sleep 0.1; rm run"),  # as rsync's three processes end
        ("exec 9>&-; until flock -n l true; do :; done", "sleep 0.1; sleep 0.1; exec 9>&-"),
        ("while [[ -e run ]]; do :; done", "sleep 0.1; rm run"),
    ],
)
def test_who_polls_gives_the_others_of_its_agent_a_turn(
    supervisor: Supervisor, shared: Path, first: str, second: str
) -> None:
    (shared / "run").touch()
    ran = run(supervisor, [bash(f"exec 9>l; flock 9; ({first}) & {second}; wait")])
    assert (ran.ending, ran.statuses) == ("done", (0,))
