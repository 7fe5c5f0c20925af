"""An exception at every event of the helpers' own code: nothing is left locked, open, half-done or believed.

A signal handler that raises (Ctrl-C, an alarm, the timeout of a test) gets its turn between two bytecodes. A trace
function can raise at each of these places, and at more: at every line, at every call and return of a Python function,
and after every call of a C function. It does so at the k-th, for all k.

The long form of the alarms at random moments: ``ATOMICOPS_ALARMS_S=6`` seconds for each helper.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import atomicops
from tests.atomicops.alarms import interrupts
from tests.atomicops.both import LONG

HERE = os.path.dirname(atomicops.__file__)
ALARMS_S = float(os.environ.get("ATOMICOPS_ALARMS_S", "0.15"))
CALLS_MAX = 1_000_000
"""A machine may stand still for longer than these seconds; that not one alarm comes in time in so many calls is no luck."""
OLD, NEW = b'{"n": 1}\n', b'{"n": 2}\n'


class Interrupted(BaseException):
    pass


def grouped() -> None:
    with atomicops.file_lock("s.json", 1):
        pass


kept = [atomicops.file_lock("s.json", 1)]


def grouped_by_a_kept_lock() -> None:
    with kept[0]:
        pass


def nested() -> None:
    with atomicops.file_lock("s.json", 1), atomicops.file_lock("s.json", 1):
        atomicops.update_json("s.json", lambda data: {"n": 2}, durability="none", timeout=1)


def rescued() -> None:
    os.rename("torn", "s.json")
    atomicops.recover("s.json", durability="none", timeout=1)


HELPERS: dict[str, Callable[[], object]] = {
    "write bytes": lambda: atomicops.atomic_write_bytes(NEW, "s.json", durability="none", timeout=1),
    "write json": lambda: atomicops.atomic_write_json({"n": 2}, "s.json", durability="none", timeout=1),
    "make": lambda: atomicops.atomic_write_bytes(NEW, "new/s.json", durability="none", timeout=1),
    "update": lambda: atomicops.update_json("s.json", lambda data: {"n": 2}, durability="none", timeout=1),
    "append": lambda: atomicops.atomic_append_text("one more line\n", "s.log", durability="none", timeout=1),
    "append in place": lambda: atomicops.atomic_append_text(
        "one more line\n", "s.log", in_place=True, durability="none", timeout=1
    ),
    "backup": lambda: atomicops.create_backup("s.json", durability="none", timeout=1),
    "prune": lambda: atomicops.prune_backups("s.json", 0, timeout=1),
    "recover": rescued,
    "sweep": lambda: atomicops.sweep_orphans("."),
    "read": lambda: atomicops.read_json("s.json"),
    "safe read": lambda: atomicops.safe_read_json("s.json"),
    "file_lock": grouped,
    "file_lock kept": grouped_by_a_kept_lock,
    "file_lock nested": nested,
}


@pytest.fixture(autouse=True)
def folder() -> Iterator[None]:
    """A working directory in memory, where there is one: thousands of files are replaced."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        os.chdir(name)
        try:
            yield
        finally:
            os.chdir(before)


def lay_out() -> None:
    """In the working directory: a document, its backup, a log, and an orphan of a killed writer."""
    for name in os.listdir("."):
        if os.path.isfile(name):
            os.unlink(name)
    for name, content in (("s.json", OLD), ("s.json.1700000000.bak", OLD), ("s.log", b"a line\n"), ("torn", b"{torn")):
        with open(name, "wb") as file:
            file.write(content)
    for name in (".s.json.lock", ".s.log.lock", f".s.json.{'0' * 32}.atomicops-tmp"):
        open(name, "wb").close()


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def faults(before: set[str]) -> list[str]:
    """What is not as it should be after an exception."""
    found = []
    for lock in (".s.json.lock", ".s.log.lock", "new/.s.json.lock"):
        if os.path.exists(lock):
            other = os.open(lock, os.O_RDWR)
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(f"{lock} stays locked")
            else:  # another has the lock: this thread must not believe that it has
                target = lock.replace(".s.", "s.").removesuffix(".lock")
                try:
                    atomicops.atomic_append_text(" ", target, timeout=0, durability="none")
                    found.append(f"{target} changed without its lock")
                except atomicops.LockTimeout:
                    pass
            os.close(other)
    if len(left := descriptors()) > len(before):
        found.append(f"{len(left) - len(before)} descriptors are left")
    for folder in (".", "new"):
        names = os.listdir(folder) if os.path.isdir(folder) else []
        found += [f"{name} is left" for name in names if name.endswith("-tmp") and "0" * 32 not in name]
    for name, valid in (("s.json", (OLD, NEW, b"{torn")), ("s.log", (b"a line\n", b"a line\none more line\n"))):
        if Path(name).read_bytes() not in valid:
            found.append(f"{name} holds {Path(name).read_bytes()!r}")
    for backup in Path(".").glob("s.json.*.bak"):
        if backup.read_bytes() != OLD:
            found.append(f"{backup} holds {backup.read_bytes()!r}")
    try:  # and life goes on
        atomicops.update_json("s.json", lambda data: {"n": 2}, timeout=1, durability="none")
    except atomicops.CorruptFile:
        pass
    atomicops.atomic_append_text("", "s.log", timeout=1, in_place=True, durability="none")
    return found


