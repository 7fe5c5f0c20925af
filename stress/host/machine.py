"""What this machine is and has, as far as a run cares: file systems, limits, what the kernel offers."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FileSystem", "cgroup_limits", "file_system", "limit_of", "seccomp_notification"]

_SECCOMP = {"x86_64": 317, "aarch64": 277, "armv7l": 383, "riscv64": 277, "ppc64le": 358, "s390x": 348}
_GET_NOTIF_SIZES = 3


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Where a directory is: the type, the mount point and its options."""

    type: str
    mount: str
    options: str

    @property
    def is_memory(self) -> bool:
        """Whether it is in memory alone: nothing on it outlasts a power loss, and fsync(2) costs nothing."""
        return self.type in ("tmpfs", "ramfs")


def file_system(where: str) -> FileSystem | None:
    """The file system that holds ``where``, of the longest mount point above it. Source: proc_pid_mounts(5)."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "replace")
    except OSError:
        return None
    real = os.path.realpath(where)
    best: FileSystem | None = None
    for line in mounts.splitlines():
        _, point, kind, options = line.split()[:4]
        point = point.replace("\\040", " ")
        above = real == point or real.startswith(point.rstrip("/") + "/")
        if above and (best is None or len(point) >= len(best.mount)):
            best = FileSystem(kind, point, options)
    return best


def limit_of(name: str) -> tuple[int, int]:
    """Soft and hard limit of this process, such as ``NOFILE`` or ``NPROC``; -1: none. Source: getrlimit(2)."""
    soft, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
    return soft, hard


def cgroup_limits() -> dict[str, str]:
    """``memory`` in MiB and ``cpu`` in cores, where a control group of version 2 limits them. Source: cgroups(7)."""
    found: dict[str, str] = {}
    try:
        own = Path("/proc/self/cgroup").read_text("utf-8").strip().splitlines()[-1].rpartition(":")[2]
    except (OSError, IndexError):
        return found
    folder = Path("/sys/fs/cgroup", own.lstrip("/"))
    for place in (folder, *folder.parents):
        try:
            memory = (place / "memory.max").read_text("utf-8").strip()
            if memory != "max":
                found.setdefault("memory", f"{int(memory) >> 20} MiB")
            quota, period = (place / "cpu.max").read_text("utf-8").split()
            if quota != "max":
                found.setdefault("cpu", f"{int(quota) / int(period):g} cores")
        except (OSError, ValueError):
            pass
        if place == Path("/sys/fs/cgroup"):
            break
    return found


def seccomp_notification() -> bool | None:
    """Whether the kernel can hand system calls to a supervisor; None where it can't be asked. No filter is installed.

    Source: seccomp(2), SECCOMP_GET_NOTIF_SIZES (Linux 5.0).
    """
    number = _SECCOMP.get(platform.machine())
    if number is None:
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        sizes = (ctypes.c_uint16 * 3)()
        done = libc.syscall(ctypes.c_long(number), ctypes.c_ulong(_GET_NOTIF_SIZES), ctypes.c_ulong(0), sizes)
    except (OSError, AttributeError):
        return None
    if done == 0:
        return True
    return None if ctypes.get_errno() in (errno.EPERM, errno.EACCES) else False
