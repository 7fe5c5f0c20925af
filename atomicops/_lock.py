# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""One lock for Python, Bash and anything else that calls flock(2): the sidecar file beside the target.

Who has it is never written down: a thread has the lock as long as the object that owns the descriptor lives. There is
no count and no list that an exception at the wrong moment could leave wrong.
"""

from __future__ import annotations

import _thread
import errno
import fcntl
import os
import stat as st
import sys
import time
from _operator import methodcaller
from itertools import chain

from . import _attributes, _carriers
from ._carriers import Carrier, carriers
from ._descriptors import Leaving, call_close, duplicate, open_owned, poll
from ._errors import NOT_PERMITTED, LockLost, LockTimeout, fail, failed
from ._paths import Place, identity, locate, lock_name, short_stem
from ._refusals import directory_refuses

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from functools import partial
    from types import FrameType
    from typing import Any, NoReturn

    from ._errors import Path

    _File = tuple[tuple[int, ...], bytes, bytes, bytes]
else:
    import _signal as signal  # without the enumerations
    from _functools import partial

TIMEOUT_S = 30.0
_READ_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
_TRY = fcntl.LOCK_EX | fcntl.LOCK_NB
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO in its place must not make us wait
_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
_SIGNALS = range(1, min(32, signal.NSIG))  # those with names
_VARARGS = 0x04  # of a code object's flags
# What tells the task that runs: one of a loop, or a greenlet, which may be a part of such a task.
_TASKS = (("asyncio.tasks", "current_task"), ("trio.lowlevel", "current_task"), ("greenlet", "getcurrent"))
_call = methodcaller("__call__")
_NO_FILE = ((0, 0), b"", b"", b"")
# Another user has made the lock file a moment ago, and its reach is still to come.
_REACH_PAUSE_S, _REACH_TRIES = 0.005, 10


class Hold(Carrier):
    """A lock that a thread takes, or has.

    Attributes: ``process`` and ``thread`` of the taker; ``is_group`` whether the caller groups steps by it, and what
    is the ``file``; ``handler`` the frame of the signal handler, and ``task`` the innermost task, in which he
    began to; ``operation`` the one of ours under way in it.
    """

    name: bytes
    status: os.stat_result
    file: _File = _NO_FILE
    handler: FrameType | None = None
    task: object = None
    operation: Callable[[], Any] | None = None

    def __init__(self, place: Place, is_group: bool) -> None:
        self.is_group = is_group
        self.process = os.getpid()
        self.thread = _local.me
        if is_group:
            self.file = _file_of(place)
            self.handler = _running_handler()
            self.task = next(iter(_running_tasks()), None)

    def open(self, place: Place, flags: int, mode: int = 0) -> None:
        self.carry(open_owned, self.name, flags | _OPEN, mode, place.opener)

    def unlock_on_close(self, place: Place) -> None:
        """Closing is not enough where a child, forked without our knowledge, has the same open file description."""
        self._close_by(place, partial(fcntl.flock, self.fd, fcntl.LOCK_UN), self.close)

    def _close_by(self, place: Place, *calls: Callable[[], object]) -> None:
        """Close by these calls; but raise LockLost where the descriptor is closed already: by ``os.closerange``, say.

        poll(2) finds that out without an exception, and so without a step of Python where all is well.
        """
        probe = poll()
        probe.register(self.fd, 0)
        closed = chain.from_iterable(map(_call, (partial(probe.poll, 0),)))
        self.close = partial(
            [].extend, chain(map(partial(_tell_closed, self.close, self.name, place), closed), map(_call, calls))
        )

    def share(self, place: Place) -> Hold:
        """Another hold of the same lock, for a group inside this one: they may end in any order."""
        assert self.own is not None
        inner = Hold.__new__(Hold)
        inner.__dict__.update((name, value) for name, value in vars(self).items() if name not in ("own", "fd", "close"))
        inner.carry(duplicate, self.own)
        self.close = self.own.close  # to unlock would take it from the other
        self._close_by(place, self.close)
        inner._close_by(place, inner.close)
        return inner

    def widen(self, place: Place, target: os.stat_result) -> None:
        """Give a lock file with less than the reach of its target what it lacks, if it is ours to give."""
        mine = self.status
        lacks = _attributes.lock_mode(target) & ~mine.st_mode or mine.st_gid != target.st_gid
        if (lacks or mine.st_uid != target.st_uid) and os.geteuid() in (0, mine.st_uid if lacks else 0):
            try:
                _attributes.lock_reach(place, self.fd, mine, target)
            except OSError:
                pass

    def prove(self, place: Place) -> None:
        """Raise LockLost unless this process still has the lock that others meet."""
        # In a child made by fork the descriptor is closed; but C code can make one that Python does not know of.
        is_open = self.own is not None and not self.own.closed
        if not (self.is_met(place) and is_open and self.process == os.getpid()):
            raise _lost(self.name, place)

    def is_met(self, place: Place) -> bool:
        """Whether it is the lock that others meet: its name still leads to it."""
        assert self.key is not None
        try:
            return place.leads_to(self.name, self.key)
        except OSError as error:
            raise failed(error, place.given, f"looking at the lock {os.fsdecode(self.name)}") from None


class _Local(_thread._local):
    """Of each thread: ``me`` stands for it, for the numbers of threads are used again."""

    def __init__(self) -> None:
        self.me = object()


_local = _Local()


def acquire(
    place: Place, timeout: float | None = TIMEOUT_S, is_group: bool = False, create: bool = True
) -> tuple[Hold, bool]:
    """Take the lock of ``place``, for this thread. Where the caller groups steps by it already: that hold of his, True.

    Raises LockTimeout, OSError, and RuntimeError where this thread is in the middle of an operation on the file.
    """
    while True:
        hold = Hold(place, is_group)
        try:
            _open(hold, place, create)
            got = True
            try:
                fcntl.flock(hold.fd, _TRY)
            except BlockingIOError:
                got = False
            except OSError as error:
                raise no_flock(error, place.given) from None
            hold.status = status = os.fstat(hold.fd)
            hold.key = identity(status)
            if not st.S_ISREG(status.st_mode):
                _refuse_kind(hold, place)
            if not got or len(carriers) > 1:
                outer = _held_here(hold, place)
                if outer is not None:
                    if got:  # what has it cannot have it: its descriptor was closed behind its back (os.closerange)
                        raise _lost(hold.name, place)
                    hold.close()
                    return outer, True
            if got:
                is_met = status.st_nlink > 0  # without another look: there was hardly time to rename it
            else:
                _wait(hold, timeout, place)
                is_met = hold.is_met(place)
            if is_met:
                return hold, False
        except BaseException as error:
            if hold.own is not None:
                hold.own.close()
            if isinstance(error, OSError) and error.filename is None:
                failed(error, place.given)
            raise
        # Somebody deleted or renamed the lock file since we opened it: what we have is not the lock that others meet.
        hold.close()


class Nothing:
    """What is closed where nothing is to be closed: at the end of a nested ``with``."""

    close = int


class FileLock(Leaving):
    """The lock of a file, as a context manager; see :func:`file_lock`."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        self._path = path
        self._timeout = timeout
        self._entered: list[Any] = []
        self.leave = partial(next, map(call_close, iter(self._entered.pop, None)))

    def __enter__(self) -> FileLock:
        entered: Any = Nothing
        try:
            with locate(self._path, make_parents=True) as place:
                hold, is_nested = acquire(place, self._timeout, is_group=True)
                entered = hold.share(place) if is_nested else hold
                if not is_nested:
                    hold.unlock_on_close(place)
            self._entered.append(entered)
            return self
        except BaseException:
            entered.close()
            raise


