"""Virtual time: all clocks of the scheduled processes.

The vDSO answers clocks without a syscall. So its functions are overwritten in each new image: most by a few bytes that
make the syscall, which the supervisor answers; for a process that looks at every turn, by code that returns what the
supervisor has stored beside it. Time passes by a microsecond a step (`PACES_NS`), and by what is slept; it does not
depend on how fast the machine is, and nobody waits for it.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache
from typing import TypeAlias

from stress.syscalls import kernel
from stress.syscalls.tables import Machine, Watched

EPOCH_NS = 1_767_225_600 * 10**9
"""Realtime at the beginning of each execution: 2026-01-01 00:00 UTC."""

_BOOTED_NS = 1_000 * 10**9
_REALTIME = frozenset({0, 5, 8, 11})  # CLOCK_REALTIME, _COARSE, _ALARM, CLOCK_TAI
_CPU_TIME = frozenset({2, 3})
_STEP_NS, _SKEW_NS = 1_000, 101
PACES_NS = (_STEP_NS, _STEP_NS, _STEP_NS, 10_000_000)
"""How long a step may take in an execution; the last is so long that a lease, or a timeout, runs out now and then."""
_LOOKS_MAX = 500
_SELDOM = 2
"""Looks at the clock of an image that may be a syscall each: many cost more than to store the time at each step."""
_SECTION, _SYMBOL = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ")
_SHT_DYNSYM = 11
_AT_SYSINFO_EHDR = 33
_TIMER_ABSTIME = 1

_LOCAL = bytes.fromhex(
    "83ff01 eb03"  # cmp $1, %edi; jmp over
    "0f05 c3"  # syscall; ret: who is within the stub that was here goes on as if it still were
    "740c"  # over: je monotonic
    "85ff 7412"  # test %edi, %edi; je realtime
    "b8e4000000 0f05 c3"  # mov $228, %eax; syscall; ret: any other clock
    "f30f6f0527000000 eb08"  # monotonic: movdqu 16(data), %xmm0; jmp store
    "f30f6f050d000000"  # realtime: movdqu data, %xmm0
    "f30f7f06 31c0 c3"  # store: movdqu %xmm0, (%rsi); xor %eax, %eax; ret
    "909090909090"
)
"""clock_gettime for x86-64: CLOCK_REALTIME and CLOCK_MONOTONIC as the 32 bytes behind it say, others by a syscall."""

_DATA_BYTES = 32
_TIMES = struct.Struct("<4q")
_EPOCH_S, _BOOTED_S = EPOCH_NS // 10**9, _BOOTED_NS // 10**9


class Clock:
    """One clock for all processes of an execution.

    Attributes:
        now_ns: Nanoseconds since the execution began.
        step_ns: How long a step takes.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self.step_ns = _STEP_NS

    @property
    def realtime_ns(self) -> int:
        """CLOCK_REALTIME now."""
        return EPOCH_NS + self.now_ns

    def advance_to(self, time_ns: int) -> None:
        """Let time pass; it never goes back."""
        self.now_ns = max(self.now_ns, time_ns)

    def read(self, agent: int, looks: int) -> int:
        """The time that a thread is told; its clock is a little ahead of those of the agents before its own.

        Time stands still between two steps: how often a program looks does not matter. But one that looks again and
        again, and does nothing else, waits for time to pass.

        Args:
            looks: How often the thread has looked since it last did anything else.
        """
        if looks > _LOOKS_MAX:
            self.now_ns += _STEP_NS << min((looks - _LOOKS_MAX) // 50, 24)
        return self.of(agent)

    def of(self, agent: int) -> int:
        """The time that an agent is told."""
        return self.now_ns + agent * _SKEW_NS


def offset(clock: int) -> int:
    """Value of a clock (clock_gettime(2)) at the beginning of an execution, in nanoseconds."""
    return EPOCH_NS if clock in _REALTIME else 0 if clock in _CPU_TIME or clock >> 31 else _BOOTED_NS


def told(row: Watched, args: tuple[int, ...], time_ns: int) -> tuple[int, int, bytes]:
    """The answer to a syscall that reads a clock: its result, and what to store at which address, if not 0."""
    if row.name == "clock_gettime":
        return 0, args[1], struct.pack("<qq", *divmod(offset(args[0]) + time_ns, 10**9))
    seconds, rest = divmod(EPOCH_NS + time_ns, 10**9)
    if row.name == "gettimeofday":
        return 0, args[0], struct.pack("<qq", seconds, rest // 1_000)
    return seconds, args[0], struct.pack("<q", seconds)


def sleeps_until(tid: int, row: Watched, args: tuple[int, ...], now_ns: int) -> int | None:
    """When a sleep ends, in nanoseconds since the execution began; None if it has no end."""
    if row.name in ("poll", "epoll_wait", "epoll_pwait"):
        milliseconds = args[2 if row.name == "poll" else 3] & 0xFFFFFFFF
        return None if milliseconds >> 31 else now_ns + milliseconds * 1_000_000
    at = {"nanosleep": 0, "clock_nanosleep": 2}.get(row.name, row.operands.find("t"))
    if not args[at]:
        return None
    seconds, rest = struct.unpack("<qq", kernel.read(tid, args[at], 16))
    length = seconds * 10**9 + (rest * 1_000 if row.name == "select" else rest)
    if row.name == "clock_nanosleep" and args[1] & _TIMER_ABSTIME:
        return int(length - offset(args[0]))
    return int(now_ns + length)


@cache
def _functions() -> dict[str, tuple[int, int]]:
    """Offset and size of the functions of the vDSO, the same in every process: its dynamic symbols (elf(5))."""
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    base = libc.getauxval(_AT_SYSINFO_EHDR)
    if not base:
        return {}
    (table,) = struct.unpack("<Q", ctypes.string_at(base + 40, 8))
    _, count = struct.unpack("<HH", ctypes.string_at(base + 58, 4))
    sections = [_SECTION.unpack(ctypes.string_at(base + table + 64 * number, 64)) for number in range(count)]
    found = {}
    for _, kind, _, _, start, length, link, *_ in sections:
        if kind != _SHT_DYNSYM:
            continue
        for at in range(start, start + length, _SYMBOL.size):
            name, _, _, _, value, size = _SYMBOL.unpack(ctypes.string_at(base + at, _SYMBOL.size))
            found[ctypes.string_at(base + sections[link][4] + name).decode()] = value, size
    return found


Image: TypeAlias = tuple[int, bool]
"""Of what a process executes: the address of the clock that needs no syscall, 0 if it has none; whether it is used."""


class Dial:
    """The clock of a process: its vDSO, overwritten.

    Args:
        copied: The `image` of the process that this one is a copy of, by fork(2): there it was overwritten already.

    Attributes:
        is_local: Whether it has to be `set` before the process goes on, as that looks without a syscall.

    Raises:
        OSError: Another process's memory cannot be written here.
    """

    def __init__(self, tid: int, machine: Machine, copied: Image | None = None) -> None:
        self._memory = os.open(f"/proc/{tid}/mem", os.O_WRONLY | os.O_CLOEXEC)
        self._now_ns = -1
        self._looks = 0
        self._local, self.is_local = copied or (0, False)
        if copied is not None:
            return
        with open(f"/proc/{tid}/auxv", "rb") as file:
            base = dict(struct.iter_unpack("<QQ", file.read())).get(_AT_SYSINFO_EHDR)
        for name, (start, size) in _functions().items():
            if base is None or name not in machine.vdso:
                continue
            if machine.has_local_clock and name.endswith("clock_gettime") and size >= len(_LOCAL) + _DATA_BYTES:
                self._local = base + start
            os.pwrite(self._memory, machine.vdso[name], base + start)

    def look(self) -> None:
        """The process has asked for the time by a syscall. Where it asks often, it gets to know it without one."""
        self._looks += 1
        if self._looks > _SELDOM and self._local and not self.is_local:
            self.is_local = True
            os.pwrite(self._memory, _LOCAL, self._local)

    @property
    def image(self) -> Image:
        """What a copy of the process has to know of it."""
        return self._local, self.is_local

    def set(self, time_ns: int) -> None:
        """Make it say ``time_ns``, in nanoseconds since the beginning of the execution."""
        if time_ns != self._now_ns:
            self._now_ns = time_ns
            seconds, rest = divmod(time_ns, 10**9)  # both clocks begin with a whole second
            times = _TIMES.pack(_EPOCH_S + seconds, rest, _BOOTED_S + seconds, rest)
            os.pwrite(self._memory, times, self._local + len(_LOCAL))

    def close(self) -> None:
        """The image is gone."""
        os.close(self._memory)
