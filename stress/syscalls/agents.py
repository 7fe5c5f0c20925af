"""Agents: the process trees that are scheduled, and how they are started under a listener.

The first process of each stays from execution to execution. It calls a function again and again, or starts the process
that is scheduled (`stress.syscalls.template`).
"""

from __future__ import annotations

import errno
import gc
import marshal
import os
import random
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

from stress.syscalls import kernel, listener, template
from stress.syscalls.tables import Machine

_START_S_MAX = 20
_NOT_STARTED = 127
_FILTER = "filter"
_OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What it has none left of, and denies nobody."""


@dataclass(frozen=True, eq=False)
class Program:
    """A program that is started anew in each execution.

    Attributes:
        argv: The command.
        env: Environment; None for that of the supervisor.
        directory: Where it starts; None for the shared directory.
    """

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    directory: str | None = None


@dataclass(frozen=True, eq=False)
class Forked:
    """A Python function that a new process calls in each execution, with the memory that was there at the first."""

    function: Callable[[], object]


@dataclass(frozen=True, eq=False)
class Warm:
    """A Python function that one forked process calls again and again, which is about five times as fast.

    Attributes:
        function: Called with the number that the run was given. It must leave nothing behind in its process that
            changes what the next call does.
        reset: Called before each call, to remove what it leaves all the same.
    """

    function: Callable[[int], object]
    reset: Callable[[], object] | None = None


Kind = Program | Forked | Warm


@dataclass(eq=False)
class Agent:
    """A process tree under one listener.

    Attributes:
        root: Pid of its first process, which stays.
        listener: Descriptor of its listener.
        outputs: Descriptors of the files that have its stdout and stderr.
        directory: Where it starts, without symlinks.
        is_done: Whether its first process waits for the next execution, or has ended.
        numbered: How many of its tasks came to a scheduling point.
        unreaped: Processes that have ended, and have a parent yet that may take in their exit status.
        offer_is_known: Whether nothing has happened to it since it was asked what it can do next.
        status: Exit status of what it did, −n if signal n ended it; None as long as it does it.
    """

    index: int
    kind: Kind
    root: int
    listener: int
    outputs: tuple[int, int]
    directory: str
    status: int | None = None
    is_done: bool = False
    numbered: int = 0
    offer_is_known: bool = False
    unreaped: set[int] = field(default_factory=set)

    def output(self) -> tuple[bytes, bytes]:
        """What it wrote to stdout and stderr."""
        first, second = (os.pread(file, size, 0) if (size := os.fstat(file).st_size) else b"" for file in self.outputs)
        return first, second

    def rewind(self) -> None:
        """Forget what it wrote."""
        for file in self.outputs:
            if os.fstat(file).st_size:
                os.ftruncate(file, 0)
                os.lseek(file, 0, os.SEEK_SET)

    def reap(self, wait: bool) -> None:
        """Take in the exit status of its first process."""
        try:
            pid, status = os.waitpid(self.root, 0 if wait else os.WNOHANG)
        except ChildProcessError:
            return
        if pid and self.status is None:
            self.status = os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Close what it wrote to; the population closes the listener."""
        for file in self.outputs:
            os.close(file)


def start(index: int, kind: Kind, shared: str, machine: Machine, filter: bytes, ours: Sequence[int]) -> Agent:
    """Fork an agent's first process; it is under the filter before it runs anything.

    Args:
        ours: Descriptors that the child must not keep.

    Raises:
        Denied: The filter cannot be installed here.
        OSError: Its process cannot be started, or open what it needs.
    """
    here, there = socket.socketpair()
    outputs = (os.memfd_create("stdout"), os.memfd_create("stderr"))
    directory = os.path.realpath(kind.directory or shared if isinstance(kind, Program) else shared)
    pid = os.fork()
    if pid == 0:
        _child(kind, directory, machine, filter, there, outputs, [*ours, here.fileno()])
    there.close()
    with here:
        here.settimeout(_START_S_MAX)
        message, descriptors, _, _ = socket.recv_fds(here, 16, 1)
    if not descriptors:
        os.waitpid(pid, 0)
        for file in outputs:
            os.close(file)
        what, _, number = message.decode().partition(" ")
        error = OSError(int(number or errno.ECHILD), os.strerror(int(number or errno.ECHILD)))
        raise listener.denied(error) if what == _FILTER and error.errno not in _OF_THE_MACHINE else error
    listener.wake_on_this_cpu(descriptors[0])
    return Agent(index, kind, pid, descriptors[0], outputs, directory)


def once(kind: Kind) -> int:
    """Do what an agent does, once and without a listener: in a new process, unless it is warm. The wait status."""
    if isinstance(kind, Warm):
        return _again(kind, 0)
    if isinstance(kind, Forked):
        return template.anew(partial(_call, kind.function))
    return template.anew(partial(template.execute, *_words(kind)))


def _child(
    kind: Kind,
    directory: str,
    machine: Machine,
    filter: bytes,
    channel: socket.socket,
    outputs: tuple[int, int],
    ours: Sequence[int],
) -> NoReturn:
    stage = "start"
    try:
        parent = os.getppid()
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(_NOT_STARTED)
        os.setsid()
        try:
            kernel.personality(kernel.ADDR_NO_RANDOMIZE)
        except OSError:  # a container may forbid it; names of files do not depend on addresses then either
            pass
        empty = os.open(os.devnull, os.O_RDONLY)
        for file, target in ((empty, 0), (outputs[0], 1), (outputs[1], 2)):
            os.dup2(file, target)
        for file in (*ours, empty, *outputs):
            if file > 2:
                os.close(file)
        sys.stdin, sys.stdout, sys.stderr = (
            open(file, mode, closefd=False)  # noqa: SIM115  (for as long as the process lives)
            for file, mode in enumerate("rww")
        )
        os.chdir(directory)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGALRM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        stage = _FILTER
        own = listener.install(machine, filter)
        stage = ""
        socket.send_fds(channel, [b"ok"], [own])
        os.close(own)
        channel.close()
        _run(kind)
    except BaseException as error:
        if stage and isinstance(error, OSError):
            channel.send(f"{stage} {error.errno}".encode())
        else:
            traceback.print_exc()
    finally:
        _flush()
        os._exit(_NOT_STARTED)


def _run(kind: Kind) -> NoReturn:
    if isinstance(kind, Program):
        _be_template(kind)
    gc.freeze()  # what the starter has is not looked through, and so not copied
    if isinstance(kind, Forked):
        template.serve(listener.NEXT, lambda _: template.anew(partial(_call, kind.function)))
    template.serve(listener.NEXT, partial(_again, kind))


def _be_template(program: Program) -> NoReturn:
    file = os.memfd_create("spec")
    os.write(file, marshal.dumps((*_words(program), listener.NEXT)))
    os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, template.SPEC)
    os.set_inheritable(template.SPEC, True)  # it may be that number already
    os.execv(sys.executable, [sys.executable, "-S", "-P", template.__file__])


def _words(program: Program) -> tuple[list[str], dict[str, str]]:
    """Its arguments and its environment."""
    return [os.fspath(word) for word in program.argv], dict(os.environ if program.env is None else program.env)


def _again(warm: Warm, number: int) -> int:
    """Call a warm function once more. Its wait status."""
    random.seed(number)
    tempfile._name_sequence = None  # type: ignore[attr-defined]
    if warm.reset is not None:
        warm.reset()
    status = _call(partial(warm.function, number))
    gc.collect()
    return (status & 0xFF) << 8


def _call(function: Callable[[], object]) -> int:
    """Exit status of a function, as Python's own."""
    try:
        function()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        _flush()
    return 0


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
