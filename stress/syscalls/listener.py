"""Seccomp user notification (seccomp_unotify(2)): the filter, its installation, and the messages of its listener.

The filter is installed in the child between fork and exec; every process that descends from it is under it, and one
listener covers them all. A watched syscall stops its thread until the listener's owner lets it go on, or answers in
the kernel's place.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from functools import cache

from stress.syscalls import kernel
from stress.syscalls.errors import Denied
from stress.syscalls.tables import Machine

NEXT = 0x5354
"""An unassigned command of fcntl: a warm worker asks for its next operation. (An unassigned syscall number would fail
in a container whose own filter allows known numbers only.)"""

_ALLOW, _NOTIFY, _ERRNO = 0x7FFF0000, 0x7FC00000, 0x00050000
_SET_MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE_RECV = 1, 1 << 3, 1 << 5
_RECEIVE, _SEND, _IS_VALID, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082102, 0x40082104
_SYNC_WAKE_UP = 1
_MAP_DENYWRITE = 0x800
CONTINUE = 1
_MESSAGE = struct.Struct("<QIIiIQ6Q")
_REPLY = struct.Struct("<Qqii")
FUTEX_COMMAND, FUTEX_WAIT, FUTEX_WAIT_BITSET = 0x7F, 0, 9
_TIMEOUT_CODE = 6
_LOCK_COMMANDS = (fcntl.F_GETLK, fcntl.F_SETLK, fcntl.F_SETLKW, 36, 37, 38)  # the last three are of open files


@cache
def program(machine: Machine) -> bytes:
    """The filter in classic BPF (``struct sock_filter``), as seccomp(2) describes it."""
    code = bytearray()

    def add(operation: int, value: int, yes: int = 0, no: int = 0) -> None:
        code.extend(struct.pack("<HBBI", operation, yes, no, value))

    def load(offset: int) -> None:
        add(0x20, offset)

    def give(value: int) -> None:
        add(0x06, value)

    def unless_equal_skip(value: int, count: int) -> None:
        add(0x15, value, 0, count)

    def if_timeout(at: int) -> None:
        load(16 + 8 * at)
        add(0x15, 0, 0, 2)
        load(20 + 8 * at)
        add(0x15, 0, 1, 0)
        give(_NOTIFY)
        give(_ALLOW)

    refuse = _ERRNO | errno.ENOSYS
    load(4)
    add(0x15, machine.audit, 1, 0)
    give(refuse)  # another ABI, such as 32 bits
    load(0)
    add(0x35, 0x40000000, 0, 1)
    give(refuse)  # x32
    for number in sorted(machine.refused):
        unless_equal_skip(number, 1)
        give(refuse)
    for number, row in machine.watched.items():
        if row.name == "mmap":  # of a file, but not by the loader of programs
            unless_equal_skip(number, 6)
            load(16 + 8 * 3)
            add(0x45, _MAP_DENYWRITE, 2, 0)
            load(16 + 8 * 4)
            add(0x15, 0xFFFFFFFF, 0, 1)
            give(_ALLOW)
            give(_NOTIFY)
        elif row.name == "fcntl":  # locks, and what a warm worker asks
            commands = (*_LOCK_COMMANDS, NEXT)
            unless_equal_skip(number, 2 + 2 * len(commands))
            load(16 + 8)
            for command in commands:
                unless_equal_skip(command, 1)
                give(_NOTIFY)
            give(_ALLOW)
        elif row.name == "lseek":  # from the end: it tells the size
            unless_equal_skip(number, 4)
            load(16 + 8 * 2)
            add(0x15, os.SEEK_END, 0, 1)
            give(_NOTIFY)
            give(_ALLOW)
        elif row.name == "futex":  # a wait with a timeout
            unless_equal_skip(number, 5 + _TIMEOUT_CODE)
            load(16 + 8)
            add(0x54, FUTEX_COMMAND)
            add(0x15, FUTEX_WAIT, 2, 0)
            add(0x15, FUTEX_WAIT_BITSET, 1, 0)
            give(_ALLOW)
            if_timeout(3)
        elif "t" in row.operands:
            unless_equal_skip(number, _TIMEOUT_CODE)
            if_timeout(row.operands.index("t"))
        elif row.name in ("poll", "epoll_wait", "epoll_pwait"):  # neither for ever nor not at all
            unless_equal_skip(number, 5)
            load(16 + 8 * (2 if row.name == "poll" else 3))
            add(0x15, 0, 2, 0)
            add(0x35, 0x80000000, 1, 0)
            give(_NOTIFY)
            give(_ALLOW)
        else:
            unless_equal_skip(number, 1)
            give(_NOTIFY)
    give(_ALLOW)
    return bytes(code)


def install(machine: Machine, filter: bytes) -> int:
    """Put this thread, and all that it will start, under the filter. The listener's descriptor.

    Raises:
        OSError: The kernel or the container's own filter refuses it.
    """
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    code = ctypes.create_string_buffer(filter, len(filter))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(filter) // 8, ctypes.addressof(code)))
    return kernel.syscall(machine.seccomp, _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE_RECV, head)


def denied(error: OSError) -> Denied:
    """What an error of `install` means, and what would allow it."""
    what = f"seccomp user notification is not available ({os.strerror(error.errno or 0)})"
    if error.errno == errno.EINVAL:
        return Denied(what, f"Linux 5.19 or later is needed; this is {os.uname().release}")
    if error.errno == errno.EBUSY:
        return Denied(what, "these processes have a listener already: do not run inside another supervisor")
    return Denied(
        what, "allow the syscall seccomp; for Docker: --security-opt seccomp=unconfined, or --cap-add SYS_ADMIN"
    )


def wake_on_this_cpu(listener: int) -> None:
    """Hand the CPU over between supervisor and agent as a pipe does (Linux 6.6; else no more than slower)."""
    try:
        fcntl.ioctl(listener, _SET_FLAGS, _SYNC_WAKE_UP)
    except OSError:
        pass


def receive(listener: int) -> tuple[int, int, int, tuple[int, ...]] | None:
    """The next syscall that waits; blocks until there is one.

    Returns:
        (id of the message, thread, number, arguments); None if the thread is gone, or was interrupted.
    """
    message = bytearray(_MESSAGE.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, message, True)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    fields = _MESSAGE.unpack(message)
    return fields[0], fields[1], fields[3], fields[6:]


def send(listener: int, id: int, result: int, flags: int = 0) -> None:
    """Return ``result``, or −errno, in the kernel's place; with the flag `CONTINUE` and 0, let the kernel do it."""
    reply = _REPLY.pack(id, result, 0, flags) if result >= 0 else _REPLY.pack(id, 0, result, flags)
    try:
        fcntl.ioctl(listener, _SEND, reply)
    except OSError as error:
        if error.errno != errno.ENOENT:  # killed meanwhile
            raise


def is_waiting(listener: int, id: int) -> bool:
    """Whether the thread still waits for an answer: nothing has killed it."""
    try:
        fcntl.ioctl(listener, _IS_VALID, struct.pack("<Q", id))
    except OSError:
        return False
    return True
