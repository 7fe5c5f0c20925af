"""Virtual time: all clocks of the scheduled processes.

The vDSO answers clocks without a syscall. So its functions are overwritten, in each new image, by a few bytes that make
the syscall; the supervisor answers it. Time passes by a microsecond a step, and by what is slept; it does not depend on
how fast the machine is, and nobody waits for it.
"""

from __future__ import annotations

import ctypes
import struct
from functools import cache

from stress.syscalls import kernel
from stress.syscalls.tables import Machine, Watched

EPOCH_NS = 1_767_225_600 * 10**9
"""Realtime at the beginning of each execution: 2026-01-01 00:00 UTC."""

_BOOTED_NS = 1_000 * 10**9
_REALTIME = frozenset({0, 5, 8, 11})  # CLOCK_REALTIME, _COARSE, _ALARM, CLOCK_TAI
_CPU_TIME = frozenset({2, 3})
_STEP_NS, _SKEW_NS = 1_000, 101
_LOOKS_MAX = 500
_SECTION, _SYMBOL = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ")
_SHT_DYNSYM = 11
_AT_SYSINFO_EHDR = 33
_TIMER_ABSTIME = 1


class Clock:
    """One clock for all processes of an execution.

    Attributes:
        now_ns: Nanoseconds since the execution began.
    """

    def __init__(self) -> None:
        self.now_ns = 0

    @property
    def realtime_ns(self) -> int:
        return EPOCH_NS + self.now_ns

    def step(self) -> None:
        self.now_ns += _STEP_NS

    def advance_to(self, time_ns: int) -> None:
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
    if row.name == "poll":
        return None if args[2] >> 31 else now_ns + args[2] * 1_000_000
    at = {"nanosleep": 0, "ppoll": 2, "clock_nanosleep": 2}.get(row.name, 4)
    if not args[at]:
        return None
    seconds, rest = struct.unpack("<qq", kernel.read(tid, args[at], 16))
    length = seconds * 10**9 + (rest * 1_000 if row.name == "select" else rest)
    if row.name == "clock_nanosleep" and args[1] & _TIMER_ABSTIME:
        return int(length - offset(args[0]))
    return int(now_ns + length)


@cache
def _functions() -> dict[str, int]:
    """Offsets of the functions of the vDSO, which is the same in every process: its dynamic symbols (elf(5))."""
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    base = libc.getauxval(_AT_SYSINFO_EHDR)
    if not base:
        return {}
    (table,) = struct.unpack("<Q", ctypes.string_at(base + 40, 8))
    _, count = struct.unpack("<HH", ctypes.string_at(base + 58, 4))
    sections = [_SECTION.unpack(ctypes.string_at(base + table + 64 * number, 64)) for number in range(count)]
    found = {}
    for _, kind, _, _, start, size, link, *_ in sections:
        if kind != _SHT_DYNSYM:
            continue
        for at in range(start, start + size, _SYMBOL.size):
            name, _, _, _, value, _ = _SYMBOL.unpack(ctypes.string_at(base + at, _SYMBOL.size))
            found[ctypes.string_at(base + sections[link][4] + name).decode()] = value
    return found


def replace_vdso(tid: int, machine: Machine) -> None:
    """Make the clocks of a process's vDSO syscalls."""
    with open(f"/proc/{tid}/auxv", "rb") as file:
        pairs = dict(struct.iter_unpack("<QQ", file.read()))
    base = pairs.get(_AT_SYSINFO_EHDR)
    if base:
        offsets = _functions()
        stubs = {base + offsets[name]: machine.stub(call) for name, call in machine.clocks.items() if name in offsets}
        kernel.patch(tid, stubs)
