"""What becomes of each syscall that is reported: it goes on, is answered, or is parked as a scheduling point."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

from stress.syscalls import kernel, listener, tasks
from stress.syscalls.clock import Dial, sleeps_until
from stress.syscalls.decoding import RANDOM, UUID, Decoder, Marked, is_of_descriptor
from stress.syscalls.errors import Denied, Undecided
from stress.syscalls.holders import Holders
from stress.syscalls.names import Names
from stress.syscalls.point import Point, of_process
from stress.syscalls.population import Population
from stress.syscalls.tables import Machine, Watched
from stress.syscalls.tasks import Process, State, Task
from stress.syscalls.virtual import Virtual, signal_of
from stress.syscalls.waits import Wait, Waits, is_wait

_LINGERS_S, _MILLISECOND_NS = 0.2, 1_000_000
_CLONE_VFORK = 0x4000
_PARKED = State.PARKED  # looked up once

OF_PROCESSES = frozenset({"kill", "group"})
"""Kinds of syscalls that are points where they are about a process of another agent: `Virtual` does them, then."""


class Intake:
    """Takes in the syscalls of a population.

    Args:
        speaks: Called first when the task that is `stepping` makes a syscall: what it did before is over.
        marked: Called with a task and its message.
        ended: Called when a process is gone.
        interrupt: Called with a process after a signal was sent to it.
        stuck_s: Bound on the real time that a task may compute between two syscalls.
    """

    def __init__(
        self,
        machine: Machine,
        names: Names,
        *,
        speaks: Callable[[], None],
        marked: Callable[[Task, str], None],
        ended: Callable[[], None],
        interrupt: Callable[[Process], None],
        stuck_s: float,
    ) -> None:
        self.population = Population(machine, self._decide, self._linger, ended, stuck_s)
        self.virtual = Virtual(machine, self.population.tasks, interrupt)
        self.decoder = Decoder(names, self.virtual.real_pid, self.population.owners)
        self.holders = Holders(self.population.of)
        self._waits = Waits(machine)
        self.stepping: Task | None = None
        """Who does a step whose effects have not been looked at."""
        self._machine, self._names, self._speaks, self._marked = machine, names, speaks, marked

    def proceed(self, task: Task, row: Watched) -> None:
        """Let the kernel do a syscall, and remember what that means for the task."""
        if not row.is_special:
            pass
        elif row.verb == "exec":
            task.process.forget_image()
        elif row.verb == "spawn":
            task.spawning = task.args[0] if row.name == "clone" else _CLONE_VFORK if row.name == "vfork" else 0
        elif row.verb == "exit":
            self.population.exit(task)
            return
        self.population.proceed(task)

    def _decide(self, task: Task) -> None:
        """Let a syscall that was notified go on at once, answer it, or park its task."""
        row, process = task.row, task.process
        assert row is not None
        if self.stepping is task:
            self._speaks()
        result: int | None = None
        what: Point | Wait | None = None
        try:
            if process.dial is None:
                self._renew(task)
            elif not process.shares and self._is_elsewhere(task, row):
                task.looks = 0
                self.virtual.set_clock(process)
                self.population.proceed(task)
                return
            if row.verb == "fcntl" and task.args[1] & 0xFFFFFFFF == listener.NEXT:
                agent = process.agent
                task.state, agent.is_done = State.IDLE, True
                agent.status = os.waitstatus_to_exitcode(task.args[2] & 0xFFFF)
                return
            result, what = self._meaning(task, row)
        except PermissionError as error:
            raise Denied(
                f"the memory of another process cannot be read or written ({error.strerror})",
                "allow ptrace; for Docker: --cap-add SYS_PTRACE; else kernel.yama.ptrace_scope = 1 or 0",
            ) from None
        except OSError:  # the task was killed meanwhile, or gave a bad address, which is the kernel's to say
            pass
        except Undecided as error:
            raise Undecided(f"agent {task.agent + 1} {error}") from None
        except Marked as mark:
            self._marked(task, str(mark))
            result = -errno.ENOENT
        if isinstance(what, Point):
            task.point, task.call, task.is_free, task.state = what, None, None, _PARKED
        elif what is not None:
            self.population.wait(task, what)
        else:
            self.virtual.set_clock(process)
            if result is not None:
                self.population.answer(task, result)
            else:
                self.proceed(task, row)

    def _meaning(self, task: Task, row: Watched) -> tuple[int | None, Point | Wait | None]:
        """What to answer, or what the task waits for; neither: the syscall may go on."""
        if row.verb in OF_PROCESSES and (point := self._about_another(task, row)) is not None:
            return None, point
        process, rule = task.process, self.virtual.rules.get(row.verb)
        if rule is not None:
            result = rule(task, row, task.args)
        else:
            task.looks = 0
            result = self._random(task) if process.reads_random and row.name == "read" else None
        if result is not None:
            return result, None
        if not row.is_special:
            return None, self.decoder.point(process.pid, row, task.args)
        if is_wait(row, task.args):
            return None, self._waits.of(task.tid, process.pid, row, task.args, self.virtual.clock.now_ns)
        return None, self._point(task, row)

    def _about_another(self, task: Task, row: Watched) -> Point | None:
        """The point of a call of kill, or the like, that is about a process of another agent; None for an own one."""
        owner = self.population.owners.get(abs(kernel.signed(task.args[0])))
        if owner is None or owner == task.agent:
            return None
        number = signal_of(row, task.args) if row.verb == "kill" else 0
        return of_process(owner, sent=_name_of(number) if number else "")

    def _is_elsewhere(self, task: Task, row: Watched) -> bool:
        """Whether a syscall of a process that has no descriptor of the shared directory needs no second look."""
        if row.needs_descriptor:
            return not task.process.reads_random or row.name != "read"
        return is_of_descriptor(row, task.args)

    def release(self) -> bool:
        """End the first wait for which its event has come, or its time. Whether there was one."""
        for task in self.population.waiting():
            wait = task.wait
            assert wait is not None
            came = wait.is_over()
            if not came and wait.until_ns > self.virtual.clock.now_ns:
                continue
            self.virtual.set_clock(task.process)
            result = wait.result if came else wait.give_up(task.tid)
            if result is None:
                self.population.proceed(task)
            else:
                self.population.answer(task, result)
            return True
        return False

    def expire(self, until_ns: int | None = None) -> bool:
        """Let time pass until the next timer or timeout runs out.

        Returns:
            Whether there was one, not later than ``until_ns``.
        """
        ends = [task.wait.until_ns for task in self.population.waiting() if task.wait is not None]
        first_ns = min((end for end in ends if until_ns is None or end <= until_ns), default=None)
        if self.virtual.expire(until_ns if first_ns is None else first_ns):
            return True
        if first_ns is None:
            return False
        self.virtual.clock.advance_to(first_ns)
        return self.release()

    def _renew(self, task: Task) -> None:
        """A new image has the vDSO's clocks, one thread, and no timers that were created; a new process has that of
        another.
        """
        process = task.process
        process.dial = Dial(task.tid, self._machine, process.copied)
        self._names.forget(process.pid)
        if process.copied is None:
            process.shares = process.shares and (self._names.are_open(process.pid) or self.holders.has(process))
            self.population.renew(process)
            self.virtual.renew(process)

    def _linger(self, task: Task) -> None:
        """A task computes for long: perhaps it looks at the clock until time has passed. So time passes."""
        now_s = tasks.computed_s(task)
        if task.computed_s is None:
            task.computed_s = now_s
        elif now_s > task.computed_s + _LINGERS_S * (1 + task.lingers / 10):
            self.virtual.clock.now_ns += _MILLISECOND_NS << min(task.lingers, 20)
            task.lingers += 1
            self.virtual.set_clock(task.process)
            self.release()

    def _random(self, task: Task) -> int | None:
        """The virtual result of a read from the kernel's random numbers; None if it reads something else."""
        link = f"/proc/{task.process.pid}/fd/{task.args[0] & 0xFFFFFFFF}"
        path = os.readlink(link)
        if path == UUID:
            return self.virtual.store_uuid(task, *task.args[1:3])
        return self.virtual.store_random(task, *task.args[1:3]) if path in RANDOM else None

    def _point(self, task: Task, row: Watched) -> Point | None:
        """The scheduling point of a syscall that is special; None if it may go on at once."""
        process, args = task.process, task.args
        if row.verb == "sleep":
            now = self.virtual.clock.now_ns
            task.until_ns = sleeps_until(task.tid, row, args, now)
            if task.until_ns is None:
                return None
            return Point(f"sleep {max(task.until_ns - now, 0) / 1e9:.4g} s", result=0, answer=0)
        if row.verb == "close":
            if row.name == "close_range":
                self._names.forget(process.pid)
            else:
                self._names.closed(process.pid, args[row.descriptor] & 0xFFFFFFFF)
            return self.holders.release(task)
        if row.verb == "exit":
            return self.holders.release(task)
        point = self.decoder.point(process.pid, row, args)
        if row.verb == "exec":
            return self.holders.release(task) or point
        if row.verb in ("open", "create"):
            if self.decoder.is_inside and not process.shares:
                process.shares = True
                self._names.forget(process.pid)  # what it closed until now was not looked at
            if self.decoder.opens_random:
                process.reads_random, process.uuid, self.decoder.opens_random = True, None, False
        return point


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"
