"""Signals that come in the middle of an operation: the ``signal`` nemesis.

A Python worker gets SIGINT, which raises KeyboardInterrupt wherever its target happens to be (what Ctrl-C does to a
program that goes on), or SIGUSR1, whose handler does the operation that it interrupts once more: a handler that saves
the state, in the middle of saving it. What the handler does is recorded as a process of its own, as it goes on at the
same time as what it interrupts. A Bash worker's group gets SIGINT, as of Ctrl-C at a terminal, which ends it.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from types import FrameType

from stress.execution.drivers.driver import Driver, Numbered, Raw
from stress.execution.drivers.observe import Observation
from stress.execution.step import step
from stress.history.record import version_of
from stress.history.recorder import Recorder

SIGNALS = (signal.SIGINT, signal.SIGUSR1)


class Interrupted(InterruptedError):
    """A target let KeyboardInterrupt out of an operation: whether it was done is unknown, and the fault is ours."""

    def __init__(self) -> None:
        super().__init__("KeyboardInterrupt")
        self.errno = errno.EINTR


class Interruptible:
    """A driver whose calls are interrupted when a signal comes; between them signals do nothing.

    Its handlers are those of this process; ``inner`` and ``recorder`` are for what the handler of SIGUSR1 does.
    """

    def __init__(self, driver: Driver, inner: Driver, recorder: Recorder) -> None:
        self._driver = driver
        self._inner = inner
        self._recorder = recorder
        self._op: Numbered | None = None
        """The operation that may be interrupted now."""
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGUSR1, self._again)

    def prepare(self, op: Numbered, record_parent: Callable[[int], None]) -> Callable[[], Raw]:
        """As the driver's; the call can be interrupted."""
        call = self._driver.prepare(op, record_parent)

        def interruptible() -> Raw:
            try:
                self._op = op
                raw = call()
                self._op = None
                return raw
            except KeyboardInterrupt as error:
                raise Interrupted from error
            finally:
                self._op = None

        return interruptible

    def examine(self, op: Numbered, raw: Raw) -> Observation:
        """As the driver's."""
        return self._driver.examine(op, raw)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._op is not None:
            self._op = None  # once: what the target does about it is not interrupted again
            raise KeyboardInterrupt

    def _again(self, number: int, frame: FrameType | None) -> None:
        op, self._op = self._op, None
        # Inside the target's lock the harness goes step by step; a lock that can be entered twice lets another step in.
        if op is not None and not op.request.locked:
            seq = self._recorder.rows + 1
            step(self._inner, self._recorder, op._replace(seq=seq, version=version_of(self._recorder.process, seq)))
        self._op = op