def file_lock(path: Path, timeout: float | None = TIMEOUT_S) -> FileLock:
    """Hold the lock of ``path`` for the length of a ``with`` block.

    Every writing helper takes the same lock by itself. Take it here to make several steps one::

        with file_lock("state.json"):
            state = safe_read_json("state.json")
            state["count"] += 1
            atomic_write_json(state, "state.json")

    It excludes other processes, other threads, ``flock(1)`` and the ``filelock`` package on ``.{name}.lock``; the
    thread that has it may take it again, and leave the blocks in any order. A child made by ``fork`` inside the block
    does not have it, nor has a signal handler that interrupts the block, nor another task of asyncio or trio, nor
    another greenlet: where a block holds an ``await``, the helpers raise RuntimeError in other tasks. What runs as part
    of the block does have it: a generator that is suspended in it lends it to its caller, and ``__del__`` methods must
    not write the file. Missing parent directories are made. The lock file stays.

    Args:
        path: the file to protect; its symlinks are followed. It need not exist.
        timeout: seconds to wait; ``None`` waits for ever, 0 tries once.

    Raises:
        LockTimeout: somebody else had it all the time.
        RuntimeError: this thread is in the middle of an operation on the file (in the function given to
            :func:`update_json`), or in a signal handler that has interrupted the block of another ``file_lock``.
        OSError: the lock file cannot be opened, or the file system has no flock. Source: flock(2).
    """
    return FileLock(path, timeout)


