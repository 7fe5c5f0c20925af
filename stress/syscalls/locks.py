"""Locks of files (flock(2), fcntl(2)): whether one would be granted now, asked without taking it.

A task never waits for a lock in the kernel: it stays parked until a probe says that the lock is free. Nothing else
runs meanwhile, so the answer still holds when the task goes on.
"""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass

_OPEN_FILE_GETLK, _OPEN_FILE_SETLK, _OPEN_FILE_SETLKW = 36, 37, 38
_FLOCK = struct.Struct("=hh4xqqi4x")
_END = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Request:
    """What a call asks of a lock.

    Attributes:
        kind: ``flock``, ``posix`` (the process owns it) or ``ofd`` (the open file does).
        mode: ``LOCK_SH``, ``LOCK_EX`` or ``LOCK_UN``.
        waits: Whether the call blocks while the lock is held.
        start, end: First and last byte; a flock has all of them.
    """

    pid: int
    descriptor: int
    kind: str
    mode: int
    waits: bool
    start: int = 0
    end: int = _END

    @property
    def is_whole(self) -> bool:
        """Whether it is about all bytes of the file."""
        return (self.start, self.end) == (0, _END)


def flock(pid: int, descriptor: int, operation: int) -> Request:
    """The request of a call of flock."""
    return Request(pid, descriptor, "flock", operation & ~fcntl.LOCK_NB, not operation & fcntl.LOCK_NB)


def record(pid: int, descriptor: int, command: int, lock: bytes) -> Request | None:
    """The request of a call of fcntl with a ``struct flock``; None if it only asks."""
    if command in (fcntl.F_GETLK, _OPEN_FILE_GETLK):
        return None
    type, whence, start, length, _ = _FLOCK.unpack(lock[: _FLOCK.size])
    if whence == os.SEEK_CUR:
        start += _position(pid, descriptor)
    elif whence == os.SEEK_END:
        start += os.stat(f"/proc/{pid}/fd/{descriptor}").st_size
    first, last = (start, start + length - 1 if length else _END) if length >= 0 else (start + length, start - 1)
    mode = {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX}.get(type, fcntl.LOCK_UN)
    kind = "ofd" if command in (_OPEN_FILE_SETLK, _OPEN_FILE_SETLKW) else "posix"
    return Request(pid, descriptor, kind, mode, command in (fcntl.F_SETLKW, _OPEN_FILE_SETLKW), first, last)


def is_free(request: Request) -> bool:
    """Whether the lock would be granted now."""
    if request.mode == fcntl.LOCK_UN:
        return True
    try:
        if request.kind == "flock":
            granted = _try(request)
            if granted is not None:
                return granted
        return not any(_conflicts(request, line) for line in _held(request))
    except FileNotFoundError:  # the process is gone, or has closed the descriptor: the kernel says so
        return True


def _try(request: Request) -> bool | None:
    """Take and give back the lock through an open file of our own; None if what refuses it may be the asker itself."""
    link = f"/proc/{request.pid}/fd/{request.descriptor}"
    try:
        own = os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        own = os.open(link, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(own, request.mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return None if _own(request) else False
    finally:
        os.close(own)
    return True


def _own(request: Request) -> list[list[str]]:
    """Lines of locks that the asker's open file has."""
    return _of(request.pid, request.descriptor)


def are_held(pid: int, descriptor: int, kind: str) -> bool:
    """Whether an open file has locks of this kind (see `Request`); False where it is closed."""
    try:
        lines = _of(pid, descriptor)
    except OSError:
        return False
    return any(line[0] == {"ofd": "OFDLCK"}.get(kind, kind.upper()) for line in lines)


def _of(pid: int, descriptor: int) -> list[list[str]]:
    """Lines of the locks of an open file (proc_pid_fdinfo(5))."""
    with open(f"/proc/{pid}/fdinfo/{descriptor}", "rb", buffering=0) as file:
        lines = file.read().decode("ascii").splitlines()
    return [line.split()[2:] for line in lines if line.startswith("lock:")]


def _held(request: Request) -> list[list[str]]:
    """Fields of all locks of the inode but those of the asker, from ``/proc/locks`` (proc_locks(5))."""
    status = os.stat(f"/proc/{request.pid}/fd/{request.descriptor}")
    own = [] if request.kind == "posix" else _own(request)
    with open("/proc/locks", encoding="ascii") as file:
        lines = [line.split()[1:] for line in file]
    held = []
    for fields in lines:
        if fields[0] == "->":
            continue
        if int(fields[4].rpartition(":")[2]) != status.st_ino:
            continue
        if fields in own:
            own.remove(fields)
        elif not (request.kind == fields[0].lower() == "posix" and int(fields[3]) == request.pid):
            held.append(fields)
    return held


def _conflicts(request: Request, held: list[str]) -> bool:
    kind, _, mode, _, _, start, end = held
    if (kind == "FLOCK") != (request.kind == "flock"):
        return False
    if mode == "READ" and request.mode == fcntl.LOCK_SH:
        return False
    return int(start) <= request.end and request.start <= (_END if end == "EOF" else int(end))


def _position(pid: int, descriptor: int) -> int:
    with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii") as file:
        return int(file.readline().split()[1])