def raise_at(place: int, call: Callable[[], object], *, lines: bool) -> bool:
    """Whether there was a ``place``-th event in the helpers' code during the call; it was interrupted there."""
    seen = 0

    def count(frame: FrameType, event: str, _: object) -> Any:
        nonlocal seen
        if event == "return" and frame.f_code.co_name == "__enter__":
            return count  # nothing but a trace function comes in there, when all is done
        if frame.f_code.co_filename.startswith(HERE) and event != "c_call":
            seen += 1
            if seen == place:
                sys.settrace(None)
                sys.setprofile(None)
                raise Interrupted
        return count

    (sys.settrace if lines else sys.setprofile)(count)
    try:
        call()
    except Interrupted:
        pass
    finally:
        sys.settrace(None)
        sys.setprofile(None)
    return seen >= place


STRIDES = {"file_lock nested": 3}
"""Not each of its thousand lines is tried without ``ATOMICOPS_TEST_LONG=1``."""


@pytest.mark.parametrize("lines", [True, False], ids=["lines, calls and returns", "calls of C functions"])
@pytest.mark.parametrize("helper", HELPERS)
def test_an_exception_at_every_event(helper: str, lines: bool) -> None:
    with ThreadPoolExecutor(1) as thread:  # file_lock looks all down the stack: that of pytest has many lines
        places, bad = thread.submit(at_every_event, helper, lines).result()
    assert places > 20
    assert not bad, f"{len(bad)} of {places} places: {bad}"


def at_every_event(helper: str, lines: bool) -> tuple[int, dict[int, list[str]]]:
    """How many events there were, and at which of them an exception left what."""
    if helper == "file_lock kept":
        kept[0] = atomicops.file_lock("s.json", 1)
    call = HELPERS[helper]
    lay_out()
    call()  # modules that are imported on demand are no part of it
    bad: dict[int, list[str]] = {}
    gc.collect()
    place = 0
    while True:
        place += 1 if LONG or not lines else STRIDES.get(helper, 1)
        lay_out()
        before = descriptors()
        if not raise_at(place, call, lines=lines):
            break
        if found := faults(before):
            bad[place] = found
            if helper == "file_lock kept":
                kept[0] = atomicops.file_lock("s.json", 1)
    return place - 1, bad


def alarms(call: Callable[[], object], seconds: float) -> tuple[int, int, list[str]]:
    """How often it was called and how often interrupted, and what was wrong afterwards."""
    lay_out()
    call()  # an interrupted import leaves a file open; that is not ours
    calls = interrupted = 0
    bad: list[str] = []
    ends = time.monotonic() + seconds
    while (time.monotonic() < ends or not interrupted) and calls < CALLS_MAX and len(bad) < 5:
        lay_out()
        before = descriptors()
        calls += 1
        if interrupts(call, random.uniform(1e-6, 4e-4), Interrupted):
            interrupted += 1
            bad += faults(before)
    return calls, interrupted, bad


@pytest.mark.parametrize("helper", HELPERS)
def test_alarms_at_random_moments(helper: str) -> None:
    calls, interrupted, bad = alarms(HELPERS[helper], ALARMS_S)
    print(f"{helper}: {calls} calls, {interrupted} interrupted, {len(bad)} faults")
    assert interrupted
    assert not bad


def test_what_a_handler_acknowledges_is_there() -> None:
    """Handlers that update and append, and interrupt the same: refused or kept, never acknowledged and lost."""
    lay_out()
    acknowledged = {"work": 0, "handler": 0, "lines": 0}
    refused = 0

    def change(key: str) -> Callable[[dict[str, int]], dict[str, int]]:
        return lambda data: {**data, key: data.get(key, 0) + 1}

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal refused
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # once; it is no longer the one installed
        try:
            atomicops.update_json("s.json", change("handler"), durability="none", timeout=1)
            acknowledged["handler"] += 1
            atomicops.atomic_append_text("line\n", "s.log", durability="none", timeout=1)
            acknowledged["lines"] += 1
        except RuntimeError:
            refused += 1

    def step(number: int) -> None:
        if number % 3 == 0:
            atomicops.update_json("s.json", change("work"), durability="none", timeout=1)
        elif number % 3 == 1:
            with atomicops.file_lock("s.json", 1):
                data = json.loads(Path("s.json").read_text())
                atomicops.atomic_write_json(change("work")(data), "s.json", durability="none", timeout=1)
        else:
            atomicops.atomic_append_text("line\n", "s.log", in_place=number % 2 == 0, durability="none", timeout=1)
            acknowledged["lines"] += 1
            return
        acknowledged["work"] += 1

    ends = time.monotonic() + 4 * ALARMS_S
    number = 0
    while (time.monotonic() < ends or not (refused and acknowledged["handler"])) and number < CALLS_MAX:
        old = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 4e-4))
            step(number)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            time.sleep(0)  # an alarm that is told late, as alarms.py says, is told while this handler is installed
            signal.signal(signal.SIGALRM, old)
        number += 1
    data = json.loads(Path("s.json").read_text())
    lines = Path("s.log").read_text().count("line\n") - 1
    print(f"acknowledged {acknowledged}, refused {refused}")
    assert refused
    assert acknowledged["handler"]
    assert (data["work"], data["handler"], lines) == tuple(acknowledged.values())
