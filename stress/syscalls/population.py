"""All processes and threads under the supervisor: who they are, who runs, and when all of them stand still."""

from __future__ import annotations

import bisect
import os
import select
import signal
import time
from collections.abc import Callable, Iterator

from stress.syscalls import listener, tasks
from stress.syscalls.agents import Agent
from stress.syscalls.tables import Machine
from stress.syscalls.tasks import Process, State, Task
from stress.syscalls.waits import Wait

_CLONE_THREAD = 0x10000
_WAIT_MS, _WAIT_MS_MAX = 1, 50
_YIELDS_MAX = 4
_TURNS = 1_000
_END_S_MAX = 10.0
_POLLIN, _RUNNING = select.POLLIN, State.RUNNING  # looked up once


class Stuck(Exception):
    """A task neither makes a syscall, nor blocks, nor ends."""


class Population:
    """The tasks of all agents, and the listeners through which they speak.

    Args:
        decide: Called for each syscall that a listener reports, with the task that makes it. It lets the task go on,
            answers it, or parks it.
        linger: Called now and then with a task that computes, and makes no syscall.
        ended: Called when an agent or a task is gone.
        stuck_s: Bound on the real time in which a task must come to a syscall.

    Attributes:
        tasks: All that live, by real thread id.
        owners: The agent of each process and thread that was there in this execution, by its real id and by its
            virtual one.
    """

    def __init__(
        self,
        machine: Machine,
        decide: Callable[[Task], None],
        linger: Callable[[Task], None],
        ended: Callable[[], None],
        stuck_s: float,
    ) -> None:
        self.tasks: dict[int, Task] = {}
        self.owners: dict[int, int] = {}
        self._machine, self._decide, self._linger, self._ended = machine, decide, linger, ended
        self._watched, self._stuck_s = machine.watched, stuck_s
        self._poll = select.poll()
        self._agents: dict[int, Agent] = {}
        self._of: dict[Agent, list[Task]] = {}
        self._waiting: set[Task] = set()
        self._awaited: set[Task] = set()
        self._blocked: set[Task] = set()
        self._resumed = False

    def of(self, agent: Agent) -> list[Task]:
        """The tasks of an agent, by their place in its tree."""
        return self._of.get(agent, [])

    def parked(self) -> Iterator[Task]:
        """The tasks that are at a scheduling point."""
        return (task for task in self.tasks.values() if task.state is State.PARKED)

    def waiting(self) -> list[Task]:
        """The tasks in a wait with a timeout, by their agent and their place in its tree."""
        if not self._waiting:
            return []
        waiting = [task for task in self._waiting if task.state is State.WAITING]
        return sorted(waiting, key=lambda task: (task.agent, task.path))

    @property
    def has_waiting(self) -> bool:
        """Whether `waiting` may have one."""
        return bool(self._waiting)

    @property
    def agents(self) -> list[Agent]:
        """Those that have processes."""
        return [*self._agents.values()]

    # An agent comes and goes

    def begin(self) -> None:
        """A new execution: those that are gone have never been."""
        self.owners.clear()
        for task in self.tasks.values():
            self._own(task)

    def add(self, agent: Agent, *, is_template: bool) -> None:
        """Take in an agent that has just been started."""
        self._agents[agent.listener] = agent
        self._of[agent] = []
        self._poll.register(agent.listener, select.POLLIN)
        path = (-1,) if is_template else ()  # what it starts is the first of the tree
        self._add(Task(agent.root, Process(agent.root, agent, path, None, is_template=is_template), path))

    def end(self, agent: Agent) -> None:
        """Kill an agent's processes, which all descend from this one, and wait until they are gone."""
        if self._agents.get(agent.listener) is not agent:  # it is over; another may have its descriptor's number now
            return
        deadline = time.monotonic() + _END_S_MAX
        poll = select.poll()
        poll.register(agent.listener, select.POLLIN)
        known = {task.process.pid for task in self.of(agent)} | {agent.root}
        while True:
            for pid in [*known]:
                known.update(child for tid in tasks.threads(pid) for child in tasks.children(pid, tid))
            for pid in known:
                _kill(pid)
            ((_, event),) = poll.poll(_WAIT_MS_MAX) or ((0, 0),)
            if event & select.POLLIN:
                message = listener.receive(agent.listener)
                if message is not None:
                    known.add(tasks.parents(message[1])[0])
            elif event:
                break
            elif time.monotonic() > deadline:
                raise RuntimeError(f"processes {sorted(known)} could not be ended within {_END_S_MAX:g} s")
            agent.reap(wait=False)
        self._over(agent, known)

    def _over(self, agent: Agent, known: set[int] | None = None) -> None:
        """All processes of an agent have ended, or are about to."""
        known = (known or set()) | {task.process.pid for task in self.of(agent)}
        own = [*self.of(agent)]
        for task in own:  # before anybody asks what they are about to do
            task.state, task.point, task.wait = State.EXITING, None, None
        for task in own:
            self._drop(task)
        del self._of[agent]
        agent.reap(wait=True)
        _reap_all(known - {agent.root})
        for pid in agent.unreaped:  # their parents are gone now
            _reap(pid)
        self._poll.unregister(agent.listener)
        del self._agents[agent.listener]
        agent.is_done = True
        os.close(agent.listener)
        self._ended()

    # Standing still

    def settle(self) -> None:
        """Wait until every task is parked, blocked in the kernel, or dead.

        No notification is pending, and no blocked task ran between two looks with an empty poll in between.

        Raises:
            Stuck: A task is not there within the bound.
        """
        deadline, wait, quiet, yields = 0.0, _WAIT_MS, 0, 0
        turns, limit = 0, 0.0
        while self._awaited or (self._blocked and quiet < 2):
            turns += 1
            if turns % _TURNS == 0:  # of what is not scheduled there may be no end
                limit = limit or time.monotonic() + self._stuck_s
                if time.monotonic() > limit:
                    raise Stuck(self._excuse("nothing but syscalls elsewhere"))
            if self._resumed:  # the usual case: the task that was let go on comes back by itself
                self._resumed = False
                if self.receive(_WAIT_MS):
                    quiet = 0
                    continue
            if self.receive(0):
                quiet, wait, yields = 0, _WAIT_MS, 0
                continue
            quiet += 1
            for task in [*self._awaited, *self._blocked]:
                self._look(task)
            if self._awaited:
                quiet = 0
                if yields < _YIELDS_MAX:  # it may be about to block, which nobody reports
                    yields += 1
                    os.sched_yield()
                    continue
                if self.receive(wait):
                    wait = _WAIT_MS
                    continue
                deadline = deadline or time.monotonic() + self._stuck_s
                if time.monotonic() > deadline:
                    raise Stuck(self._excuse("no syscall, and no wait for anything,"))
                if wait < _WAIT_MS_MAX:
                    wait = min(2 * wait, _WAIT_MS_MAX)
                    continue
                for task in [*self._awaited]:
                    self._linger(task)

    def wake(self, seconds: float) -> bool:
        """Wait for what ends by itself in real time, such as the timeout of a poll. Whether it came."""
        ending = any(not own for own in self._of.values())  # its last task was seen dead, before its listener said so
        return bool(self._blocked or ending) and self.receive(int(seconds * 1_000))

    def receive(self, wait_ms: int) -> bool:
        """Handle what the listeners report, waiting for it at most ``wait_ms``. Whether there was anything."""
        events = self._poll.poll(wait_ms)
        for file, event in events:
            agent = self._agents[file]
            if not event & _POLLIN:
                self._over(agent)
                continue
            message = listener.receive(file)
            if message is not None:
                id, tid, number, args = message
                task = self.tasks.get(tid) or self._adopt(agent, tid)
                if task.spawning is not None:
                    self._find_children(task)
                agent.offer_is_known = False
                task.id, task.row, task.args = id, self._watched[number], args
                self._awaited.discard(task)
                if self._blocked:
                    self._blocked.discard(task)
                self._decide(task)
        return bool(events)

    def _look(self, task: Task) -> None:
        if task in self._blocked and tasks.is_still_blocked(task):
            return
        runs = tasks.look(task, self._machine.waits)
        if runs == -1:
            self._drop(task)
        elif self._stands_as_before(task):
            self._awaited.discard(task)
            task.state = State.PARKED if task.wait is None else State.WAITING
            task.process.agent.offer_is_known = False
        elif runs is None or task.state is State.EXITING or task.point is not None or task.wait is not None:
            self._await(task)
        elif runs == task.runs:
            self._awaited.discard(task)
            self._blocked.add(task)
            task.state = State.BLOCKED
        else:
            task.runs = runs
            self._await(task)
            if task.spawning is not None:
                self._find_children(task)

    def _stands_as_before(self, task: Task) -> bool:
        """Whether a signal was sent to it while it waited for its turn, and has not killed it: that comes later."""
        if task.state is State.EXITING or (task.point is None and task.wait is None):
            return False
        return listener.is_waiting(task.process.agent.listener, task.id) and not tasks.is_dying(task)

    def _await(self, task: Task) -> None:
        self._blocked.discard(task)
        self._awaited.add(task)

    def _excuse(self, what: str) -> str:
        agent = next(iter(self._awaited or self._blocked)).process.agent
        return f"agent {agent.index + 1}: {what} in {self._stuck_s:g} s"

    # Letting go on

    def proceed(self, task: Task, result: int = 0, flags: int = listener.CONTINUE) -> None:
        """Let the kernel do the task's syscall."""
        agent = task.process.agent
        task.state, task.point, task.call, task.until_ns = _RUNNING, None, None, None
        if task.wait is not None:
            task.wait = None
            self._waiting.discard(task)
        task.computed_s, task.lingers, task.runs = None, 0, -1
        agent.offer_is_known = False  # it may stand still without a word
        self._awaited.add(task)
        self._resumed = True
        listener.send(agent.listener, task.id, result, flags)

    def answer(self, task: Task, result: int) -> None:
        """Return ``result``, or −errno, from the task's syscall."""
        self.proceed(task, result, 0)

    def wait(self, task: Task, wait: Wait) -> None:
        """Let a task wait in virtual time."""
        task.wait, task.state = wait, State.WAITING
        self._waiting.add(task)

    def exit(self, task: Task) -> None:
        """Let a task, or all of its process, end."""
        whole = task.row is not None and task.row.name == "exit_group"
        self.proceed(task)
        for other in [*self.tasks.values()]:
            if other is task or (whole and other.process is task.process):
                other.state, other.point, other.wait = State.EXITING, None, None
                other.process.agent.offer_is_known = False
                self._await(other)

    def disturbed(self, process: Process) -> None:
        """A signal was sent to a process: its tasks may have moved, or died."""
        for task in self.tasks.values():
            if task.process is process and task.state in (State.PARKED, State.BLOCKED, State.WAITING):
                self._await(task)
                task.state = State.RUNNING
                process.agent.offer_is_known = False

    # Who is whose child

    def _add(self, task: Task) -> Task:
        self.tasks[task.tid] = task
        self._own(task)
        bisect.insort(self._of[task.process.agent], task, key=lambda task: task.path)
        self._await(task)
        return task

    def _own(self, task: Task) -> None:
        self.owners[task.tid] = self.owners[tasks.virtual_id(task.agent, task.path)] = task.agent

    def _drop(self, task: Task) -> None:
        if self.tasks.pop(task.tid, None) is not None:
            self._of[task.process.agent].remove(task)
        task.process.agent.offer_is_known = False
        self._awaited.discard(task)
        self._blocked.discard(task)
        self._waiting.discard(task)
        task.forget()
        for other in self.of(task.process.agent):
            other.runs = -1  # it may have waited for this one
            if other.state is State.HOLDS and not task.path:
                self._await(other)
                other.state = State.RUNNING
        if not any(other.process is task.process for other in self.tasks.values()):
            task.process.is_dead = True
            task.process.forget_image()
            if task.process.pid != task.process.agent.root and not _reap(task.process.pid):  # an orphan is ours to reap
                task.process.agent.unreaped.add(task.process.pid)
        self._ended()

    def renew(self, process: Process) -> None:
        """The process has a new image: of its threads one is left."""
        alive = tasks.threads(process.pid)
        for task in [task for task in self.tasks.values() if task.process is process and task.tid not in alive]:
            self._drop(task)

    def _adopt(self, agent: Agent, tid: int) -> Task:
        """A thread that speaks for the first time, before the one that started it came to its next syscall."""
        pid, parent = tasks.parents(tid)
        same = pid if pid != tid else parent
        for starter in [task for task in self.tasks.values() if task.process.pid == same and task.spawning is not None]:
            self._find_children(starter)
        task = self.tasks.get(tid)
        if task is None:
            starter = next((task for task in self.of(agent) if task.process.pid == same), self.of(agent)[0])
            task = self._spawned(starter, tid, thread=pid != tid)
        return task

    def _find_children(self, task: Task) -> None:
        """Take in what the task has started; nothing, if its clone has failed."""
        flags, task.spawning = task.spawning or 0, None
        thread = bool(flags & _CLONE_THREAD)
        found = tasks.threads(task.process.pid) if thread else tasks.children(task.process.pid, task.tid)
        for tid in found:
            if tid not in self.tasks and not tasks.is_dead(tid):
                self._spawned(task, tid, thread)

    def _spawned(self, parent: Task, tid: int, thread: bool) -> Task:
        process, path = parent.process, (*parent.path, parent.spawned)
        if process.is_template:
            self._awaited.discard(parent)
            parent.state, path = State.HOLDS, ()
        else:
            parent.spawned += 1
        if not thread:
            dial, origin = process.dial, None if process.is_template else process
            process = Process(tid, process.agent, path, origin, process.shares, process.reads_random)
            process.copied = None if dial is None else dial.image
        return self._add(Task(tid, process, path))


def _reap(pid: int, wait: bool = False) -> bool:
    """Take in the exit status of a process that is dead, or is about to be. Whether it is a child of this one."""
    try:
        return bool(os.waitpid(pid, 0 if wait else os.WNOHANG)[0])
    except ChildProcessError:
        return False


def _reap_all(pids: set[int]) -> None:
    """Take in the exit statuses of processes that are dead, or are about to be; one is ours when its parent is gone."""
    left = pids
    while reaped := {pid for pid in left if _reap(pid, wait=True)}:
        left = left - reaped


def _kill(pid: int) -> None:
    """End a process, if it descends from this one: no other is ever signalled, whatever became of its pid."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ancestor = pid
        while ancestor > 1 and ancestor != os.getpid():
            ancestor = tasks.parents(ancestor)[1]
        if ancestor == os.getpid():
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass
    finally:
        os.close(handle)
