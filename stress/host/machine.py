"""What this machine is and has, as far as a run cares: file systems, limits, what the kernel offers, programs."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


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


def cores() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def answer(
    argv: Sequence[str], timeout_s: float, where: str | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a program says and how it ends, without input. Raises OSError and `subprocess.TimeoutExpired`."""
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        cwd=where,
        env=environment,
        check=False,
    )


def version_of_tool(name: str) -> str | None:
    """The version that ``name --version`` tells, or an empty text if it tells none; None if there is no such tool."""
    path = shutil.which(name)
    if path is None:
        return None
    try:
        done = answer([path, "--version"], 10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else ""
