"""Processes and threads under the supervisor, and whether one of them runs."""

from __future__ import annotations

import os
import signal
import zlib
from dataclasses import dataclass, field
from enum import Enum

from stress.syscalls.agents import Agent
from stress.syscalls.calls import Call
from stress.syscalls.clock import Dial, Image
from stress.syscalls.point import Point
from stress.syscalls.tables import Watched
from stress.syscalls.waits import Wait

PID_MAX = 4_194_304
"""The largest that Linux gives: a greater one is virtual, and never reaches a real ``kill``."""

_CLONE_VFORK = 0x4000


class State(Enum):
    """What a task is doing, as far as the supervisor knows."""

    RUNNING = "running"
    BLOCKED = "blocked"  # in the kernel: for a child, a pipe, a futex
    WAITING = "waiting"  # with a timeout, in virtual time
    PARKED = "parked"  # at a scheduling point
    IDLE = "idle"  # an agent's first process between two executions
    HOLDS = "holds"  # a template, until the process that it has started is over
    EXITING = "exiting"


@dataclass(slots=True, eq=False)
class Process:
    """A process. Its virtual pid is the same in every replay.

    Attributes:
        pid: The real one.
        path: How it descends from the agent's first process: the number of each spawn.
        shares: Whether it may have a descriptor of the shared directory, or holds a lock elsewhere.
        reads_random: Whether it has opened the kernel's random numbers.
        uuid: What it has not read yet of the kernel's file of UUIDs; None if nothing.
        dial: Its clock; None as long as that of its image is still the vDSO's, or it has made no syscall.
        copied: Of the process that it is a copy of; None if it has an image of its own.
        timers: Deadline in virtual time, interval (both ns), signal and value, by timer id.
        is_template: Whether it starts what is scheduled, and is none of it itself.
    """

    pid: int
    agent: Agent
    path: tuple[int, ...]
    parent: Process | None
    shares: bool = False
    reads_random: bool = False
    uuid: bytes | None = None
    dial: Dial | None = None
    copied: Image | None = None
    is_dead: bool = False
    timers: dict[int, Timer] = field(default_factory=dict)
    is_template: bool = False

    @property
    def virtual_pid(self) -> int:
        """What the process takes for its pid."""
        return virtual_id(self.agent.index, self.path)

    def forget_image(self) -> None:
        """It has a new image, or none."""
        self.copied = None
        if self.dial is not None:
            self.dial.close()
            self.dial = None


@dataclass(slots=True)
class Timer:
    """A timer in virtual time; times in ns, 0 is unarmed."""

    deadline_ns: int
    interval_ns: int
    signal: int
    value: int


@dataclass(slots=True, eq=False)
class Task:
    """A thread.

    Attributes:
        path: As that of a process; a thread's own number comes last.
        number: Among the tasks of its agent that came to a scheduling point; −1 before the first.
        id: Of the notification that it waits in.
        point: What it is about to do, if parked.
        until_ns: When its sleep ends, if it sleeps.
        stepped: How many steps there were after its last one.
        idle: Its steps since the last one that changed a file.
        wait: What it waits for with a timeout.
        is_free: Whether the lock that it waits for can be had; None if that has to be looked at.
        spawning: Flags of its clone whose child has not been seen yet.
        looks: How often it has looked at a clock since it last did anything else.
        draws: How many random numbers it was given.
        computed_s: CPU time that it had when it was first asked why it makes no syscall.
        lingers: How often time was let pass for it, as it computed without a syscall.
        runs: Times that it was put on a CPU, when it was last seen blocked.
        eyes: Descriptors of its ``schedstat``, ``syscall`` and ``stat`` in /proc, once it was looked at.
    """

    tid: int
    process: Process
    path: tuple[int, ...]
    state: State = State.RUNNING
    number: int = -1
    id: int = 0
    row: Watched | None = None
    args: tuple[int, ...] = ()
    point: Point | None = None
    call: Call | None = None
    until_ns: int | None = None
    stepped: int = 0
    idle: int = 0
    wait: Wait | None = None
    is_free: bool | None = None
    spawning: int | None = None
    spawned: int = 0
    looks: int = 0
    draws: int = 0
    computed_s: float | None = None
    lingers: int = 0
    runs: int = -1
    eyes: tuple[int, ...] | None = None

    @property
    def agent(self) -> int:
        """Index of its agent."""
        return self.process.agent.index

    @property
    def spins(self) -> bool:
        """Whether its call polls: a sleep, or a try for a lock that is held."""
        point = self.point
        return self.until_ns is not None or (point is not None and point.effect == "tries" and point.result is not None)

    def forget(self) -> None:
        """It is gone, or has another thread id."""
        for file in self.eyes or ():
            os.close(file)
        self.eyes = None


