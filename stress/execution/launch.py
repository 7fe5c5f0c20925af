"""The tool's side of the supervisor: start it, ask how far it is, stop it, and learn why it failed."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import multiprocess

from stress.execution.barrier import StartBarrier
from stress.execution.progress import Phase
from stress.execution.run_spec import RunSpec, explain
from stress.execution.supervisor import supervise
from stress.history.events import Started, Stopped
from stress.history.run_directory import RunDirectory
from stress.host import process_tree
from stress.host.interrupts import interrupts

_DESCRIPTORS, _DESCRIPTORS_EACH = 256, 8
"""Open files that a run needs whoever works, and for each worker: of a Bash worker the supervisor has two pipes and two
files of its journal, and the tool follows it.
"""
_FORK = multiprocess.get_context("fork")


class Supervised:
    """A run under way."""

    def __init__(self, run_spec: RunSpec, barrier: StartBarrier, process: multiprocess.Process) -> None:
        self._run_spec = run_spec
        self._barrier = barrier
        self._process = process

    def alive(self, wait_s: float) -> bool:
        """Whether the run goes on; waits for its end for so long."""
        self._process.join(wait_s)
        if process_tree.state_of(self._process.pid) == "T":
            # Nobody drives Bash workers, and no fault is lifted, while it stands still: what is seen then is our own.
            self._barrier.interrupt(signal.SIGSTOP)
            os.kill(self._process.pid, signal.SIGCONT)  # our own child, not yet reaped
        return bool(self._process.is_alive())

    def interruption(self) -> str:
        """Why the run ended early, where somebody sent the supervisor a signal; empty if nobody did."""
        number = self._barrier.signalled
        return f"{signal.Signals(number).name} was sent to the supervisor, PID {self._process.pid}" if number else ""

    def stop(self) -> None:
        """Have the workers finish what they do, and no more."""
        self._barrier.stop()

    def elapsed_s(self) -> float:
        """Seconds since the barrier was opened; 0 before."""
        began = self._barrier.began
        end = min(time.monotonic_ns(), self._barrier.ends or (1 << 62))
        return max(0.0, (end - began) / 1e9) if began else 0.0

    def phase(self) -> Phase:
        """Where it is."""
        if not self._barrier.began:
            return Phase.STARTING
        return Phase.STOPPING if self._barrier.stopped else Phase.RUNNING

    def cpu_s(self) -> float:
        """CPU seconds of the supervisor itself, when it has ended."""
        return sum(event.cpu_s for event in self._run_spec.place.run.events() if isinstance(event, Stopped))

    def failure(self) -> str:
        """Why the supervisor did not come to its end, in a line; empty if it did."""
        if self._process.exitcode == 0:
            return ""
        if self._barrier.broken:
            return f"the workers could not go on: {self._barrier.why}"
        status = self._process.exitcode
        if status is not None and status < 0:
            name = signal.Signals(-status).name
            why = "; out of memory, perhaps" if -status == signal.SIGKILL else ""
            return f"the supervisor was ended by {name}, which nobody here had sent{why}: nothing was judged"
        words = self._run_spec.place.run.supervisor_errors
        return f"the supervisor ended before its time (exit status {status}); its words are in {words}"


@contextmanager
def launch(run_spec: RunSpec) -> Iterator[Supervised]:
    """Start a supervisor for ``run_spec``; whatever happens in the block, none of its workers outlives it."""
    process_tree.reap_children()
    barrier = StartBarrier()
    reading, writing = os.pipe()

    def body() -> None:
        os.close(writing)
        err = os.open(run_spec.place.run.supervisor_errors, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.dup2(err, 2)
        os.close(err)
        supervise(run_spec, barrier, reading)

    process = _FORK.Process(target=body, name="stress-supervisor")
    # If the supervisor is killed its workers die with it, and what they had started becomes ours.
    was_subreaper = process_tree.become_subreaper()
    limit = _raise_descriptors(len(run_spec.cast.workers))
    try:
        try:
            with interrupts() as signals, signals.held():
                process.start()
        except OSError as error:
            raise OSError(explain(error, run_spec)) from error
        os.close(reading)
        reading = -1
        barrier.leave_to_others()
        try:
            yield Supervised(run_spec, barrier, process)
        finally:
            os.close(writing)  # if it is still there, it takes this for our end, and cleans up
            writing = -1
            process.join()
            if process.exitcode != 0:
                _end_orphans(run_spec.place.run)
    finally:
        for fd in (reading, writing):
            if fd >= 0:
                os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        process_tree.become_subreaper(was_subreaper)
        barrier.close()


def _raise_descriptors(workers: int) -> tuple[int, int]:
    """Raise the limit of open files to what so many workers need, as far as it may be; returns what it was."""
    soft, hard = limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS + workers * _DESCRIPTORS_EACH
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return limit


def _end_orphans(run: RunDirectory) -> None:
    """End what is left of a run whose supervisor did not come to its end."""
    leaders = {event.pid for event in run.events() if isinstance(event, Started)}
    for leader in leaders:
        process_tree.end_remains(leader)
    process_tree.end_orphans(set(), os.fsencode(f"{run.path}:"))
