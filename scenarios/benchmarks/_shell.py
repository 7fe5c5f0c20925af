"""Scripts and interpreters, started as a person's own script would start them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

CLASSIC = """#!/bin/bash
set -euo pipefail
temp=$(mktemp "$2.XXXXXX")
echo "$1" > "$temp"
mv "$temp" "$2"
"""
"""The script that everybody writes: no lock, no sync, no validation; the mode becomes 0600."""


def atomic_write_script() -> str:
    """The path of ``atomic-write.sh``: beside the package."""
    import atomicops

    return str(Path(str(atomicops.__file__)).parent / "shell" / "atomic-write.sh")


def program(argv: list[str], settings: Mapping[str, str] | None = None) -> Callable[[], None]:
    """Start ``argv`` and wait for its end: with posix_spawn(3), which costs no copy of this process.

    ``settings`` are added to an environment that has nothing of ours. Raises RuntimeError if it fails.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATOMICOPS_")}
    environment.update(settings or {})
    path = shutil.which(argv[0]) or argv[0]

    def call() -> None:
        child = os.posix_spawn(path, argv, environment)
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        except BaseException:
            os.kill(child, 9)
            os.waitpid(child, 0)
            raise
        if status:
            raise RuntimeError(f"{' '.join(argv)[:200]} ended with status {status}")

    return call
