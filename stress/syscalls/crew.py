"""Forked processes that work for this one, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing import connection
from typing import TypeAlias

from stress.syscalls.kernel import PR_SET_PDEATHSIG, prctl

Connection: TypeAlias = "connection.Connection"

_END_S_MAX = 10.0


class Member:
    """A process that runs ``serve`` with its end of a pipe.

    Args:
        serve: It ends when the pipe is closed: EOFError, BrokenPipeError. SIGTERM raises KeyboardInterrupt in it.
        others: This process's ends of the pipes of those that were started before.

    Attributes:
        pipe: This process's end.
    """

    def __init__(self, serve: Callable[[Connection], object], others: Sequence[Connection]) -> None:
        self.pipe, there = multiprocessing.Pipe()
        fork = multiprocessing.get_context("fork")
        # A copy of our end in a process forked later would keep a pipe open that we close.
        self._process = fork.Process(target=_run, args=(serve, there, [self.pipe, *others]), daemon=True)
        self._process.start()
        there.close()

    def close(self) -> None:
        """Let it end; it is made to where that takes long."""
        self.pipe.close()
        self._process.join(_END_S_MAX)
        self._process.terminate()
        self._process.join()


def ready(pipes: Sequence[Connection]) -> list[Connection]:
    """Those from which something can be read; waits until there is one."""
    found = connection.wait(pipes)
    return [pipe for pipe in pipes if pipe in found]


def _run(serve: Callable[[Connection], object], pipe: Connection, parents: Sequence[Connection]) -> None:
    parent = os.getppid()
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return
    for other in parents:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one at the terminal is for the parent
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    serve(pipe)
