"""The filter, run by a small interpreter of classic BPF: what is notified, on both architectures."""

from __future__ import annotations

import fcntl
import struct

import pytest

from stress.syscalls import Denied
from stress.syscalls.listener import NEXT, program
from stress.syscalls.tables import machine

ALLOW, NOTIFY, ENOSYS = 0x7FFF0000, 0x7FC00000, 0x00050000 | 38
ARCHITECTURES = ("x86_64", "aarch64")
OF_INTEREST_IF = ("lseek", "epoll_wait", "epoll_pwait", "epoll_pwait2", "futex")
"""With other arguments."""


def verdict(code: bytes, arch: int, number: int, *args: int) -> int:
    data = struct.pack("<IIQ6Q", number, arch, 0, *args, *([0] * (6 - len(args))))
    at = accumulator = 0
    while True:
        operation, yes, no, value = struct.unpack_from("<HBBI", code, at * 8)
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x06:
            return int(value)
        else:
            jumps = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}
            at += yes if jumps[operation] else no


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_watched_is_notified_and_all_else_passes(name: str) -> None:
    tables = machine(name)
    code = program(tables)
    for number in range(470):
        result = verdict(code, tables.audit, number, 3, 1, 1, 0, 5)
        if number in tables.refused:
            assert result == ENOSYS
        elif number not in tables.watched or tables.watched[number].name in OF_INTEREST_IF:
            assert result == ALLOW
        elif tables.watched[number].name != "fcntl":
            assert result == NOTIFY, tables.watched[number]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_arguments_decide_where_most_calls_are_of_no_interest(name: str) -> None:
    tables = machine(name)
    code = program(tables)

    def of(call: str, *args: int) -> int:
        return verdict(code, tables.audit, tables.number(call), *args)

    assert of("mmap", 0, 4096, 1, 2, 0xFFFFFFFF) == ALLOW
    assert of("mmap", 0, 4096, 1, 2, 3) == NOTIFY
    assert of("mmap", 0, 4096, 1, 0x802, 3) == ALLOW  # as the loader of programs maps them
    assert of("lseek", 3, 0, 2) == NOTIFY
    assert of("lseek", 3, 0, 0) == ALLOW
    assert of("pselect6", 0, 0, 0, 0, 0x7FFC) == NOTIFY
    assert of("pselect6", 1) == ALLOW  # for ever
    assert of("ppoll", 0, 1, 0x1_0000_0000) == NOTIFY
    assert of("ppoll", 0, 1) == ALLOW
    assert of("epoll_pwait", 3, 0, 1, 1) == NOTIFY
    assert of("epoll_pwait", 3, 0, 1, 0) == of("epoll_pwait", 3, 0, 1, 0xFFFFFFFF) == ALLOW
    for wait in (0, 9, 0x80, 0x89, 0x189):
        assert of("futex", 0, wait, 2, 0x7FFC) == of("futex", 0, wait, 2, 1 << 32) == NOTIFY
        assert of("futex", 0, wait, 2) == ALLOW
    assert of("futex", 0, 0x81, 1, 0x7FFC) == ALLOW  # wakes
    for command in (fcntl.F_SETLK, fcntl.F_SETLKW, fcntl.F_GETLK, 36, 37, 38, NEXT):
        assert of("fcntl", 3, command) == NOTIFY
    assert of("fcntl", 3, fcntl.F_GETFD) == ALLOW


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_another_abi_is_refused(name: str) -> None:
    tables = machine(name)
    code = program(tables)
    assert verdict(code, 0x40000003, 0) == ENOSYS
    assert verdict(code, tables.audit, 0x40000000) == ENOSYS


def test_io_uring_and_clone3_are_refused() -> None:
    assert {425, 435} <= machine("x86_64").refused


def test_a_machine_without_tables_is_said() -> None:
    with pytest.raises(Denied, match=r"riscv64.*use a machine"):
        machine("riscv64")
