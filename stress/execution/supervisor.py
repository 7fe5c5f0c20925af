"""The supervisor: the parent of all workers. It starts them, drives those that speak the line protocol, lets the
nemesis at them, and sees that none outlives the run, however the run ends.

It is a process of its own, with one thread, so that a SIGKILL of the tool leaves somebody to clean up: a pipe whose
other end only the tool has tells it. What it knows goes into ``events.jsonl`` of the run directory.
"""

from __future__ import annotations

import errno
import gc
import os
import random
import selectors
import signal
import time
from collections.abc import Sequence
from typing import IO, Any

import multiprocess

from stress.execution import nemesis
from stress.execution.barrier import StartBarrier
from stress.execution.cast import WorkerSpec
from stress.execution.cpu import children_s, own_ns
from stress.execution.drivers.shell import ShellDriver, environment, start_shell
from stress.execution.interruptions import SIGNALS
from stress.execution.loop import EXIT_JOURNAL, PipeLoop
from stress.execution.metadata_watch import watch_metadata
from stress.execution.operations import OperationStream
from stress.execution.python_worker import has_handler, live, stepper_of
from stress.execution.run_spec import RunSpec, explain
from stress.execution.sweep import sweep
from stress.execution.worker import Worker
from stress.history.events import BarrierOpened, Ended, Event, FaultInjected, Reaped, Started, Stopped, event_line
from stress.history.journal import Journal
from stress.history.kinds import End, FaultKind, Language
from stress.host import process_tree
from stress.host.child import last_words, quieten
from stress.host.interrupts import make_temporary_files_in
from stress.workload import tree
from stress.workload.module import IMPORT_S
from stress.workload.scenario import Agent

STAY_S = 3.0
"""How long a process may stay when its operations are over, for a thread that the target has started."""
_POLL_S = 0.02
_IDLE_S = 0.001
"""How long to listen where a worker could go on."""
_FORK = multiprocess.get_context("fork")


def supervise(run_spec: RunSpec, barrier: StartBarrier, lifeline: int) -> None:
    """Run the workers until the barrier says stop; returns when not one process of theirs is left.

    ``lifeline``: the reading end of a pipe that only the tool holds open.
    """
    os.setsid()
    signal.signal(signal.SIGINT, lambda *_: None)  # not ignored: what is executed would inherit that, and can't trap it
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: barrier.interrupt(received))
    process_tree.reap_children()  # a target's module, too, may have changed that
    process_tree.become_subreaper()
    os.chdir(run_spec.place.directory)
    make_temporary_files_in(run_spec.place.temporary)
    with run_spec.place.run.events_file.open("a", encoding="utf-8", buffering=1) as events:
        supervisor = Supervisor(run_spec, barrier, lifeline, events)
        try:
            supervisor.run()
        except OSError as error:
            barrier.give_up(error.errno or errno.EIO, explain(error, run_spec))
            raise SystemExit(1) from None
        finally:
            supervisor.end_all()
            if supervisor.orphaned:
                for folder in (run_spec.place.directory, run_spec.place.scratch, run_spec.place.temporary):
                    tree.remove(folder)


