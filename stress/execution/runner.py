"""What a runner is: one way to have a plan carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stress.execution.cast import Cast
from stress.execution.progress import Progress
from stress.history.events import Event
from stress.history.history import History
from stress.history.run_directory import RunDirectory
from stress.result import Finding


class RunFailed(RuntimeError):
    """A run could not go on; the message is one line that says why, and what would do."""


@dataclass(frozen=True)
class Place:
    """Where a run takes place."""

    run: RunDirectory
    """Journals and evidence."""
    directory: Path
    """The directory under test, where the shared files are laid out; the current directory of workers."""
    scratch: Path
    """For what goes between a driver and its workers; not under test."""
    temporary: Path
    """Where those files of the target's go that are made wherever temporary files are."""


@dataclass(frozen=True)
class Watch:
    """What a run tells while it goes on, and by what it is judged meanwhile."""

    progress: Callable[[Progress], None] | None = None
    """Called about four times a second."""
    judge: Callable[[History], Sequence[Finding]] = lambda history: ()
    """What the checkers find in a history that is not at its end."""


@dataclass(frozen=True)
class Ended:
    """A run that is over; every process of it has ended."""

    history: History
    """Without what is left on the disk."""
    events: tuple[Event, ...] = ()
    interrupted: bool = False
    tool_cpu_s: float = 0.0
    """CPU seconds of the tool and the supervisor."""


class Runner(Protocol):
    """Carries out what a plan was resolved to: starts the workers, and returns when all have ended.

    The files are laid out before it, and looked at after it, by `stress.engine`.
    """

    def run(self, cast: Cast, place: Place, watch: Watch) -> Ended:
        """Raises `RunFailed`."""
        ...
