"""Waits with a timeout, in virtual time: they end when it is time, or when what they wait for has come."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from stress.syscalls import Forked, Program, Supervisor

from .schedules import at_random, in_order, run


def after(seconds: float, act: Callable[[], object]) -> threading.Thread:
    """A thread that sleeps, then acts."""

    def acts() -> None:
        time.sleep(seconds)
        act()

    thread = threading.Thread(target=acts)
    thread.start()
    return thread


def lock(seconds: float | None) -> object:
    held = threading.Lock()
    held.acquire()
    if seconds is not None:
        after(seconds, held.release)
    return held.acquire(timeout=5)


def event(seconds: float | None) -> object:
    happened = threading.Event()
    if seconds is not None:
        after(seconds, happened.set)
    return happened.wait(5)


def thread_exit(seconds: float | None) -> object:
    thread = after(1000 if seconds is None else seconds, int)
    thread.join(5)
    return not thread.is_alive()


def shared_semaphore(seconds: float | None) -> object:
    """Of another process; its deadline is one of CLOCK_REALTIME."""
    semaphore = multiprocessing.get_context("fork").Semaphore(0)
    if os.fork() == 0:
        time.sleep(1000 if seconds is None else seconds)
        semaphore.release()
        os._exit(0)
    return semaphore.acquire(timeout=5)


def descriptors(wait: Callable[[int], object], seconds: float | None) -> object:
    reading, writing = os.pipe()
    if seconds is not None:
        after(seconds, partial(os.write, writing, b"x"))
    return wait(reading)


def by_select(file: int) -> object:
    return select.select([file], [], [], 5)[0] == [file]


def by_poll(file: int) -> object:
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return poll.poll(5000) == [(file, select.POLLIN)]


def by_epoll(file: int) -> object:
    with select.epoll() as poll:
        poll.register(file, select.EPOLLIN)
        return poll.poll(5) == [(file, select.EPOLLIN)]


WAITS: dict[str, Callable[[float | None], object]] = {
    "lock": lock,
    "event": event,
    "thread exit": thread_exit,
    "semaphore of another process": shared_semaphore,
    "select": partial(descriptors, by_select),
    "poll": partial(descriptors, by_poll),
    "epoll": partial(descriptors, by_epoll),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_ends_in_time_or_when_what_it_waits_for_has_come(supervisor: Supervisor, name: str) -> None:
    def waits() -> None:
        for seconds in (2, None):
            began = time.monotonic()
            came = WAITS[name](seconds)
            print(came, round(time.monotonic() - began))
        os._exit(print(end="", flush=True) or 0)

    began = time.monotonic()
    ran = run(supervisor, [Forked(waits)])
    assert (ran.ending, ran.outputs) == ("done", ((b"True 2\nFalse 5\n", b""),))
    assert time.monotonic() - began < 60  # a thousand seconds of virtual time, at most


def test_another_agents_sleep_lets_a_timeout_run_out(supervisor: Supervisor) -> None:
    def waits() -> None:
        print(lock(None), round(time.monotonic() - began))

    began = 1000
    ran = run(supervisor, [Forked(waits), Program(["sleep", "3"]), Program(["sleep", "100"])], in_order(1, 2))
    assert (ran.ending, ran.outputs[0][0]) == ("done", b"False 5\n")


def test_a_signal_is_handled_within_a_wait_which_goes_on(supervisor: Supervisor) -> None:
    def waits(wait: Callable[[], object]) -> None:
        signal.signal(signal.SIGALRM, lambda *_: print("alarm", round(time.monotonic() - began)))
        began = time.monotonic()
        signal.alarm(3)
        wait()
        print("end", round(time.monotonic() - began))

    for wait in (partial(lock, None), partial(descriptors, by_select, None)):
        ran = run(supervisor, [Forked(partial(waits, wait))])
        assert ran.outputs == ((b"alarm 3\nend 5\n", b""),)


def test_a_process_is_killed_in_a_wait(supervisor: Supervisor, shared: Path) -> None:
    def waits() -> None:
        Path("pid").write_text(str(os.getpid()))
        lock(None)

    killer = Program(["bash", "-c", "until [[ -s pid ]]; do sleep 0.1; done; kill -9 $(<pid)"])
    ran = run(supervisor, [Forked(waits), killer])
    assert (ran.ending, ran.statuses) == ("done", (-signal.SIGKILL, 0))


def test_threads_that_compute_hand_the_interpreter_to_each_other(supervisor: Supervisor) -> None:
    """Each waits for it with a timeout of 5 ms."""

    def computes() -> None:
        done = threading.Event()
        thread = threading.Thread(target=done.set)
        thread.start()
        while not done.is_set():
            pass

    assert run(supervisor, [Forked(computes)]).ending == "done"


def test_a_thread_that_stands_still_without_another_syscall_is_not_asked_again(
    supervisor: Supervisor, shared: Path
) -> None:
    def waits() -> None:
        held = threading.Lock()
        held.acquire()
        after(0, held.release)
        os.stat("x")
        held.acquire()  # in the kernel: no timeout

    (shared / "x").touch()
    assert run(supervisor, [Forked(waits), Forked(waits)], at_random(3)).ending == "done"


def test_waiting_again_and_again_for_nothing_is_a_livelock(supervisor: Supervisor) -> None:
    def waits() -> None:
        while not lock(None):
            pass

    ran = run(supervisor, [Forked(waits)])
    assert (ran.ending, ran.findings[0].kind) == ("cut", "livelock")


def test_threads_and_timeouts_are_the_same_in_each_replay(supervisor: Supervisor, shared: Path) -> None:
    def works(agent: int) -> None:
        turn = threading.Semaphore(0)

        def appends(name: int) -> None:
            turn.acquire(timeout=1 + name)
            with open("log", "a", encoding="ascii") as file:
                file.write(f"{agent}.{name}\n")
            turn.release()

        threads = [threading.Thread(target=appends, args=(name,)) for name in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    for seed in range(5):
        traces = set()
        for _ in range(3):
            (shared / "log").unlink(missing_ok=True)
            ran = run(supervisor, [Forked(partial(works, 0)), Forked(partial(works, 1))], at_random(seed))
            assert ran.outputs == ((b"", b""),) * 2
            traces.add((ran.trace, (shared / "log").read_bytes()))
        assert len(traces) == 1