class Supervisor:
    """State of one run: the workers there are, and what is due."""

    def __init__(self, run_spec: RunSpec, barrier: StartBarrier, lifeline: int, events: IO[str]) -> None:
        self._run_spec = run_spec
        self._cast, self._place = run_spec.cast, run_spec.place
        self._barrier = barrier
        self._lifeline = lifeline
        self._events = events
        self._selector = selectors.DefaultSelector()
        self._selector.register(lifeline, selectors.EVENT_READ)
        self._workers: dict[int, Worker] = {}
        # What a turn looks at: who replaces a killed one and is not let through; shell workers that have nothing to do.
        self._late: dict[int, Worker] = {}
        self._idle: dict[int, Worker] = {}
        self._look_s = 0.0  # when to see again who has ended
        self._next_process = 1
        self._random = random.Random(f"nemesis {self._cast.plan.seed}")
        self._nemesis = nemesis.Nemesis(self._cast.faults, self._random, self._cast.pause_s)
        self._files = self._cast.files
        self._environment = environment()
        self._rows_gone = 0
        self._cut_short = False
        self._pipes: set[int] = set()
        self.orphaned = False

    def note(self, event: Event) -> None:
        """Write one line of evidence."""
        self._events.write(event_line(event))

    def run(self) -> None:
        """Start all, open the barrier, and carry on until everybody has ended."""
        metadata = self._watch_metadata()
        self._start(self._cast.workers)
        awaited, since = list(self._workers.values()), time.monotonic()
        while awaited and not self._barrier.stopped:
            if (last := awaited[-1]).process not in self._workers or last.ready():
                awaited.pop()
            elif time.monotonic() - since > IMPORT_S:
                raise OSError(f"p{last.process} does not come to begin: where it is imported the target waits")
            else:
                self._turn()
                if process_tree.all_asleep(last.pid):
                    continue
            since = time.monotonic()
        plan = self._cast.plan
        self._barrier.open(plan.duration_s, len(self._workers))
        before_ns = own_ns()
        self.note(BarrierOpened(_now(), self._barrier.began))
        self._nemesis.begin(time.monotonic())
        for worker in list(self._workers.values()):
            self._let_through(worker)
        count_at = 0
        while self._workers and not self._barrier.stopped:
            self._turn()
            if plan.ops is not None and (now := _now()) >= count_at:
                if sum(worker.rows for worker in self._workers.values()) + self._rows_gone >= plan.ops:
                    self._barrier.stop()
                count_at = _now() + 4 * (_now() - now)  # counting takes a fifth of the time at the most
            if self._cast.faults:
                self._inject()
        self._barrier.stop()
        self.note(Stopped(_now(), self._barrier.ends, (own_ns() - before_ns) / 1e9))
        self._wind_down()
        self.note(Reaped(_now(), children_s()))
        if metadata is not None:
            metadata.join()
        if self._nemesis.count("kill") or self._nemesis.count("signal") or self._cut_short:
            sweep(self._run_spec, self.note)

    def _watch_metadata(self) -> Any:
        def body() -> None:
            self._leave()
            self._barrier.wait()
            for seen in watch_metadata(self._run_spec.watched, lambda: self._barrier.stopped):
                self.note(seen)

        process = _FORK.Process(target=body, name="stress-metadata") if self._run_spec.watched else None
        if process is not None:
            process.start()
        return process

    def _leave(self) -> None:
        """In a child that was just forked: let go of what is the supervisor's."""
        parent = os.getppid()
        os.setsid()
        process_tree.die_with_parent(parent)
        quieten()
        self._selector.close()
        for fd in (*self._pipes, self._lifeline):
            os.close(fd)
        self._barrier.leave_to_others()

    # Starting

    def _start(self, specs: Sequence[WorkerSpec]) -> None:
        """Start a worker for each of ``specs``.

        Python workers are forked first, and one right after the other: a page that is written to between two forks is
        copied for the second, and what shell workers have opened would be in each of them.
        """
        new = [self._prepared(spec) for spec in specs]
        if not self._barrier.began:
            gc.freeze()  # what there is now is not looked through, and so not copied, in each worker
        try:
            for worker in new:
                if worker.handle is not None:
                    worker.handle.start()
                    worker.pid = worker.handle.pid
                    # Else each start looks at all the others: a square of them.
                    multiprocess.process._children.discard(worker.handle)
            for worker in new:
                if worker.handle is None:
                    self._start_shell(worker)
        finally:
            for worker in new:
                if worker.pid:
                    self._enter(worker)

    def _enter(self, worker: Worker) -> None:
        """One more worker, whose process is there."""
        self._workers[worker.process] = worker
        if self._barrier.began:
            self._late[worker.process] = worker
        spec = worker.spec
        self.note(Started(_now(), worker.process, spec.worker, spec.language, spec.role, worker.pid))

    def _prepared(self, spec: WorkerSpec) -> Worker:
        """A worker that is yet to be started."""
        number = self._next_process
        self._next_process += 1 + has_handler(self._run_spec, spec)  # what its signal handler does is the next one's
        source = random.Random(f"{self._cast.plan.seed} {spec.worker} {number}")
        agent = Agent(worker=spec.worker, writers=spec.writers, source=source)
        stream = OperationStream(agent, spec.roles)
        scratch = self._place.scratch / f"p{number}"
        scratch.mkdir()
        if (user := spec.user) is not None:
            scratch.parent.chmod(0o711)
            for path in (scratch / "out", scratch / "err"):  # the driver empties them, the worker writes them
                path.touch()
            for path in (scratch, *scratch.iterdir()):
                os.chown(path, user.uid, user.gid)
        worker = Worker(spec, number, stream, scratch, self._place.run.journals / f"p{number:06}.ops")
        if spec.language is Language.PYTHON:
            worker.handle = _FORK.Process(target=self._be_python_worker, args=(worker,), name=f"stress-p{number}")
        return worker

    def _start_shell(self, worker: Worker) -> None:
        spec, scratch = worker.spec, worker.scratch
        journal = Journal(str(self._place.run.journals), worker.process, spec.worker, spec.language)
        marked = self._environment | {"STRESS_PROCESS": self._run_spec.mark(worker.process)}
        program = self._run_spec.programs[spec.language]
        worker.handle = popen = start_shell(program, self._place.directory, scratch, marked, spec.user)
        driver = ShellDriver(popen, scratch, exclusive=self._cast.target.exclusive)
        worker.shell = PipeLoop(driver, journal, stepper_of(self._run_spec, worker, driver, journal))
        self._selector.register(driver.fd, selectors.EVENT_READ, worker)
        self._pipes.update(driver.pipes())
        worker.pid = popen.pid

    def _be_python_worker(self, worker: Worker) -> None:
        self._leave()
        live(worker, self._run_spec, self._barrier)

    def _let_through(self, worker: Worker) -> None:
        worker.through = True
        if worker.shell is not None:
            worker.shell.journal.woken_ns = self._barrier.wait()
            self._next(worker, worker.shell)

    # Turning

    def _turn(self) -> bool:
        """Handle what has come in, and who has gone; waits a little where there is nothing. Whether it looked for those
        who have gone: that is once in `_POLL_S`, as it asks for each.
        """
        idle, self._idle = list(self._idle.values()), {}
        for key, _ in self._selector.select(_IDLE_S if idle else _POLL_S):
            if key.fd == self._lifeline:
                if not os.read(self._lifeline, 1):
                    self.orphaned = True
                    self._barrier.stop()
                    self.end_all()
                    raise SystemExit(0)
            elif key.data.process in self._workers:
                self._hear(key.data)
        for worker in idle:
            if worker.shell is not None and worker.process in self._workers:
                self._next(worker, worker.shell)
        for worker in list(self._late.values()):
            if worker.ready():
                del self._late[worker.process]
                self._let_through(worker)
        if time.monotonic() < self._look_s:
            return False
        for worker in list(self._workers.values()):
            if worker.shell is None and not worker.handle.is_alive():
                in_the_middle = worker.fd >= 0 and not worker.finished  # a target that calls sys.exit(0)
                self._gone(worker, End.DIED if in_the_middle or worker.handle.exitcode else End.FINISHED)
        self._look_s = time.monotonic() + _POLL_S
        return True

    def _hear(self, worker: Worker) -> None:
        shell = worker.shell
        assert shell is not None
        lines = shell.driver.lines()
        if lines is None:
            self._lost(worker, End.DIED if shell.busy or not self._barrier.stopped else End.FINISHED)
            return
        for line in lines:
            answered = shell.busy
            try:
                shell.hear(line)
            except ValueError as error:
                self._gone(worker, End.DIED, str(error))
                return
            if answered:
                self._next(worker, shell)

    def _next(self, worker: Worker, shell: PipeLoop) -> None:
        """Give a shell worker its next operation, or let it end. One that the driver does by itself is over then: the
        next comes with the next turn, as others are waiting.
        """
        try:
            if self._barrier.stopped or not shell.begin():
                self._gone(worker, End.FINISHED)
            elif not shell.busy:
                self._idle[worker.process] = worker
        except BrokenPipeError:
            self._lost(worker, End.DIED)

    def _lost(self, worker: Worker, end: End) -> None:
        """A shell worker has ended: of a signal of ours, perhaps, and then another takes its place."""
        self._gone(worker, End.KILLED if worker.interrupted else end)
        if worker.interrupted and not self._barrier.stopped:
            self._start([worker.spec])

    # Ending

    def _gone(self, worker: Worker, end: End, status: str = "") -> None:
        """See one worker off: its tree is killed, if anything of it is left, and reaped; then it is written down."""
        del self._workers[worker.process]
        self._late.pop(worker.process, None)
        if worker.shell is not None:
            self._selector.unregister(worker.shell.driver.fd)
            self._pipes.difference_update(worker.shell.driver.pipes())
            if end is End.FINISHED:
                worker.shell.driver.process.stdin.close()  # type: ignore[union-attr]
            process_tree.end_group(worker.pid, worker.handle.wait)
        elif end in (End.KILLED, End.HUNG, End.STAYED) and not worker.reaped:
            process_tree.end_group(worker.pid, worker.handle.join)
        else:
            worker.handle.join()
            process_tree.end_remains(worker.pid)
        others = {other.pid for other in self._workers.values()}
        process_tree.end_orphans(others, os.fsencode(self._run_spec.mark(worker.process)))
        reaped = time.monotonic_ns()
        code = worker.handle.exitcode if worker.shell is None else worker.handle.returncode
        if worker.shell is None and code == EXIT_JOURNAL:
            raise OSError(errno.ENOSPC, "no space left for the journal")
        self._cut_short |= end in (End.HUNG, End.STAYED)
        if end is End.STAYED:
            status = last_words(str(worker.scratch / "stderr"))
        if end is End.DIED:
            words = last_words(str(worker.scratch / "stderr"))
            status = status or f"exit status {code}" + (f": {words}" if words else "")
        self._rows_gone += worker.rows
        if worker.shell is not None:
            worker.shell.lost(reaped, f"{end} while it did this")
            worker.shell.close(finished=end is End.FINISHED)
        elif worker.fd >= 0:
            os.close(worker.fd)
        tree.remove(worker.scratch)
        self.note(Ended(_now(), worker.process, end, reaped, status))
        if worker.interrupted and worker.shell is None:
            self.note(Ended(_now(), worker.process + 1, end, reaped))

    def _wind_down(self) -> None:
        """Wait for everybody to finish what they do; who takes longer than an operation may is hung, and killed."""
        for worker in self._workers.values():
            if not worker.reaped:
                self._nemesis.lift(worker.pid)
        deadline = time.monotonic() + self._cast.plan.op_limit_s
        for worker in list(self._workers.values()):
            if worker.shell is not None and not worker.shell.busy:
                self._gone(worker, End.FINISHED)
        finished: dict[int, float] = {}
        while self._workers and (now := time.monotonic()) < deadline:
            for worker in list(self._workers.values()) if self._turn() else ():
                if worker.finished and now - finished.setdefault(worker.process, now) > STAY_S:
                    self._gone(worker, End.STAYED)
        for worker in list(self._workers.values()):
            self._gone(worker, End.STAYED if worker.finished else End.HUNG)

    def end_all(self) -> None:
        """Kill and reap whatever is left."""
        for worker in list(self._workers.values()):
            try:
                self._gone(worker, End.KILLED)
            except OSError:
                continue  # the disk is full: the process is gone, and only writing it down failed
        self._selector.close()  # where no file can be opened any more, there is room for one: to find who is left
        process_tree.end_orphans(set())

    # The nemesis

    def _inject(self) -> None:
        now = time.monotonic()
        if not self._nemesis.is_due(now):
            return
        pids = [worker.pid for worker in self._workers.values() if worker.through]
        for fault in self._nemesis.due(now, pids, self._stop_inside):
            if fault.kind == "clean":
                began = _now()
                nemesis.clean(self._place.directory, self._run_spec.belongs)
                self.note(FaultInjected(began, FaultKind.CLEAN, 0, (_now() - began) / 1e9))
                continue
            worker = next(worker for worker in self._workers.values() if worker.pid == fault.pid)
            if worker.reaped:
                continue
            if fault.kind == "kill":
                self._gone(worker, End.KILLED)
                self._start([worker.spec])
            elif fault.kind == "signal":
                self._interrupt(worker)
            elif fault.kind in self._cast.nemeses:
                files, place = tuple(self._files), self._place.directory
                victim = nemesis.Victim(worker.process, worker.pid, place, files, self._random)
                nemesis.strike(fault.kind, self._cast.nemeses[fault.kind], victim)
            else:
                self._nemesis.apply(fault)
            kind = fault.kind if fault.kind in self._cast.nemeses else FaultKind(fault.kind)
            self.note(FaultInjected(_now(), kind, worker.process, fault.lasts_s))

    def _stop_inside(self, pids: Sequence[int]) -> int | None:
        """Stop one of ``pids`` in an update that has read and not yet written, and so has a lock if there is one."""
        those = frozenset(pids)
        workers = [worker for worker in self._workers.values() if worker.pid in those]
        self._random.shuffle(workers)
        for worker in workers:
            if row := worker.row_with_parent:
                process_tree.stop_group(worker.pid)
                if worker.row_with_parent == row:
                    return worker.pid
                os.killpg(worker.pid, signal.SIGCONT)  # it was faster
        return None

    def _interrupt(self, worker: Worker) -> None:
        """Send a signal into what a worker does; see `stress.execution.interruptions`."""
        if worker.shell is not None:
            worker.interrupted = True
            os.killpg(worker.pid, signal.SIGINT)
            return
        if not worker.interrupted:
            worker.interrupted = True
            spec, within = worker.spec, worker.process
            self.note(Started(_now(), within + 1, spec.worker, spec.language, spec.role, worker.pid, within))
        os.kill(worker.pid, self._random.choice(SIGNALS))


def _now() -> int:
    return time.monotonic_ns()
