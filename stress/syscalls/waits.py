"""Waits with a timeout, in virtual time: of a futex, and of descriptors (poll, select, epoll).

Such a wait never begins in the kernel, which would judge a virtual deadline by the real clock. The task is parked, and
when all tasks stand still it is looked at whether what it waits for has come:

- a futex: the word in the task's memory is another than the one that it waits to see changed. So a wake-up needs no
  syscall to be seen, whichever process or thread exit causes it; one that comes without a change stays unseen.
  A wait that ends although nobody woke it is within the contract of futex(2).
- descriptors: a copy of one of them is ready. The kernel then does the call, which ends at once.

One wait at a time is ended, so that what a thread does with a lock that was handed to it is over before the next has
its turn.
"""

from __future__ import annotations

import errno
import os
import select
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from stress.syscalls import clock, kernel
from stress.syscalls.listener import FUTEX_COMMAND, FUTEX_WAIT
from stress.syscalls.tables import Machine, Watched

_CLOCK_REALTIME_FLAG = 0x100
_MONOTONIC, _REALTIME = 1, 0
_POLLFD = struct.Struct("<ihh")
_SETS = ((1, select.POLLIN), (2, select.POLLOUT), (3, select.POLLPRI))


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait with a timeout.

    Attributes:
        until_ns: When it ends at the latest, in nanoseconds since the execution began.
        came: Whether what it waits for is there.
        result: What to answer when it is there; None to let the kernel do the call.
        late: What to answer at the end of the timeout.
        clear: Memory to be filled with zeros then, as (address, bytes).
    """

    until_ns: int
    came: Callable[[], bool]
    result: int | None
    late: int
    clear: tuple[tuple[int, int], ...] = ()

    def is_over(self) -> bool:
        """`came`; not if its task has been killed meanwhile."""
        try:
            return self.came()
        except OSError:
            return False

    def give_up(self, tid: int) -> int:
        """What to answer at the end of the timeout, after the task's memory says so too."""
        with suppress(OSError):  # the kernel passes over memory that cannot be written as well
            for address, length in self.clear:
                kernel.write(tid, address, bytes(length))
        return self.late


def is_wait(row: Watched, args: tuple[int, ...]) -> bool:
    """Whether a syscall waits for more than time."""
    if row.verb == "wait":
        return True
    return row.verb == "sleep" and "sleep" not in row.name and bool(args[1 if row.name.endswith("poll") else 0])


class Waits:
    """Reads what a syscall waits for."""

    def __init__(self, machine: Machine) -> None:
        self._get_descriptor = machine.pidfd_getfd

    def of(self, tid: int, pid: int, row: Watched, args: tuple[int, ...], now_ns: int) -> Wait | None:
        """The wait of a syscall of thread ``tid`` of process ``pid``; None if the kernel can do it as it is.

        Raises:
            OSError: An address is bad.
        """
        if row.name == "futex":
            return self._futex(tid, args, now_ns)
        until_ns = clock.sleeps_until(tid, row, args, now_ns)
        if until_ns is None or until_ns <= now_ns:
            return None
        wanted, clear = self._wanted(tid, row, args)
        return Wait(until_ns, lambda: self._is_ready(pid, wanted), None, 0, clear)

    def _futex(self, tid: int, args: tuple[int, ...], now_ns: int) -> Wait | None:
        address, command, expected = args[0], args[1] & FUTEX_COMMAND, args[2] & 0xFFFFFFFF
        seconds, rest = struct.unpack("<qq", kernel.read(tid, args[3], 16))
        if seconds < 0 or not 0 <= rest < 10**9:
            return None
        length = seconds * 10**9 + rest
        if command == FUTEX_WAIT:
            until_ns = now_ns + length
        else:
            until_ns = length - clock.offset(_REALTIME if args[1] & _CLOCK_REALTIME_FLAG else _MONOTONIC)

        def came() -> bool:
            return int.from_bytes(kernel.read(tid, address, 4), "little") != expected

        return Wait(until_ns, came, 0, -errno.ETIMEDOUT)

    # Descriptors

    def _wanted(
        self, tid: int, row: Watched, args: tuple[int, ...]
    ) -> tuple[dict[int, int], tuple[tuple[int, int], ...]]:
        """Descriptors and the events that are wanted of them; and what has to be cleared where none came."""
        if row.name.startswith("epoll"):
            return {args[0] & 0xFFFFFFFF: select.POLLIN}, ()
        wanted: dict[int, int] = {}
        if row.name in ("poll", "ppoll"):
            for number in range(args[1]):
                file, events, _ = _POLLFD.unpack(kernel.read(tid, args[0] + number * _POLLFD.size, _POLLFD.size))
                if file >= 0:
                    wanted[file] = wanted.get(file, 0) | events
            return wanted, tuple((args[0] + number * _POLLFD.size + 6, 2) for number in range(args[1]))
        length = (args[0] + 63) // 64 * 8
        sets = [(args[at], event) for at, event in _SETS if args[at]]
        for address, event in sets:
            for file in _members(kernel.read(tid, address, length), args[0]):
                wanted[file] = wanted.get(file, 0) | event
        return wanted, tuple((address, length) for address, _ in sets)

    def _is_ready(self, pid: int, wanted: dict[int, int]) -> bool:
        """Whether a wanted event of a descriptor has come, or asking for it is an error."""
        poll, copies = select.poll(), []
        try:
            handle = os.pidfd_open(pid)
            copies.append(handle)
            for file, events in wanted.items():
                copies.append(kernel.syscall(self._get_descriptor, handle, file, 0))
                poll.register(copies[-1], events)
            return bool(poll.poll(0))
        except OSError:
            return True  # the kernel says what is wrong
        finally:
            for file in copies:
                os.close(file)


def _members(bits: bytes, count: int) -> Iterator[int]:
    return (file for file in range(min(count, 8 * len(bits))) if bits[file // 8] >> file % 8 & 1)
