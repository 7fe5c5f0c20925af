"""The tool's side of the supervisor: start it, ask how far it is, stop it, and learn why it failed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import multiprocess

from stress.execution.barrier import Gate
from stress.execution.supervisor import Orders, supervise
from stress.history.run_directory import read_events

__all__ = ["Supervised", "launch"]

_FORK = multiprocess.get_context("fork")


class Supervised:
    """A run under way."""

    def __init__(self, orders: Orders, gate: Gate, process: multiprocess.Process) -> None:
        self._orders = orders
        self._gate = gate
        self._process = process

    def alive(self, wait_s: float) -> bool:
        """Whether the run goes on; waits for its end for so long."""
        self._process.join(wait_s)
        return bool(self._process.is_alive())

    def stop(self) -> None:
        """Have the workers finish what they do, and no more."""
        self._gate.stop()

    def elapsed_s(self) -> float:
        """Seconds since the gate was opened; 0 before."""
        began = self._gate.began
        end = min(time.monotonic_ns(), self._gate.ends or (1 << 62))
        return max(0.0, (end - began) / 1e9) if began else 0.0

    def phase(self) -> str:
        """``starting``, ``running`` or ``stopping``."""
        if not self._gate.began:
            return "starting"
        return "stopping" if self._gate.stopped else "running"

    def kills(self) -> int:
        """How often the nemesis has killed."""
        return sum(event["event"] == "kill" for event in read_events(self._orders.run))

    def cpu_s(self) -> float:
        """CPU seconds of the supervisor itself, when it has ended."""
        return float(sum(event.get("cpu_s", 0.0) for event in read_events(self._orders.run)))

    def failure(self) -> str:
        """Why the supervisor did not come to its end, in a line; empty if it did."""
        if self._process.exitcode == 0:
            return ""
        if self._gate.broken:
            why = os.strerror(self._gate.broken)
            return f"the workers could not go on: {why}; the run directory is {self._orders.run}: make room, or --runs"
        status = self._process.exitcode
        return f"the supervisor ended before its time (exit status {status}); its words are in {self.words}"

    @property
    def words(self) -> Path:
        """Where the supervisor's standard error goes."""
        return self._orders.run / "supervisor.err"


@contextmanager
def launch(orders: Orders) -> Iterator[Supervised]:
    """Start a supervisor for ``orders``; whatever happens in the block, none of its workers outlives it."""
    gate = Gate()
    reading, writing = os.pipe()

    def body() -> None:
        os.close(writing)
        err = os.open(orders.run / "supervisor.err", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.dup2(err, 2)
        os.close(err)
        supervise(orders, gate, reading)

    process = _FORK.Process(target=body, name="stress-supervisor")
    process.start()
    os.close(reading)
    gate.leave_to_others()
    try:
        yield Supervised(orders, gate, process)
    finally:
        os.close(writing)  # if it is still there, it takes this for our end, and cleans up
        process.join()
        gate.close()
