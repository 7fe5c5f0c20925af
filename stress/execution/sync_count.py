"""How often a target syncs in one write, counted by strace(1): whether what it wrote survives a power loss."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stress.execution.drivers.shell import environment, write_commands
from stress.host.interrupts import temporary_directory
from stress.host.machine import answer
from stress.workload.target import Target

_CALLS = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"
_PYTHON = "import sys; from stress.workload.target import load; load(sys.argv[1]).call('write')('state.json', {'n': 1})"
_BASH = 'source "$1"; shift; target_write "$@"'


def count_syncs(target: Target) -> int | None:
    """Calls that sync, in one write of a small document; None where there is no strace, or no write that it can see."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    with temporary_directory("stress-syncs-") as folder:
        document = Path(folder, "state.json")
        document.write_text('{"n": 0}\n', encoding="utf-8")
        Path(folder, "content").write_text('{"n": 1}\n', encoding="utf-8")
        if "write" in target.operations:
            name = target.name if ":" in target.name or not target.path.is_file() else str(target.path)
            argv = [sys.executable, "-c", _PYTHON, name]
        else:
            source = write_commands(target, Path(folder))
            if source is None:
                return None
            argv = ["bash", "--norc", "--noprofile", "-c", _BASH, "bash", str(source), "state.json", "content"]
        trace = Path(folder, "trace")
        try:
            traced = [strace, "-f", "-qq", "-o", str(trace), "-e", f"trace={_CALLS}", *argv]
            done = answer(traced, 30, folder, environment())
            if done.returncode or json.loads(document.read_text("utf-8")) != {"n": 1}:
                return None
            return len(re.findall(r"^\d+ +\w+\(", trace.read_text("utf-8", "replace"), re.M))
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None
