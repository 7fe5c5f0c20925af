"""Programs of this machine: run to their end, and asked for their version."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence


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
