"""The console script: looks whether all is there that the command needs, and does it then.

The helpers, ``atomicops``, need nothing but Python, so ``pip install --no-deps atomicops-stress`` gives them alone.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from stress.exits import EXIT_USAGE

NEEDED = ("click", "jinja2", "markupsafe", "multiprocess", "numpy", "rich")
"""Modules of others that the harness imports: the dependencies in pyproject.toml."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Do what ``argv`` (default: `sys.argv`) says, and exit; see `stress.cli._entry` for the exit codes."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing was made yet: it ends without a traceback
    if sys.platform == "win32":
        _refuse("Windows is not supported, as it has neither flock(2) nor fork(2); use WSL 2, on its own disk")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        _refuse(
            f"not installed, and needed: {', '.join(missing)}; do: pip install {' '.join(missing)} "
            "(the helpers, atomicops, work without)"
        )
    from stress.cli._entry import main as entry

    entry(argv)


def _refuse(line: str) -> NoReturn:
    print(f"stress: {line}", file=sys.stderr)
    sys.exit(EXIT_USAGE)
