"""The file syscalls of real, unmodified processes, one at a time, in an order that a scheduler decides."""

from __future__ import annotations

import os

from stress.syscalls.agents import Forked, Kind, Program, Warm
from stress.syscalls.decoding import MARK
from stress.syscalls.errors import Denied
from stress.syscalls.probe import require
from stress.syscalls.ran import Disturb, Finding, Mark, Ran
from stress.syscalls.supervisor import Supervisor

__all__ = [
    "MARK",
    "Denied",
    "Disturb",
    "Finding",
    "Forked",
    "Kind",
    "Mark",
    "Program",
    "Ran",
    "Supervisor",
    "Warm",
    "mark",
    "require",
]


def mark(text: str) -> None:
    """Send the supervisor a message, from an agent: it is stamped with the step. Nothing happens elsewhere.

    Args:
        text: At most 4,000 bytes, without NUL. In Bash: ``[[ -e /.stress/mark/TEXT ]]``.
    """
    os.path.lexists(MARK + text)
