"""What this machine has of what Bash workers need."""

from __future__ import annotations

import re
import shutil
import subprocess


def version_of_tool(name: str) -> str | None:
    """The version that ``name --version`` tells, or an empty text if it tells none; None if there is no such tool."""
    path = shutil.which(name)
    if path is None:
        return None
    try:
        done = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else ""
