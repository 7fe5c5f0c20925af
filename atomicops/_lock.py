"""One lock for Python, Bash and anything else that calls flock(2): the sidecar file beside the target."""

from __future__ import annotations

import _thread
import errno
import fcntl
import os
import time

from ._errors import LockTimeout, drop, fail
from ._paths import Place, locate, lock_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._errors import Path

TIMEOUT_S = 30.0
_CREATE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_EXISTING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)

# How a timed wait is done, and why. flock(2) has no timeout, and a signal to interrupt it is not a library's to take.
# So the lock is tried again and again, with short pauses. Measured with 16 processes that hammer one lock on 2 cores,
# holding it for 0.05, 0.5 and 5 ms, in acquisitions a second and as the share of the slowest in its fair share:
#   pauses up to 1 ms                                  15,100  0.80    1,860  0.67    198  0.54
#   blocking flock in a helper thread                  13,500  0.77    1,880  0.19    192  0.86
#   blocking flock, no timeout                         14,600  0.59    1,930  0.51
#   pauses up to 0.5 ms, and giving way (this one)     11,100  0.96    1,790  0.88    198  0.81
# With pauses of 0.5 ms for all, hundreds of processes take all of the processor to try: 128 that write and sleep for
# 3 ms under the lock got it 193 times a second, 512 with 1 ms, 201 times. Who finds that it was woken late knows that
# there is no room for so many tries, and makes longer pauses: 325 and 336 times, as fair with 16 as before. Pauses that
# grow with the time waited are cheaper still, and starve who waits longest.
# Without giving way, who has just released the lock is the first to take it again: the kernel wakes the others, but
# hands the lock to nobody. Giving way costs one short pause, and only those pay who had to wait a moment ago.
_PAUSE_S_FIRST, _PAUSE_S_MAX = 0.00005, 0.0005
_LATE_S, _PAUSE_S_LATE = 0.0002, 0.05
_GIVE_WAY_S, _GIVE_WAY_TIMES, _GIVE_WAY_WITHIN_S = 0.0003, 4, 0.002


class Hold:
    """A lock that a thread has: the descriptor that carries it, and how often the thread entered it."""

    __slots__ = ("depth", "fd", "key")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.depth = 1
        self.key: tuple[int, int] | None = None

    def identity(self) -> tuple[int, int]:
        if self.key is None:
            self.key = _identity(self.fd)
        return self.key


class _Local(_thread._local):
    """What this thread holds. Not keyed by thread number: those are reused after a thread ends.

    Attributes: ``holds``; ``contended`` the lock that it last had to wait for, ``turns`` how often it still gives way
    there, ``released_at`` when it released it.
    """

    holds: list[Hold]
    contended: tuple[int, int] | None
    turns: int
    released_at: float

    def __init__(self) -> None:
        self.holds = []
        self.contended = None
        self.turns = 0
        self.released_at = 0.0


_local = _Local()
_open_fds: set[int] = set()
# Held while a lock file is opened and while a fork happens, so that no descriptor slips into a child unseen.
# Re-entrant, because a signal handler may fork.
_fork_guard = _thread.RLock()


def acquire(place: Place, timeout: float | None = TIMEOUT_S) -> Hold:
    """Take the lock of ``place``, for this thread; a lock that it already has is entered once more."""
    mine = _local
    while True:
        fd = _open(place)
        try:
            for hold in mine.holds:
                if hold.identity() == _identity(fd):
                    hold.depth += 1
                    _close(fd)
                    return hold
            _wait(fd, timeout, place)
            if os.fstat(fd).st_nlink:
                hold = Hold(fd)
                mine.holds.append(hold)
                return hold
        except BaseException as error:
            _close(fd)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = place.given
            raise
        # Somebody deleted the lock file since we opened it: what we have is no longer the lock that others meet.
        _close(fd)


def release(hold: Hold) -> None:
    """Leave the lock once. In a child of the process that took it this does nothing: it is the parent's."""
    if hold.fd < 0:
        return
    hold.depth -= 1
    if hold.depth == 0:
        fd, hold.fd = hold.fd, -1
        mine = _local
        if hold in mine.holds:
            mine.holds.remove(hold)
        if mine.turns:
            mine.released_at = time.monotonic()
        try:
            # Closing is not enough: a child forked without our knowledge may have the same open file description.
            fcntl.flock(fd, fcntl.LOCK_UN)
        except OSError:
            pass  # closing it will do
        finally:
            _close(fd)


