"""SIGINT, SIGTERM and SIGHUP, from the first moment to the last: what was made is removed, whatever was going on.

A signal raises KeyboardInterrupt, so that every ``with`` and ``finally`` on the way does its work; but not where it
would come between making a thing and knowing of it (`Interrupts.held`), and not while a run is under way that can be
wound down instead (`Interrupts.calling`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """The signals of a block: see `interrupts`.

    Attributes:
        raised: Whether one has raised KeyboardInterrupt. What comes out of the block then may be something else: an
            extension module that is interrupted while it is imported breaks in ways of its own.
    """

    def __init__(self) -> None:
        self.raised = False
        self._pid = os.getpid()
        self._held = 0
        self._waiting = False
        self._call: Callable[[int], None] | None = None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if os.getpid() != self._pid:  # in a child that was forked: as if there were no handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self._call is not None:
            self._call(number)
        elif self._held:
            self._waiting = True
        else:
            self.raised = True
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Signals wait for the end of this block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._waiting and not self._held:
            self._waiting = False
            self.raised = True
            raise KeyboardInterrupt

    @contextmanager
    def calling(self, stop: Callable[[], None]) -> Iterator[list[int]]:
        """In this block a signal calls ``stop`` and raises nothing; the list has its number then."""
        received: list[int] = []

        def call(number: int) -> None:
            received.append(number)
            stop()

        self._call = call
        try:
            yield received
        finally:
            self._call = None


_current: Interrupts | None = None


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handle the three signals in this block, as the head of this module says; the handlers that there were come back
    after it.

    A block within a block has the signals of the outer one. In a thread that is not the main one there are none: Python
    calls handlers in the main thread alone. SIGHUP stays ignored where it was (``nohup``).
    """
    global _current
    if threading.current_thread() is not threading.main_thread():
        yield Interrupts()
        return
    if _current is not None:
        yield _current
        return
    _current = mine = Interrupts()
    before = {}
    try:
        for number in _NUMBERS:
            before[number] = signal.getsignal(number)
            if number != signal.SIGHUP or before[number] is not signal.SIG_IGN:
                signal.signal(number, mine.receive)
        yield mine
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _current = None


@contextmanager
def temporary_directory(prefix: str = "stress-", where: str | None = None) -> Iterator[str]:
    """A new directory in ``where``, or where such are made; removed at the end, and also if a signal comes while it is
    made or removed. Raises OSError.
    """
    import tempfile  # in most commands nothing asks for one

    with interrupts() as signals, ExitStack() as stack:
        with signals.held():
            made = tempfile.mkdtemp(prefix=prefix, dir=where)
            stack.callback(_clean, made, signals)
        yield made


def make_temporary_files_in(directory: Path) -> None:
    """From now on this process, and what it starts, makes its temporary files in ``directory``."""
    import tempfile

    os.environ["TMPDIR"] = str(directory)
    tempfile.tempdir = None  # it has been asked for before, and remembers the answer


def remove_tree(directory: str | Path) -> None:
    """Remove a directory and all that is in it, as far as that can be done."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)
    if os.path.isdir(directory):  # it takes file descriptors, and there may be none: a program has its own
        with suppress(OSError):
            os.waitpid(os.posix_spawnp("rm", ["rm", "-rf", "--", os.path.abspath(directory)], os.environ), 0)


def _clean(made: str, signals: Interrupts) -> None:
    with signals.held():
        remove_tree(made)
