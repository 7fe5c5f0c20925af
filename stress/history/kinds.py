"""What an operation, a worker, a file and a fault can be. Times and numbers are in `stress.history.record`."""

from __future__ import annotations

import re
from enum import IntEnum, StrEnum
from typing import ClassVar


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
        return self in CHANGES

    @property
    def label(self) -> str:
        """The name used in reports and in the line protocol."""
        return self.name.lower()


CHANGES = (Kind.WRITE, Kind.UPDATE, Kind.APPEND)
"""The kinds that make a version."""
MUTATIONS = (*CHANGES, Kind.BACKUP, Kind.RECOVER)
"""The kinds that make or change a file."""
READS = (Kind.READ, Kind.OBSERVE, Kind.OBSERVE_BACKUP)
"""The kinds that only look."""


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


LANGUAGES_MAX = 16
"""How many languages there can be in one process."""


def is_label(text: str) -> bool:
    """Whether a language may be called that: at most 16 letters, digits and ``+#._-``, a letter first."""
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9+#._-]{0,15}", text) is not None


class Language(int):
    """What a worker is written in: a small number in the columns, and a label for people.

    Three are built in, and `UNKNOWN`, without a label, which is what did an operation of a history from elsewhere.
    ``COMMAND`` is a command line for each operation. A foreign worker's label is its author's: it gets a number of this
    process's own when it is first named, and its journals hold the label.
    """

    UNKNOWN: ClassVar[Language]
    PYTHON: ClassVar[Language]
    BASH: ClassVar[Language]
    COMMAND: ClassVar[Language]
    label: str
    """The name used in reports and in ``--mix``."""
    _known: ClassVar[list[Language]] = []

    def __new__(cls, number: int) -> Language:
        """The language of that number; raises ValueError where there is none."""
        if not 0 <= number < len(cls._known):
            raise ValueError(f"{number} is no language")
        return cls._known[number]

    @classmethod
    def named(cls, label: str) -> Language:
        """The language of that label, a new one if need be; raises ValueError for what can't be a label."""
        for language in cls._known:
            if language.label == label:
                return language
        if cls._known and not is_label(label):
            raise ValueError(f"{label!r} is no label of a language")
        if len(cls._known) == LANGUAGES_MAX:
            raise ValueError(f"{label!r} would be language number {LANGUAGES_MAX}, and there is room for less")
        language = super().__new__(cls, len(cls._known))
        language.label = label
        cls._known.append(language)
        return language

    @classmethod
    def all(cls) -> tuple[Language, ...]:
        """Those that have been named in this process, by their numbers."""
        return tuple(cls._known)

    def __repr__(self) -> str:
        return f"<Language {self.label or 'unknown'}>"


Language.UNKNOWN, Language.PYTHON, Language.BASH, Language.COMMAND = map(
    Language.named, ("", "python", "bash", "command")
)


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
