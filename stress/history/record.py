"""One operation of one process: what the journal stores and what the checkers read.

Times are ``CLOCK_MONOTONIC`` nanoseconds, read just before the call and just after it. Outcomes are those of
Jepsen: ``ok``; ``fail``, it certainly did not happen; ``info``, unknown. ``open`` stands in a journal alone:
the operation was invoked and its process never came back to say how it ended.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar

import numpy as np

from stress.history.notes import Note

__all__ = [
    "ABSENT",
    "GARBAGE",
    "INITIAL",
    "LANGUAGES_MAX",
    "NO_VERSION",
    "RECORD",
    "End",
    "FaultKind",
    "Format",
    "Kind",
    "Language",
    "Operation",
    "Outcome",
    "Recovery",
    "WorkerRole",
    "format_version",
    "is_label",
    "parse_version",
    "version_of",
]


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


# A version is one 64-bit number: process << 32 | sequence. Processes count from 1, so 0 is free for what the
# file held before the run, and negative numbers for what is no version at all.
INITIAL = 0
ABSENT = -1  # no file, or the reader fell back to its default
GARBAGE = -2  # bytes or a document that are not one complete version; the note holds them
NO_VERSION = -3  # the operation has none, or it could not be learnt

_WORDS = {INITIAL: "initial", ABSENT: "absent", GARBAGE: "garbage", NO_VERSION: "-"}

RECORD = np.dtype(
    [
        ("process", "<i4"),  # from 1, a new one for each process, also for one that replaces a killed one
        ("seq", "<i4"),  # the process's own count of operations, from 1
        ("kind", "u1"),
        ("outcome", "u1"),
        ("language", "u1"),
        ("scenario", "u1"),  # index into History.scenarios
        ("file", "<i4"),  # index into History.files
        ("version", "<i8"),  # written (write, update, append) or seen (read, observe, backup, recover)
        ("parent", "<i8"),  # the version that an update, or the document seen, started from
        ("invoke", "<i8"),  # ns
        ("return", "<i8"),  # ns; 0 while open
        ("held_from", "<i8"),  # ns, from inside the critical section; 0: no lock was claimed
        ("held_to", "<i8"),
        ("size", "<i8"),  # bytes seen or written; -1: not known
        ("digest", "<i8"),  # CRC-32 of the bytes of a log that were seen; -1: none
        ("note_at", "<i8"),  # where the note begins in the process's notes; -1: none
        ("note_size", "<i4"),
        ("reserved", "<i4"),
    ]
)


def version_of(process: int, seq: int) -> int:
    """The version that operation ``seq`` of ``process`` writes."""
    return process << 32 | seq


def format_version(version: int) -> str:
    """``p3.12`` for operation 12 of process 3, or the word for what is no version (``initial``, ``absent``, …)."""
    word = _WORDS.get(version)
    return word if word is not None else f"p{version >> 32}.{version & 0xFFFFFFFF}"


@functools.lru_cache(4096)
def parse_version(text: object) -> int:
    """The inverse of `format_version`; anything that is not a version's text gives `GARBAGE`."""
    if text == "initial":
        return INITIAL
    if isinstance(text, str) and text[:1] == "p":
        process, dot, seq = text[1:].partition(".")
        if dot and process.isascii() and seq.isascii() and process.isdigit() and seq.isdigit():
            number = version_of(int(process), int(seq))
            if len(text) < 24 and format_version(number) == text:
                return number
    return GARBAGE


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, unpacked: the form in which tests write histories and witnesses show them."""

    process: int
    kind: Kind
    file: int = 0
    version: int = NO_VERSION
    parent: int = NO_VERSION
    invoke: int = 0
    ret: int = 0
    outcome: Outcome = Outcome.OK
    seq: int = 0
    language: Language = Language.PYTHON
    scenario: int = 0
    held_from: int = 0
    held_to: int = 0
    size: int = -1
    digest: int = -1
    note: Note | None = None
    """What was noted with it: an error, a backup's path, what was seen where that is no known version."""
