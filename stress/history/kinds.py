"""What an operation, a worker, a file and a fault can be. Times and numbers are in `stress.history.record`."""

from __future__ import annotations

from enum import IntEnum, StrEnum

__all__ = ["End", "FaultKind", "Format", "Kind", "Language", "Outcome", "Recovery", "WorkerRole"]


class Kind(IntEnum):
    """What an operation does. ``read`` is the target's own reader; ``observe`` opens and reads as the harness."""

    WRITE = 1
    READ = 2
    OBSERVE = 3
    UPDATE = 4
    APPEND = 5
    BACKUP = 6
    OBSERVE_BACKUP = 7
    RECOVER = 8

    @property
    def is_change(self) -> bool:
        """Whether it makes a version: its own."""
        return self in (Kind.WRITE, Kind.UPDATE, Kind.APPEND)

    @property
    def label(self) -> str:
        """The name used in reports and in the line protocol."""
        return self.name.lower()


class Outcome(IntEnum):
    """How an operation ended; ``OPEN`` becomes ``INFO`` when a journal is loaded."""

    OPEN = 0
    OK = 1
    FAIL = 2
    INFO = 3

    @property
    def label(self) -> str:
        """The name used in reports."""
        return self.name.lower()


class Language(IntEnum):
    """What a worker is written in. ``COMMAND`` is a command line for each operation; ``UNKNOWN``, without a label, is
    what did an operation of a history from elsewhere.
    """

    UNKNOWN = 0
    PYTHON = 1
    BASH = 2
    COMMAND = 3

    @property
    def label(self) -> str:
        """The name used in reports and in ``--mix``."""
        return self.name.lower() if self else ""


class WorkerRole(StrEnum):
    """What a worker is for."""

    WRITER = "writer"
    READER = "reader"


class End(StrEnum):
    """How a process ended."""

    FINISHED = "finished"
    KILLED = "killed"
    """By the nemesis."""
    HUNG = "hung"
    """Killed at the end, past the limit of an operation."""
    STAYED = "stayed"
    """Killed at the end, some seconds after its last operation: a thread of the target's kept it from ending."""
    DIED = "died"
    """By itself, before its time."""
    RUNNING = "running"
    """It has not ended yet."""


class FaultKind(StrEnum):
    """What the nemesis does to a process."""

    KILL = "kill"
    PAUSE = "pause"
    FILL = "fill"
    SIGNAL = "signal"
    CLEAN = "clean"
    """To the directory, not to a process."""


class Format(StrEnum):
    """What a shared file holds."""

    OBJECT = "object"
    """A JSON document that is an object."""
    LIST = "list"
    """A JSON document that is a list of objects."""
    LOG = "log"
    """Records, one behind the other."""
    OTHER = "other"
    """Never a document."""

    @property
    def is_document(self) -> bool:
        """Whether it holds one JSON document."""
        return self in (Format.OBJECT, Format.LIST)


class Recovery(StrEnum):
    """What a recovery must do with a file."""

    RESTORE = "restore"
    """Put the newest valid backup in place."""
    KEEP = "keep"
    """Leave it as it is: it is valid."""
    REFUSE = "refuse"
    """Fail and leave it as it is: no backup is valid."""