class FileLock:
    """The lock of a file, as a context manager; see :func:`file_lock`."""

    __slots__ = ("_entered", "_path", "_timeout")

    def __init__(self, path: Path, timeout: float | None) -> None:
        self._path = path
        self._timeout = timeout
        self._entered: list[Hold] = []

    def __enter__(self) -> FileLock:
        with locate(self._path, make_parents=True) as place:
            self._entered.append(acquire(place, self._timeout))
        return self

    def __exit__(self, *_: object) -> None:
        release(self._entered.pop())


def file_lock(path: Path, timeout: float | None = TIMEOUT_S) -> FileLock:
    """Hold the lock of ``path`` for the length of a ``with`` block.

    Every writing helper takes the same lock by itself. Take it here to make several steps one::

        with file_lock("state.json"):
            state = safe_read_json("state.json")
            state["count"] += 1
            atomic_write_json(state, "state.json")

    It excludes other processes, other threads, ``flock(1)`` and the ``filelock`` package on ``.{name}.lock``; the
    thread that has it may take it again. It is a thread's, not a task's: do not hold it across an ``await``. A child
    made by ``fork`` inside the block does not have it. Missing parent directories are made. The lock file stays.

    Args:
        path: the file to protect; its symlinks are followed. It need not exist.
        timeout: seconds to wait; ``None`` waits for ever, 0 tries once.

    Raises:
        LockTimeout: somebody else had it all the time.
        OSError: the lock file cannot be opened, or the file system has no flock. Source: flock(2).
    """
    return FileLock(path, timeout)


def _open(place: Place) -> int:
    name = lock_name(place.name)
    with _fork_guard:
        try:
            fd = os.open(name, _CREATE, 0o666, dir_fd=place.fd)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                error.filename = place.given
                raise
            try:  # flock needs no right to write: another user's lock file serves
                fd = os.open(name, _EXISTING, dir_fd=place.fd)
            except OSError:
                error.filename = place.given
                raise error from None
        _open_fds.add(fd)
    return fd


def _close(fd: int) -> None:
    with _fork_guard:
        _open_fds.discard(fd)
        drop(fd)


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _wait(fd: int, timeout: float | None, place: Place) -> None:
    """Get the lock, or raise LockTimeout."""
    if _local.turns:
        _give_way(fd)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        if timeout is None:
            fcntl.flock(fd, fcntl.LOCK_EX)
        elif not _poll(fd, timeout):
            raise LockTimeout(errno.ETIMEDOUT, f"lock not had within {timeout:g} s", place.given)
    except OSError as error:
        if error.errno in _NO_FLOCK:
            fail(error.errno, "this file system offers no flock(2); keep the file on one that does", place.given)
        raise
    _local.contended = _identity(fd)
    _local.turns = _GIVE_WAY_TIMES


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _poll(fd: int, timeout: float) -> bool:
    start = now = time.monotonic()
    pause, longest = _PAUSE_S_FIRST, _PAUSE_S_MAX
    while (waited := now - start) < timeout:
        # The clock's last bits keep processes that were woken together from trying together again.
        asked = min(pause * (0.5 + (time.monotonic_ns() & 1023) / 1024), timeout - waited)
        time.sleep(asked)
        if _try(fd):
            return True
        late = time.monotonic() - now - asked
        now += asked + late
        if late > asked / 2 + _LATE_S:
            longest = min(longest * 2, _PAUSE_S_LATE)
        elif longest > _PAUSE_S_MAX:
            longest *= 0.95  # back to the usual, bit by bit
        pause = min(pause * 1.5, longest)
    return False


def _give_way(fd: int) -> None:
    _local.turns -= 1
    if _local.contended == _identity(fd) and time.monotonic() - _local.released_at < _GIVE_WAY_WITHIN_S:
        time.sleep(_GIVE_WAY_S)


def _forget_in_child() -> None:
    global _fork_guard
    _fork_guard = _thread.RLock()
    for hold in _local.holds:
        hold.fd = -1
    _local.holds.clear()
    for fd in _open_fds:
        drop(fd)  # no LOCK_UN: that would release the parent's lock
    _open_fds.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _fork_guard.acquire(),
        after_in_parent=lambda: _fork_guard.release(),
        after_in_child=_forget_in_child,
    )
