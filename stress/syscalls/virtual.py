"""What the supervisor answers so that each execution is the same: pids, random numbers, clocks, timers, signals."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import struct
from collections.abc import Callable
from signal import SIGALRM
from uuid import UUID

from stress.syscalls import clock, kernel
from stress.syscalls.errors import Undecided
from stress.syscalls.tables import Machine, Watched
from stress.syscalls.tasks import PID_MAX, Process, Task, Timer, virtual_id

_SI_TIMER = -2
_SIGEV_SIGNAL = 0
_CLOCK_REALTIME_TIMER = 0
_ITIMER_ID, _FIRST_ID = -1, 1_000
_SIGINFO_BYTES = 128


class Virtual:
    """Answers the syscalls that would tell how an execution differs from another.

    Args:
        tasks: All threads that live, by real thread id.
        interrupt: Called with a process after a signal was sent to it.
    """

    def __init__(self, machine: Machine, tasks: dict[int, Task], interrupt: Callable[[Process], None]) -> None:
        self.clock = clock.Clock()
        self._tasks = tasks
        self._interrupt = interrupt
        self._timed: set[Process] = set()
        self._queue = machine.number("rt_sigqueueinfo")
        self._tgkill = machine.number("tgkill")
        self.rules: dict[str, Callable[[Task, Watched, tuple[int, ...]], int | None]] = {
            "identity": self._identity,
            "random": self._random,
            "clock": self._clock,
            "timer": self._timer,
            "kill": self._kill,
            "group": self._group,
            "pidfd": self._pidfd,
        }
        """By kind of syscall: the result to answer, or None to let the kernel do it."""

    def set_clock(self, process: Process) -> None:
        """A process is about to go on: it is told the time."""
        dial = process.dial
        if dial is not None and dial.is_local:
            dial.set(self.clock.of(process.agent.index))

    def _identity(self, task: Task, row: Watched, args: tuple[int, ...]) -> int:
        if row.name == "gettid":
            return virtual_id(task.agent, task.path)
        process = task.process if row.name == "getpid" else task.process.parent
        return 1 if process is None else process.virtual_pid

    def _random(self, task: Task, row: Watched, args: tuple[int, ...]) -> int:
        return self.store_random(task, args[0], args[1])

    def store_random(self, task: Task, address: int, length: int) -> int:
        """Give a task random numbers; how many bytes. They depend on its place in the tree, and how often it asked."""
        length = min(length, 1 << 20)
        kernel.write(task.tid, address, self._draw(task, length))
        return length

    def store_uuid(self, task: Task, address: int, length: int) -> int:
        """The same of what is left of the line in the kernel's file of UUIDs: another each time that it is opened."""
        process = task.process
        if process.uuid is None:
            process.uuid = f"{UUID(bytes=self._draw(task, 16), version=4)}\n".encode()
        told, process.uuid = process.uuid[:length], process.uuid[length:]
        kernel.write(task.tid, address, told)
        return len(told)

    def _draw(self, task: Task, length: int) -> bytes:
        task.draws += 1
        seed = repr((task.agent, task.path, task.draws)).encode()
        return hashlib.shake_128(seed).digest(length)

    def _clock(self, task: Task, row: Watched, args: tuple[int, ...]) -> int:
        task.looks += 1
        if task.process.dial is not None:
            task.process.dial.look()
        result, address, stored = clock.told(row, args, self.clock.read(task.agent, task.looks))
        if address:
            kernel.write(task.tid, address, stored)
        return result

    # Timers

    def _timer(self, task: Task, row: Watched, args: tuple[int, ...]) -> int | None:
        timers = task.process.timers
        self._timed.add(task.process)
        if row.name == "alarm":
            left = self._arm(task.process, _ITIMER_ID, args[0] * 10**9, 0)[0]
            return -(-left // 10**9)
        if row.name in ("setitimer", "getitimer"):
            if args[0] != _CLOCK_REALTIME_TIMER:
                return None
            now = self._left(timers.get(_ITIMER_ID))
            if row.name == "setitimer":
                interval, value = _microseconds(kernel.read(task.tid, args[1], 32)) if args[1] else (0, 0)
                self._arm(task.process, _ITIMER_ID, value, interval)
            old = args[2] if row.name == "setitimer" else args[1]
            if old:
                parts = (part for time in (now[1], now[0]) for part in (time // 10**9, time % 10**9 // 1_000))
                kernel.write(task.tid, old, struct.pack("<4q", *parts))
            return 0
        if row.name == "timer_create":
            return self._create(task, args)
        timer = timers.get(args[0])
        if timer is None:
            return None
        if row.name == "timer_delete":
            del timers[args[0]]
            return 0
        now, old = self._left(timer), args[3] if row.name == "timer_settime" else args[1]
        if row.name == "timer_settime":
            seconds = struct.unpack("<4q", kernel.read(task.tid, args[2], 32))
            interval, value = seconds[0] * 10**9 + seconds[1], seconds[2] * 10**9 + seconds[3]
            if value and args[1] & 1:  # TIMER_ABSTIME
                value = max(value - clock.EPOCH_NS - self.clock.now_ns, 1)
            self._arm(task.process, args[0], value, interval)
        if old:
            parts = (part for time in (now[1], now[0]) for part in divmod(time, 10**9))
            kernel.write(task.tid, old, struct.pack("<4q", *parts))
        return 0

    def _create(self, task: Task, args: tuple[int, ...]) -> int | None:
        value, number, id = 0, int(SIGALRM), _FIRST_ID + len(task.process.timers)
        if args[1]:
            value, number, notify = struct.unpack("<qii", kernel.read(task.tid, args[1], 16))
            if notify != _SIGEV_SIGNAL:
                return None
        task.process.timers[id] = Timer(0, 0, number, value)
        kernel.write(task.tid, args[2], struct.pack("<i", id))
        return 0

    def _arm(self, process: Process, id: int, value_ns: int, interval_ns: int) -> tuple[int, int]:
        timer = process.timers.setdefault(id, Timer(0, 0, int(SIGALRM), 0))
        left = self._left(timer)
        timer.deadline_ns = self.clock.now_ns + value_ns if value_ns else 0
        timer.interval_ns = interval_ns
        return left

    def _left(self, timer: Timer | None) -> tuple[int, int]:
        if timer is None or not timer.deadline_ns:
            return 0, 0
        return max(timer.deadline_ns - self.clock.now_ns, 1), timer.interval_ns

    def renew(self, process: Process) -> None:
        """An exec deletes the timers that were created, and keeps the one of alarm."""
        for id in [id for id in process.timers if id >= _FIRST_ID]:
            del process.timers[id]

    def begin(self, step_ns: int) -> None:
        """A new execution: the clock starts again, and there are no timers."""
        self.clock.now_ns, self.clock.step_ns = 0, step_ns
        self._timed.clear()

    def expire(self, until_ns: int | None = None) -> bool:
        """Let time pass until the next timer runs out, and send its signal.

        Returns:
            Whether there was one, not later than ``until_ns``.
        """
        if not self._timed:
            return False
        self._timed = {process for process in self._timed if process.timers and not process.is_dead}
        armed = [
            (timer.deadline_ns, process.agent.index, process.path, id, process)
            for process in self._timed
            for id, timer in process.timers.items()
            if timer.deadline_ns and (until_ns is None or timer.deadline_ns <= until_ns)
        ]
        if not armed:
            return False
        deadline, _, _, id, process = min(armed, key=lambda item: item[:4])
        timer = process.timers[id]
        self.clock.advance_to(deadline)
        self.set_clock(process)  # before the signal, which may find the process blocked, and let it run at once
        timer.deadline_ns = deadline + timer.interval_ns if timer.interval_ns else 0
        info = struct.pack("<iiiiiiq", timer.signal, 0, _SI_TIMER, 0, 0, 0, timer.value)
        self._queue_signal(process.pid, timer.signal, info.ljust(_SIGINFO_BYTES, b"\0"))
        self._interrupt(process)
        return True

    def _queue_signal(self, pid: int, number: int, info: bytes) -> int:
        try:
            return kernel.syscall(self._queue, pid, number, ctypes.create_string_buffer(info, _SIGINFO_BYTES))
        except OSError as error:
            return -(error.errno or errno.EINVAL)

    # Signals

    def _kill(self, task: Task, row: Watched, args: tuple[int, ...]) -> int | None:
        """Send a signal to a process under supervision; a virtual pid never reaches the kernel."""
        pid, number = kernel.signed(args[0]), signal_of(row, args)
        target = self._find(abs(pid))
        if target is None:
            return None if abs(pid) <= PID_MAX else -errno.ESRCH
        process = target.process
        self.set_clock(process)
        try:
            if row.name == "rt_sigqueueinfo":
                result = self._queue_signal(process.pid, number, _long(task.tid, args[2]))
            elif row.name in ("tgkill", "tkill"):
                thread = self._find(kernel.signed(args[1])) if row.name == "tgkill" else target
                result = -errno.ESRCH
                if thread is not None:
                    result = kernel.syscall(self._tgkill, thread.process.pid, thread.tid, number)
            else:
                os.kill(process.pid if pid > 0 else -process.pid, number)
                result = 0
        except OSError as error:
            result = -(error.errno or errno.EINVAL)
        if number and result == 0:
            group = {other.process for other in self._tasks.values() if other.process.agent is process.agent}
            for other in group if pid < 0 else {process}:
                self._interrupt(other)
        return result

    def _group(self, task: Task, row: Watched, args: tuple[int, ...]) -> int | None:
        """The group or the session of a process under supervision."""
        target = self._find(kernel.signed(args[0]))
        if target is None or not args[0]:
            return None if kernel.signed(args[0]) <= PID_MAX else -errno.ESRCH
        try:
            return (os.getpgid if row.name == "getpgid" else os.getsid)(target.process.pid)
        except OSError as error:
            return -(error.errno or errno.EINVAL)

    def _pidfd(self, task: Task, row: Watched, args: tuple[int, ...]) -> None:
        """The kernel opens what has the real pid; nobody else can give the task a descriptor of it."""
        if kernel.signed(args[0]) > PID_MAX:
            raise Undecided("opens a process by the pid that it was told (pidfd_open), which the kernel does not know")

    def real_pid(self, pid: int) -> int | None:
        """The real pid of a live process with a virtual one; None if there is none."""
        task = self._find(pid) if pid > PID_MAX else None
        return None if task is None else task.process.pid

    def _find(self, id: int) -> Task | None:
        """The thread with a real or virtual id."""
        if id <= PID_MAX:
            return self._tasks.get(id)
        return next((task for task in self._tasks.values() if virtual_id(task.agent, task.path) == id), None)


def signal_of(row: Watched, args: tuple[int, ...]) -> int:
    """The signal that a call of kill sends; 0 asks whether the process is there."""
    return kernel.signed(args[2] if row.name == "tgkill" else args[1])


def _microseconds(times: bytes) -> tuple[int, int]:
    """(interval, value) in ns of a ``struct itimerval``."""
    first = struct.unpack("<4q", times)
    return first[0] * 10**9 + first[1] * 1_000, first[2] * 10**9 + first[3] * 1_000


def _long(tid: int, address: int) -> bytes:
    return kernel.read(tid, address, _SIGINFO_BYTES)