def virtual_id(agent: int, path: tuple[int, ...]) -> int:
    """A pid or thread id that depends on nothing but the place in the tree."""
    if not path:
        return PID_MAX + 1 + agent
    return PID_MAX + 10_000 + zlib.crc32(repr((agent, path)).encode()) % 1_000_000_000


def look(task: Task, waits: frozenset[int]) -> int | None:
    """Whether a task is blocked in the kernel: how often it ran until now; None if it runs, −1 if it is dead.

    The run count is read first, then the state, then the syscall: a task that was preempted on its way to sleep shows
    S, but no syscall that it is in. A task in one of the syscalls ``waits`` is about to wake if its child is dead.
    """
    try:
        if task.eyes is None:
            task.eyes = _eyes(f"/proc/{task.process.pid}/task/{task.tid}")
        runs = int(os.pread(task.eyes[0], 256, 0).split()[2])
        state = os.pread(task.eyes[2], 1024, 0).rpartition(b")")[2][1:2]
        if state in (b"Z", b"X"):
            return -1
        if state not in (b"S", b"D", b"T"):
            return None
        syscall = os.pread(task.eyes[1], 256, 0).split()
        if syscall[0] in (b"running", b"-1"):
            return None
        if int(syscall[0]) in waits and _has_waited_for_zombie(task, [int(word, 16) for word in syscall[1:3]]):
            return None
    except PermissionError:  # for its own user, too, where its memory is gone: it ends (proc(5))
        return -1 if is_dead(task.tid) else None
    except (FileNotFoundError, ProcessLookupError):
        return -1
    if state == b"D" and not (task.spawning is not None and task.spawning & _CLONE_VFORK):
        return None  # waits for a disk: goes on by itself
    return runs


def is_still_blocked(task: Task) -> bool:
    """Whether a task that was seen blocked has not run since, and is not about to; `look` says what else it does."""
    if task.eyes is None:
        return False
    try:
        same = int(os.pread(task.eyes[0], 256, 0).split()[2]) == task.runs
        return same and os.pread(task.eyes[1], 256, 0)[:1].isdigit()
    except OSError:
        return False


def _has_waited_for_zombie(task: Task, args: list[int]) -> bool:
    """Whether a child is dead that wait4(pid, …) or waitid(type, pid, …) waits for."""
    dead = [pid for pid in children(task.process.pid, task.tid) if _state(pid) == b"Z"]
    return bool(dead) and (args[0] in (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF) or any(pid in args for pid in dead))


def computed_s(task: Task) -> float:
    """Seconds that a thread has had a CPU."""
    try:
        return int(_read(f"/proc/{task.process.pid}/task/{task.tid}/schedstat").split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def children(pid: int, tid: int) -> list[int]:
    """Pids of the processes that a thread started."""
    try:
        return [int(child) for child in _read(f"/proc/{pid}/task/{tid}/children").split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def threads(pid: int) -> list[int]:
    """Thread ids of a process."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_dead(pid: int) -> bool:
    """Whether a process is a zombie, or gone."""
    return _state(pid) in (b"Z", b"X", b"")


def is_dying(task: Task) -> bool:
    """Whether a signal that ends it was sent to a thread: the kernel makes each such one SIGKILL for all of them."""
    try:
        fields = _status(f"/proc/{task.process.pid}/task/{task.tid}")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return bool((int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)) >> (signal.SIGKILL - 1) & 1)


def parents(tid: int) -> tuple[int, int]:
    """(process of a thread, its parent)."""
    fields = _status(f"/proc/{tid}")
    return int(fields["Tgid"]), int(fields["PPid"])


def _status(directory: str) -> dict[str, str]:
    lines = _read(f"{directory}/status").decode().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _state(pid: int) -> bytes:
    try:
        return _read(f"/proc/{pid}/stat").rpartition(b")")[2][1:2]
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _eyes(directory: str) -> tuple[int, ...]:
    opened: list[int] = []
    try:
        opened += (_open(f"{directory}/{name}") for name in ("schedstat", "syscall", "stat"))
    except OSError:
        for file in opened:
            os.close(file)
        raise
    return tuple(opened)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _read(path: str) -> bytes:
    descriptor = _open(path)
    try:
        return os.read(descriptor, 8192)
    finally:
        os.close(descriptor)
