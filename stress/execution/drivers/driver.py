"""What a driver is: one side of a target (a language), and how its operations are done there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from stress.execution.drivers.observe import Observation
from stress.workload.scenario import Request

Raw = Any
"""What a call gave back: a value of the driver's own, or the exception that came out of it."""


class Numbered(NamedTuple):
    """A request, with what the harness gives it."""

    request: Request
    scenario: int
    file: int
    form: str
    """The file's format, as in `stress.workload.scenario.SharedFile`."""
    seq: int
    """The process's own count of operations, from 1."""
    version: int
    """What it writes, if it is a change."""


class Driver(Protocol):
    """Carries out one request at a time on one side of a target. It has no journal and no loop."""

    def prepare(self, op: Numbered, record_parent: Callable[[int], None]) -> Callable[[], Raw]:
        """All that can be done before the operation begins; what is returned does it. An update tells
        ``record_parent`` the version that it starts from, as soon as that is known.
        """
        ...

    def examine(self, op: Numbered, raw: Raw) -> Observation:
        """What the operation came to: its outcome, and the version that was seen, or the evidence."""
        ...
