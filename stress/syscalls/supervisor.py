"""The supervisor: one execution after another of a few process trees, a file syscall at a time.

A scheduler picks an agent, and the agent's first task that can go on does its call. The supervisor then waits until
every task is parked at its next scheduling point, blocked in the kernel, or dead (*settles*), and asks again. So what
a step does is over before the next one begins.

Not scheduled: loads and stores of mapped files, a directory's own size, the times of the shared directory itself, when
an inode was last changed (ctime, which nobody can set: it is the real one), and what processes of one agent do to each
other at the same time outside the shared directory, such as the order in which two background jobs write to one pipe.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from stress.host.interrupts import interrupts
from stress.host.process_tree import become_subreaper
from stress.syscalls import agents, listener, locks
from stress.syscalls.agents import Agent, Kind, Warm
from stress.syscalls.calls import Access, Call, Scheduler, Step
from stress.syscalls.clock import EPOCH_NS, PACES_NS
from stress.syscalls.errors import Denied, Undecided
from stress.syscalls.intake import OF_PROCESSES, Intake
from stress.syscalls.modes import Modes
from stress.syscalls.names import Names
from stress.syscalls.point import Point
from stress.syscalls.population import Stuck
from stress.syscalls.ran import Disturb, Finding, Mark, Ran
from stress.syscalls.starving import starving
from stress.syscalls.tables import Watched, machine
from stress.syscalls.tasks import Process, State, Task

_ERESTARTSYS, _ERESTARTNOHAND = 512, 514
_LATE_S_MAX = 1.0
_TICK_NS = 10_000_000
_IDLE_MAX = 100
"""Steps of a task one after another that change no file: with more it is taken to wait for another of its agent."""
_TIMES_MIN = 10
"""So often has each call of those who poll come, on the average."""


class Supervisor:
    """Runs agents over a shared directory. A context manager: at its end all its processes are gone.

    Args:
        shared: The directory. A call is a scheduling point if it has a path or a descriptor below it.
        cpu: The CPU that this process and its agents run on meanwhile; None for any. Pinned is several times as fast.
        steps_max: Bound on the steps of an execution.
        idle_max: Bound on the steps one after another that change no file, where somebody polls: more is a livelock.
        stuck_s: Bound on the real time that a task may compute between two syscalls.

    Raises:
        Denied: There is no /proc.
    """

    def __init__(
        self,
        shared: str | Path,
        *,
        cpu: int | None = None,
        steps_max: int = 10_000,
        idle_max: int = 2_000,
        stuck_s: float = 20.0,
    ) -> None:
        if not os.path.exists("/proc/self/fd"):
            raise Denied("there is no /proc here, by which processes are looked at", "mount -t proc proc /proc")
        self._machine = machine()
        self._filter = listener.program(self._machine)
        self._names = Names(Path(shared))
        self._modes = Modes(self._names)
        self._intake = Intake(
            self._machine,
            self._names,
            speaks=self._look,
            marked=self._marked,
            ended=self._ended,
            interrupt=self._interrupt,
            stuck_s=stuck_s,
        )
        self._population, self._virtual = self._intake.population, self._intake.virtual
        self._decoder, self._holders = self._intake.decoder, self._intake.holders
        self._steps_max, self._idle_max = steps_max, idle_max
        self._agents: list[Agent] = []
        self._known: list[tuple[Task, Call] | None] = []
        self._kept: dict[int, Agent] = {}
        self._trace: list[Step] = []
        self._marks: list[Mark] = []
        self._findings: list[Finding] = []
        self._interrupted: list[tuple[int, Call]] = []
        self._unseen: Point | None = None
        self._began_ns = 0
        self._affinity = os.sched_getaffinity(0)
        self._was_subreaper = become_subreaper()
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, and run on the CPUs of before; a second Ctrl-C waits for that."""
        with interrupts() as signals, signals.held():
            for agent in self._population.agents:
                self._end(agent)
            self._kept.clear()
            os.sched_setaffinity(0, self._affinity)
            become_subreaper(self._was_subreaper)

    def run(
        self, kinds: Sequence[Kind], scheduler: Scheduler, *, number: int = 0, disturb: Disturb | None = None
    ) -> Ran:
        """Execute the agents once, from the shared directory as it is, in the order that the scheduler picks.

        Args:
            number: What warm functions are called with.
            disturb: Where faults plug in.

        Raises:
            Denied: The kernel or the container does not allow it.
            Abandoned: The scheduler wants no more of it; the processes are gone.
        """
        ending: str | None = None
        idle = pauses = 0
        try:
            self._begin(kinds, number, scheduler.source.draw(len(PACES_NS)))
            while ending is None:
                offers = self._offers() or self._probed()
                if not offers:
                    ending, pauses = self._pause(), pauses + 1
                    if ending is None:
                        self._settle()
                elif len(self._trace) >= self._steps_max:
                    ending = "cut"
                    self._find("endless", f"no end after {len(self._trace)} file syscalls")
                else:
                    task, call = offers[scheduler.pick([call for _, call in offers], self._trace)]
                    idle = 0 if self._step(task, call, disturb) else idle + 1
                    pauses = pauses if idle else 0
                if ending is None and (pauses >= self._idle_max or self._polls(idle, pauses)):
                    ending = "cut"
                    self._find("livelock", f"{idle + pauses} steps one after another have changed no file")
        except (Stuck, Undecided) as error:
            ending = "stuck"
            self._find("stuck" if isinstance(error, Stuck) else "undecided", str(error))
        finally:
            with interrupts() as signals, signals.held():
                blocked = tuple(self._call(task) for task in self._waiting())
                outputs = tuple(agent.output() for agent in self._agents)
                left = [agent.index for agent in self._agents if not agent.is_done or self._goes_on(agent)]
                self._clean()
            scheduler.end(self._trace, blocked)
        self._judge(ending, blocked, left)
        return Ran(
            tuple(self._trace),
            ending,
            tuple(agent.status for agent in self._agents),
            outputs,
            tuple(self._marks),
            tuple(self._findings),
            blocked,
            tuple(self._interrupted),
        )

    @property
    def marks(self) -> Sequence[Mark]:
        """The messages of the agents in the execution that goes on, until now."""
        return self._marks

    # Beginning and end

    def _begin(self, kinds: Sequence[Kind], number: int, pace: int) -> None:
        self._agents, self._trace, self._marks, self._findings, self._interrupted = [], [], [], [], []
        self._modes.begin(self._names.begin(EPOCH_NS))
        self._began_ns = time.time_ns() - _TICK_NS  # the kernel's own clock of files is a tick behind
        self._holders.begin()
        self._population.begin()
        self._decoder.begin()
        self._virtual.begin(PACES_NS[pace])
        self._known = [None] * len(kinds)
        for index, kind in enumerate(kinds):  # each alone until its first step, so that they come to it in one order
            agent = self._kept.pop(index, None)
            if agent is not None and not (agent.kind is kind and self._is_in_place(agent)):
                self._end(agent)
                agent = None
            agent = agent or self._start(index, kind)
            self._agents.append(agent)
            self._wake(agent, number)
            self._settle()

    def _is_in_place(self, agent: Agent) -> bool:
        """Whether its working directory is still where it started, and not one that was removed."""
        try:
            return os.readlink(f"/proc/{agent.root}/cwd") == agent.directory
        except OSError:
            return False

    def _start(self, index: int, kind: Kind) -> Agent:
        ours = [file for agent in self._population.agents for file in (agent.listener, *agent.outputs)]
        with interrupts() as signals, signals.held():
            agent = agents.start(index, kind, self._names.root, self._machine, self._filter, ours)
            self._population.add(agent, is_template=not isinstance(kind, Warm))
        while not agent.is_done:
            self._population.receive(1_000)
            for task in self._population.of(agent):  # Python itself may lie in the shared directory
                if task.state is State.PARKED and task.row is not None:
                    self._intake.proceed(task, task.row)
        if agent.root not in self._population.tasks:
            said = agent.output()[1].decode(errors="replace").strip() or f"exit status {agent.status}"
            agent.close()
            raise Denied(f"what starts an agent's processes has ended: {said}", f"see whether {sys.executable} starts")
        return agent

    def _wake(self, agent: Agent, number: int) -> None:
        """Let an agent do what it does once more, as if it were new."""
        agent.rewind()
        agent.is_done, agent.status, agent.numbered = False, None, 0
        agent.unreaped.clear()
        task = self._population.tasks[agent.root]
        task.number, task.spawned, task.looks, task.draws, task.idle = -1, 0, 0, 0, 0
        self._virtual.set_clock(task.process)
        self._population.answer(task, number)

    def _clean(self) -> None:
        """End what is left of the agents. One whose first process waits for the next execution stays."""
        for agent in self._agents:
            own = self._population.of(agent)
            if len(own) == 1 and own[0].state is State.IDLE:
                self._kept[agent.index] = agent
            else:
                self._end(agent)

    def _end(self, agent: Agent) -> None:
        self._population.end(agent)
        agent.close()

    def _polls(self, idle: int, pauses: int) -> bool:
        """Whether the last steps came again and again, and time was let pass: who reads much comes to an end."""
        if not idle or idle % self._idle_max:
            return False
        last = self._trace[-self._idle_max :]
        different = {(step.call.agent, step.call.text) for step in last}
        return len(different) * _TIMES_MIN <= len(last) and (pauses > 0 or any(step.call.spins for step in last))

    def _find(self, kind: str, text: str) -> None:
        self._findings.append(Finding(kind, len(self._trace), text))

    def _judge(self, ending: str | None, blocked: Sequence[Call], left: Sequence[int]) -> None:
        if ending == "deadlock":
            waits = {call.agent: f"agent {call.agent + 1} waits to {call.text}" for call in blocked}
            others = "waits for ever, and not for a lock"
            self._find("deadlock", "; ".join(waits.get(index, f"agent {index + 1} {others}") for index in left))
        if (starves := starving(self._trace, blocked)) is not None:
            self._find("starvation", starves)

    # What can be done next

    def _offers(self) -> list[tuple[Task, Call]]:
        """The next task of each agent that has one, with its call."""
        known = self._known
        for agent in self._agents:
            if not agent.offer_is_known:
                known[agent.index] = self._offer(agent)
                agent.offer_is_known = True
        return [offer for offer in known if offer is not None]

    def _offer(self, agent: Agent) -> tuple[Task, Call] | None:
        """Its first task that can go on. Those that poll come last, else what they poll for might never come."""
        polling: list[tuple[Task, Call]] = []
        waiting: list[Task] = []
        for task in self._population.of(agent):
            if task.state is not State.PARKED:
                continue
            if task.number < 0:
                task.number, agent.numbered = agent.numbered, agent.numbered + 1
            point = task.point
            if point is not None and point.lock is not None and point.lock.waits:
                if task.is_free is None:
                    task.is_free = locks.is_free(point.lock)
                if not task.is_free:
                    waiting.append(task)
                    continue
            call = task.call or self._call(task)
            if not call.spins and task.idle < _IDLE_MAX:
                return task, self._with(call, waiting) if waiting else call
            polling.append((task, call))
        if not polling:
            return None
        task, call = _next_of(polling)
        return task, self._with(call, waiting) if waiting else call

    def _call(self, task: Task) -> Call:
        """The call that a task is about to do."""
        if task.call is None:
            point = task.point
            assert point is not None
            assert task.row is not None
            task.call = Call(
                task.agent, task.number, task.row.name, point.text, point.accesses, task.spins, point.effect
            )
        return task.call

    def _with(self, call: Call, before: Sequence[Task]) -> Call:
        """A call, that it is offered also depends on the locks of tasks ``before`` it."""
        waits = (Access(a.what, False) for task in before if task.point for a in task.point.accesses)
        return Call(call.agent, call.task, call.name, call.text, (*call.accesses, *waits), call.spins, call.lock)

    def _waiting(self) -> list[Task]:
        return [task for agent in self._agents for task in self._population.of(agent) if task.is_free is False]

    def _probed(self) -> list[tuple[Task, Call]]:
        """The offers after all locks were looked at again: a descriptor may have been closed unseen."""
        self._ended()
        return self._offers()

    def _pause(self) -> str | None:
        """Nothing can be done: let a timer run out, or wait for what ends by itself. How the execution ended, if so."""
        if all(agent.is_done and not self._goes_on(agent) for agent in self._agents):
            return "done"
        if self._intake.expire() or self._population.wake(_LATE_S_MAX):
            return None
        return "deadlock"

    def _goes_on(self, agent: Agent) -> bool:
        """Whether what it has started outlives it, and is waited for."""
        return not isinstance(agent.kind, Warm) and len(self._population.of(agent)) > 1

    def _settle(self) -> None:
        """Until all stand still, and no wait is over."""
        population = self._population
        population.settle()
        while population.has_waiting and self._intake.release():
            population.settle()

    # A step

    def _step(self, task: Task, call: Call, disturb: Disturb | None) -> bool:
        """Let a task do its call, and see what has changed when all stand still again. Whether it may change a file."""
        point, row = task.point, task.row
        assert point is not None
        assert row is not None
        result, answer = point.result, point.answer
        replaced = None if disturb is None else disturb(len(self._trace), call)
        if replaced is not None:
            result = answer = replaced
        elif point.effect and result is None:
            self._holders.do(task, point)
        clock = self._virtual.clock
        clock.now_ns += clock.step_ns
        self._trace.append(Step(len(self._trace), call, result))
        if replaced is None and row.verb in OF_PROCESSES:
            result = answer = self._virtual.rules[row.verb](task, row, task.args)
            self._trace[-1].result = result
        task.stepped, task.idle = len(self._trace), 0 if point.changes else task.idle + 1
        if task.until_ns is not None:
            until_ns = task.until_ns
            while self._intake.expire(until_ns):
                self._settle()
                if task.state is not State.PARKED or task.until_ns != until_ns:  # the timer was for this task
                    return False
            clock.advance_to(until_ns)
        self._virtual.set_clock(task.process)
        if point.looks:
            self._tell_times(point.looks)
        if point.changes and replaced is None:
            self._unseen, self._intake.stepping = point, task
            if point.changes_entry:
                self._names.forget_paths()
        if answer is not None:
            self._population.answer(task, answer)
        else:
            self._intake.proceed(task, row)
        self._settle()
        if self._unseen is not None:
            self._look()
        if point.disturbs and replaced is None:
            self._refresh(point)
        return point.changes

    def _marked(self, task: Task, text: str) -> None:
        self._marks.append(Mark(len(self._trace), task.agent, text))

    def _look(self) -> None:
        """Names, times and modes of what the last step has created or changed, before anybody asks for them.

        It can be seen as soon as the step's task makes its next syscall.
        """
        point, task = self._unseen, self._intake.stepping
        self._unseen = self._intake.stepping = None
        assert point is not None
        assert task is not None
        if point.changes_entry:
            self._names.forget_paths()
        path = point.creates or point.writes
        if path:
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                return  # it failed, or the file has no name any more
            if point.creates:
                self._names.create(task.agent, status)
            if point.creates or ("inode", self._names.id(status)) in point.touches:
                now = self._virtual.clock.realtime_ns
                os.utime(path, ns=(now, now), follow_symlinks=False)
        text = self._modes.look(point.shows) if point.shows else None
        if text:
            self._find("readable", text)

    def _tell_times(self, path: str) -> None:
        """A process is about to see the times of a file: what the kernel has set by the real clock, such as when it was
        last read, becomes the virtual time.
        """
        try:
            status = os.lstat(path)
        except OSError:
            return
        now, real = self._virtual.clock.realtime_ns, range(self._began_ns, time.time_ns() + 1)
        times = [now if each in real else each for each in (status.st_atime_ns, status.st_mtime_ns)]
        if times != [status.st_atime_ns, status.st_mtime_ns]:
            os.utime(path, ns=(times[0], times[1]), follow_symlinks=False)

    def _refresh(self, done: Point) -> None:
        """Decode again what other tasks are about to do, where the step has changed what that means."""
        for task in self._population.parked():
            point, row = task.point, task.row
            if point is None or row is None or point.touches.isdisjoint(done.disturbs):
                continue
            task.call, task.is_free, task.process.agent.offer_is_known = None, None, False
            if row.verb not in ("close", "exit"):
                self._decode_again(task, row)

    def _ended(self) -> None:
        """A process is gone: perhaps with locks."""
        self._holders.forget_dead()
        for task in self._population.parked():
            if task.point is not None and task.point.lock is not None and task.row is not None:
                task.call, task.is_free, task.process.agent.offer_is_known = None, None, False
                self._decode_again(task, task.row)

    def _decode_again(self, task: Task, row: Watched) -> None:
        try:
            task.point = self._decoder.point(task.process.pid, row, task.args) or task.point
        except OSError:  # it was killed meanwhile, and does nothing any more
            pass

    def _interrupt(self, process: Process) -> None:
        """A signal was sent to a process: it ends its sleeps, and its waits for locks."""
        stopped = [*self._population.parked(), *self._population.waiting()]
        stopped = [task for task in stopped if task.process is process]
        self._population.disturbed(process)
        self._virtual.set_clock(process)
        for task in stopped:
            if task.wait is not None and task.wait.result is None:
                self._population.proceed(task)  # with the call's own signal mask
            elif task.wait is not None or task.until_ns is not None:
                self._population.answer(task, -_ERESTARTNOHAND)
            elif task.is_free is False:
                self._interrupted.append((len(self._trace), self._call(task)))
                self._population.answer(task, -_ERESTARTSYS)


def _next_of(polling: Sequence[tuple[Task, Call]]) -> tuple[Task, Call]:
    """Whose turn it is of an agent's tasks that poll: who waits for it longest; of sleepers, who wakes first."""
    asleep = [(task.until_ns, number) for number, (task, _) in enumerate(polling) if task.until_ns is not None]
    first = {min(asleep)[1]} if asleep else set()
    turns = [offer for number, offer in enumerate(polling) if number in first or offer[0].until_ns is None]
    return min(turns, key=lambda offer: offer[0].stepped)
