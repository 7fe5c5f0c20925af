"""The tool's side of the supervisor: start it, ask how far it is, stop it, and learn why it failed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import multiprocess

from stress.execution.barrier import StartBarrier
from stress.execution.progress import Phase
from stress.execution.supervisor import RunSpec, supervise
from stress.history.events import EventFollower, FaultInjected, Stopped, read_events
from stress.history.record import FaultKind

__all__ = ["Supervised", "launch"]

_FORK = multiprocess.get_context("fork")


class Supervised:
    """A run under way."""

    def __init__(self, run_spec: RunSpec, barrier: StartBarrier, process: multiprocess.Process) -> None:
        self._run_spec = run_spec
        self._barrier = barrier
        self._process = process
        self._events = EventFollower(run_spec.run)
        self._kills = 0

    def alive(self, wait_s: float) -> bool:
        """Whether the run goes on; waits for its end for so long."""
        self._process.join(wait_s)
        return bool(self._process.is_alive())

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

    def kills(self) -> int:
        """How often the nemesis has killed."""
        for event in self._events.poll():
            self._kills += isinstance(event, FaultInjected) and event.kind is FaultKind.KILL
        return self._kills

    def cpu_s(self) -> float:
        """CPU seconds of the supervisor itself, when it has ended."""
        return sum(event.cpu_s for event in read_events(self._run_spec.run) if isinstance(event, Stopped))

    def failure(self) -> str:
        """Why the supervisor did not come to its end, in a line; empty if it did."""
        if self._process.exitcode == 0:
            return ""
        if self._barrier.broken:
            why = os.strerror(self._barrier.broken)
            return (
                f"the workers could not go on: {why}; the run directory is {self._run_spec.run}: make room, or --runs"
            )
        status = self._process.exitcode
        return f"the supervisor ended before its time (exit status {status}); its words are in {self.words}"

    @property
    def words(self) -> Path:
        """Where the supervisor's standard error goes."""
        return self._run_spec.run / "supervisor.err"


@contextmanager
def launch(run_spec: RunSpec) -> Iterator[Supervised]:
    """Start a supervisor for ``run_spec``; whatever happens in the block, none of its workers outlives it."""
    barrier = StartBarrier()
    reading, writing = os.pipe()

    def body() -> None:
        os.close(writing)
        err = os.open(run_spec.run / "supervisor.err", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.dup2(err, 2)
        os.close(err)
        supervise(run_spec, barrier, reading)

    process = _FORK.Process(target=body, name="stress-supervisor")
    process.start()
    os.close(reading)
    barrier.leave_to_others()
    try:
        yield Supervised(run_spec, barrier, process)
    finally:
        os.close(writing)  # if it is still there, it takes this for our end, and cleans up
        process.join()
        barrier.close()
