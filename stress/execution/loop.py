"""The free loops: operations are done as fast as they go, in a worker's own process or over a pipe."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep  # as it is here: a target may put another into its module

from stress.execution.barrier import StartBarrier
from stress.execution.cpu import CpuShare, own_ns
from stress.execution.drivers.driver import Numbered
from stress.execution.drivers.shell import Lost, ShellDriver
from stress.execution.step import Stepper, begin, finish, step
from stress.history.journal import FINISHED, READY, RUNNING, Journal
from stress.history.kinds import Kind

EXIT_JOURNAL = 74
"""Exit status of a worker that could not write its journal."""
_BURST = 16
"""Operations that a reader does at a stretch."""


def work(stepper: Stepper, journal: Journal, barrier: StartBarrier, rest: Callable[[], float]) -> None:
    """Do a worker's operations in this process, once the barrier opens, until it is time to stop or there are none
    left.

    ``rest`` says how many seconds to wait now and then: a reader that does nothing but read would leave the writers no
    processor, and see the same version a hundred times.
    """
    journal.write_header(state=READY)
    journal.woken_ns = barrier.wait()
    journal.write_header(state=RUNNING)
    journal.cpu_before_ns = before_ns = own_ns()
    done = 0
    while not barrier.stopped and stepper.step():
        done += 1
        if done % _BURST == 0 and (pause_s := rest()):
            sleep(pause_s)
    journal.cpu_ns = own_ns() - before_ns
    if isinstance(stepper.driver, CpuShare):
        journal.cpu_harness_ns = stepper.driver.harness_ns
    journal.write_header(state=FINISHED)
    journal.close()


class PipeLoop:
    """One worker that is driven over pipes, by a process that drives many: `begin` sends its next operation, `hear`
    takes the answer.
    """

    def __init__(self, driver: ShellDriver, journal: Journal, stepper: Stepper) -> None:
        self.driver = driver
        self.journal = journal
        self._stepper = stepper
        self._op: Numbered | None = None
        self._invoked = 0

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self._op is not None

    def row_with_parent(self) -> int:
        """The number of the operation under way, if it is an update that has read; 0: it is not."""
        op = self._op
        return op.seq if op is not None and op.request.kind is Kind.UPDATE and self.driver.has_read() else 0

    def begin(self) -> bool:
        """Start the next operation, or do it, if the driver can by itself; False when there are no more. Raises
        BrokenPipeError if the worker is gone.
        """
        if self.journal.state == READY:
            self.journal.write_header(state=RUNNING)
        op = self._stepper.next()
        if op is None:
            return False
        if self.driver.sends(op):
            _, self._invoked = begin(self.driver, self.journal, op)
            self._op = op
            self.driver.send(op)
        else:
            self._stepper.stream.answer(step(self.driver, self.journal, op))
        return True

    def hear(self, line: str) -> None:
        """Take a line of the worker's: that it is ready, or its answer. Raises ValueError for anything else."""
        returned = self.journal.clock()
        if self.journal.state < READY:
            if self.driver.hello(line):
                self.journal.write_header(state=READY)
        elif self._op is not None:
            self._finish(self.driver.reply(self._op, line), returned)

    def lost(self, reaped: int, text: str) -> None:
        """The process is gone, tree and all, since ``reaped``: the operation under way is unknown."""
        if self._op is not None:
            self._finish(Lost(text), reaped)

    def close(self, *, finished: bool) -> None:
        """Close the pipes and the journal."""
        if finished:
            self.journal.write_header(state=FINISHED)
        else:
            self.journal.write_header()
        self.journal.close()
        self.driver.close()

    def _finish(self, raw: object, returned: int) -> None:
        assert self._op is not None
        op, self._op = self._op, None
        self._stepper.stream.answer(finish(self.driver, self.journal, op, self._invoked, raw, returned))