def _open(hold: Hold, place: Place, create: bool) -> None:
    hold.name = lock_name(place.stem)
    tries = _REACH_TRIES
    while True:
        try:
            hold.carry(open_owned, hold.name, _READ_WRITE, 0, place.opener)
            return
        except OSError as error:
            if error.errno == errno.ENOENT and create:
                if _make(hold, place):
                    return
            elif error.errno == errno.ENAMETOOLONG and hold.name != lock_name(short_stem(place.name)):
                hold.name = lock_name(short_stem(place.name))
            elif error.errno in NOT_PERMITTED:
                try:  # flock needs no right to write
                    hold.open(place, os.O_RDONLY)
                    return
                except OSError:
                    tries -= 1
                    if not tries:
                        raise _not_opened(error, hold, place) from None
                    time.sleep(_REACH_PAUSE_S)
            else:
                raise _not_opened(error, hold, place) from None


def _make(hold: Hold, place: Place) -> bool:
    """Make the lock file, with the reach of what it protects; ``False`` where another has made it meanwhile."""
    target = place.stat()
    mode = 0o666 if target is None else _attributes.lock_mode(target)
    try:
        hold.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise
        raise directory_refuses(error, place, "making a file in {}") from None
    _attributes.lock_reach(place, hold.fd, os.fstat(hold.fd), target)
    return True


def _not_opened(error: OSError, hold: Hold, place: Place) -> OSError:
    if error.errno in (errno.ENXIO, errno.EISDIR, errno.ELOOP):  # a socket, a directory, a symlink
        _refuse_kind(hold, place, error.errno)
    lock = "the lock " + os.fsdecode(place.beside(hold.name))
    return failed(error, place.given, f"opening {lock}", f"make {lock} readable and writable")


def _refuse_kind(hold: Hold, place: Place, number: int = errno.EINVAL) -> NoReturn:
    lock = os.fsdecode(place.beside(hold.name))
    fail(number, f"the lock {lock} is not a regular file", place.given, f"remove {lock}, which is no lock")


def _held_here(hold: Hold, place: Place) -> Hold | None:
    """The hold that this thread has of the same lock, if the caller groups steps by it.

    Raises LockLost where he does so by a lock file, or in a directory, that has been replaced meanwhile.
    """
    outer: Hold | None = None
    for reference in tuple(carriers):
        other = reference()
        if other is None or other.own is None or other is hold:
            continue
        if other.own.closed:
            carriers.discard(reference)
            continue
        if not isinstance(other, Hold) or other.thread is not hold.thread:
            continue
        if (other.key or identity(os.fstat(other.own.fileno()))) != hold.key:
            if other.is_group and _same_file(other.file, _file_of(place)):
                raise _lost(hold.name, place)
            continue
        operation = None if other.operation is None else other.operation()
        if not other.is_group or (operation is not None and not operation.place.own.closed):
            why = "this thread is in the middle of another operation on the file, which would overwrite this one"
        elif _running_handler() is not other.handler:
            why = "this signal handler has interrupted steps that `file_lock` groups, which would overwrite this one"
        elif other.task is not None and other.task not in _running_tasks():
            why = "another task has been interrupted in steps that `file_lock` groups, which would overwrite this one"
        else:
            outer = other
            continue
        raise RuntimeError(f"{os.fsdecode(place.given)}: {why} (unchanged); do it before or after")
    return outer


