"""The seam of recording: where operations go, and by which clock. A process of a run has a journal for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from stress.history.kinds import Outcome
from stress.history.notes import Note
from stress.history.record import NO_VERSION

Clock: TypeAlias = Callable[[], int]
"""Tells the time, ns (or steps of a schedule). Never less than it told before, and never 0."""


class Recorder(Protocol):
    """Records the operations of one process, one after the other; `stress.history.journal.Journal` is the durable
    one. Both ends of an operation are stamped by the recorder's one clock.
    """

    process: int
    rows: int
    """How many operations were invoked."""
    clock: Clock

    def invoke(self, row: int, value: int = NO_VERSION, /) -> int:
        """Open a row just before the call; returns the time that it bears."""
        ...

    def record_parent(self, parent: int) -> None:
        """Store what an update started from."""
        ...

    def attach(
        self, *, size: int = -1, digest: int = -1, held_from: int = 0, held_to: int = 0, note: Note | None = None
    ) -> None:
        """Store what few operations have."""
        ...

    def complete(self, ret: int, outcome: Outcome, value: int, parent: int = NO_VERSION, /) -> None:
        """Close the open row; ``ret`` is the time just after the call."""
        ...
