"""The few kernel interfaces that Python does not have, by ctypes: prctl, personality, seccomp, another's memory."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
ADDR_NO_RANDOMIZE = 0x0040000

_CHUNK = 256
_PAGE = 4096


class _Slice(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_here = ctypes.create_string_buffer(_CHUNK)
_local = _Slice(ctypes.addressof(_here), _CHUNK)
_outgoing = _Slice(ctypes.addressof(_here), _CHUNK)
_remote = _Slice()
_string = _Slice(0, _CHUNK)
_readv: Any = _libc.process_vm_readv
_readv.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
_readv.restype = ctypes.c_ssize_t
_writev: Any = _libc.process_vm_writev
_writev.argtypes, _writev.restype = _readv.argtypes, _readv.restype
_local_at, _outgoing_at, _remote_at, _string_at = map(ctypes.addressof, (_local, _outgoing, _remote, _string))
_ENCODING = sys.getfilesystemencoding()


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *args: int | ctypes.Array[Any] | Any) -> int:
    """The result of a syscall; OSError if it fails."""
    return _checked(int(_libc.syscall(ctypes.c_long(number), *args)), f"syscall {number}")


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process (prctl(2))."""
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def personality(flags: int) -> None:
    """Set the execution domain of this process and what it will execute (personality(2))."""
    _checked(_libc.personality(ctypes.c_ulong(flags)), "personality")


def read(pid: int, address: int, length: int) -> bytes:
    """``length`` bytes, at most 256, of another process's memory; fewer where the mapping ends."""
    _remote.base, _remote.length = address, length
    count = _readv(pid, _local_at, 1, _remote_at, 1, 0)
    if count < 0:
        _checked(-1, f"memory of process {pid}")
    return _here.raw[:count]


def read_string(pid: int, address: int) -> str:
    """A string of another process that ends with NUL, at most one page long."""
    _string.base = address
    count = _readv(pid, _local_at, 1, _string_at, 1, 0)
    text: bytes = _here.value if count > 0 else b""
    if len(text) < count:  # the NUL is among what was read
        return text.decode(_ENCODING, "surrogateescape")
    text = b""
    while len(text) < _PAGE:
        part = read(pid, address + len(text), _CHUNK)
        end = part.find(0)
        text += part if end < 0 else part[:end]
        if end >= 0 or not part:
            break
    return os.fsdecode(text)


def write(pid: int, address: int, data: bytes) -> None:
    """Store ``data`` where another process may write itself."""
    for start in range(0, len(data), _CHUNK):
        part = data[start : start + _CHUNK]
        ctypes.memmove(_here, part, len(part))
        _outgoing.length = _remote.length = len(part)
        _remote.base = address + start
        if _writev(pid, _outgoing_at, 1, _remote_at, 1, 0) != len(part):
            _checked(-1, f"memory of process {pid}")


def signed(value: int) -> int:
    """An argument of type int."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def patch(pid: int, pieces: dict[int, bytes]) -> None:
    """Store ``pieces``, by address, wherever another process has memory, also where it may only execute it."""
    memory = os.open(f"/proc/{pid}/mem", os.O_WRONLY | os.O_CLOEXEC)
    try:
        for address, data in pieces.items():
            os.pwrite(memory, data, address)
    finally:
        os.close(memory)