def _file_of(place: Place) -> _File:
    """What tells that two names are of the same file, though one of them leads to another lock by now."""
    try:
        base = b"" if place.directory.startswith(b"/") else os.getcwdb()
    except OSError:  # the working directory has gone
        base = b""
    return identity(os.fstat(place.fd)), base, place.directory, place.name


def _same_file(one: _File, other: _File) -> bool:
    """By the directory's number, or by the path: the directory may have been replaced, too."""
    if one[0] == other[0]:
        return one[-1] == other[-1]
    return os.path.normpath(os.path.join(*one[1:])) == os.path.normpath(os.path.join(*other[1:]))


def _tell_closed(close: Callable[[], object], name: bytes, place: Place, event: object) -> NoReturn:
    close()  # or the descriptor would be closed later, when its number may be another's
    raise _lost(name, place)


def _lost(lock: bytes, place: Place) -> LockLost:
    why = f"the lock {os.fsdecode(lock)} was removed, replaced or closed meanwhile"
    return LockLost(errno.ESTALE, why, place.given)


def _running_tasks() -> list[object]:
    """What takes turns with others in this thread, the innermost first."""
    running = []
    for name, function in _TASKS:
        module = sys.modules.get(name)
        try:
            running.append(module and getattr(module, function)())
        except RuntimeError:  # no loop runs
            pass
    return [task for task in running if task is not None]


def _running_handler() -> FrameType | None:
    """The innermost frame of this thread that runs a signal handler.

    It was given a number and the frame below it; or, where it has forgotten these (``del signum, frame``), its code is
    that of a handler which is installed.
    """
    frame: FrameType | None = sys._getframe(1)
    installed: set[object] | None = None  # looked up when it is needed: that takes longer than all the rest
    while frame is not None and frame.f_back is not None:
        code, below = frame.f_code, frame.f_back
        rest = bool(code.co_flags & _VARARGS)
        if (code.co_argcount > 1 or rest) and frame.f_globals.get("__package__") != __package__:
            if installed is None:
                installed = _codes_of_handlers()
            if code in installed:
                return frame
            given = frame.f_locals
            values: list[object] = []
            for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + rest]:
                value = given.get(name)
                values += value if type(value) is tuple else (value,)
            if any(value is below for value in values) and any(isinstance(value, int) for value in values):
                return frame
        frame = below
    return None


def _codes_of_handlers() -> set[object]:
    codes: set[object] = set()
    function: Any
    for function in filter(callable, map(signal.getsignal, _SIGNALS)):
        while isinstance(function, partial):
            function = function.func
        for callable_ in (function, type(function).__call__):  # a function or a method, or else an object
            codes.add(getattr(callable_, "__code__", None))
    return codes


def no_flock(error: OSError, given: object) -> OSError:
    if error.errno in _NO_FLOCK:
        error.strerror = "this file system offers no flock(2)"
        error.__dict__["todo"] = "keep the file on a file system that has flock(2)"
    return failed(error, given)


def _wait(hold: Hold, timeout: float | None, place: Place) -> None:
    """Get the lock, or raise LockTimeout."""
    with _carriers.fork_guard: from ._wait import wait  # fmt: skip  # noqa: E701, I001

    try:
        if not wait(hold, timeout):
            raise LockTimeout(errno.ETIMEDOUT, f"lock not had within {timeout:g} s", place.given)
    except LockTimeout:
        raise
    except OSError as error:
        raise no_flock(error, place.given) from None
