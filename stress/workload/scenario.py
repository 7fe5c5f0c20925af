"""What a scenario is made of: shared files, roles that do operations on them, and the checkers that judge.

A role is a generator of requests, sent back an answer for each. It is the same for every language and every target:
a Python worker carries its requests out by calls, a Bash worker is told them over its pipe.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stress.history.kinds import Kind, Outcome
from stress.history.record import NO_VERSION
from stress.workload.payload import Edit, draw_size

# Bound once: before Python 3.12 each look-up of an enumeration's member is a call, and every operation asks for one.
_WRITE, _UPDATE, _APPEND, _READ, _OBSERVE = Kind.WRITE, Kind.UPDATE, Kind.APPEND, Kind.READ, Kind.OBSERVE
_BACKUP, _OBSERVE_BACKUP, _RECOVER = Kind.BACKUP, Kind.OBSERVE_BACKUP, Kind.RECOVER


@dataclass(frozen=True, slots=True)
class Beside:
    """A file laid beside a shared one before the run, such as a backup. ``path`` is relative to the directory."""

    path: str
    content: bytes
    mtime_s: int
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file that the workers share, and how it is before the run. Frozen and plain: the same in every process."""

    path: str
    """Relative to the directory under test."""
    form: str = "object"
    """``object`` or ``list`` (JSON documents), ``log`` (records), or ``other`` (never a document)."""
    shape: Any = field(default_factory=dict)
    """The fields (or entries) of the initial document, and of every document written after it."""
    content: bytes | None = None
    """The first bytes, where they are not a document or a log of the harness's making."""
    absent: bool = False
    """Not there at the start."""
    mode: int = 0o644
    link: str | None = None
    """Make ``path`` a symbolic link with this text; the file itself is where it points to."""
    beside: tuple[Beside, ...] = ()
    recovery: str | None = None
    """See `stress.history.history.FileFacts`."""
    recovered: int = NO_VERSION
    corrupt: bytes = b""
    checkers: frozenset[str] | None = None
    """Instead of the scenario's checkers, where they differ."""


class Request(NamedTuple):
    """One operation to do. The worker gives it version, sequence and times."""

    kind: Kind
    path: str
    size: int = 0
    """Length of the padding, bytes."""
    edits: tuple[Edit, ...] = ()
    shape: Any = None
    locked: bool = False
    """For an update: done as read, change, write inside the target's lock, where it has one."""


class Answer(NamedTuple):
    """How a request ended, and the version that was seen or written."""

    outcome: Outcome
    version: int


Steps = Generator[Request, Answer, None]


_LONG_RECORD = 24 << 10
"""Bytes of a record that takes several writes by a shell, a buffer or a pipe."""


class Agent:
    """What a role knows: who it is, a source of randomness of its own, and the requests it can make."""

    def __init__(self, *, worker: int, writers: int, source: random.Random, long_at: int = 4) -> None:
        """``long_at``: which write, update and append is long for certain, as slow workers make but few; 0: none."""
        self.worker = worker
        """Its number, from 0; the replacement of a killed process has the same."""
        self.writers = writers
        self.random = source
        self._long_at = long_at
        self._made = {_WRITE: 0, _UPDATE: 0, _APPEND: 0}

    def _size(self, kind: Kind) -> int:
        self._made[kind] += 1
        return draw_size(self.random, long=self._made[kind] == self._long_at)

    def write(self, file: SharedFile, **fields: Any) -> Request:
        """Replace the document by a new one, blindly; ``fields`` replace those of the file's shape."""
        shape = {**file.shape, **fields} if isinstance(file.shape, Mapping) else file.shape
        return Request(_WRITE, file.path, size=self._size(_WRITE), shape=shape)

    def update(self, file: SharedFile, *edits: Edit, locked: bool = False) -> Request:
        """Read, change, write: one operation on a target that has it."""
        return Request(_UPDATE, file.path, size=self._size(_UPDATE), edits=edits, locked=locked)

    def append(self, file: SharedFile) -> Request:
        """Append one record to a log; most are short, as lines of logs are."""
        self._made[_APPEND] += 1
        draw = self.random.random() * 8
        size = draw_size(self.random) if draw < 1 else int(16 + draw % 1 * 144)
        if self._made[_APPEND] in (self._long_at, 3 * self._long_at):
            size = max(size, _LONG_RECORD)
        return Request(_APPEND, file.path, size=size)

    def read(self, file: SharedFile) -> Request:
        """Read with the target's own reader (with `observe`'s, where it has none)."""
        return Request(_READ, file.path)

    def observe(self, file: SharedFile) -> Request:
        """Read as an outsider: open, read to the end, close."""
        return Request(_OBSERVE, file.path)

    def backup(self, file: SharedFile) -> Request:
        """Make a backup with the target, and look at what it made."""
        return Request(_BACKUP, file.path)

    def observe_backup(self, file: SharedFile) -> Request:
        """Read the newest backup that a listing shows, as an outsider."""
        return Request(_OBSERVE_BACKUP, file.path)

    def recover(self, file: SharedFile) -> Request:
        """Have the target recover the file."""
        return Request(_RECOVER, file.path)


@dataclass(frozen=True, slots=True)
class Role:
    """What an agent does again and again. ``needs`` are operations that the target must have."""

    name: str
    worker_role: str
    """Whether writers or readers do it: a value of `stress.history.kinds.WorkerRole`."""
    steps: Callable[[Agent], Steps]
    needs: frozenset[str] = frozenset()
    weight: int = 1
    """How often an agent with several roles turns to this one, against the others."""
    optional: bool = False
    """Whether the scenario is worth running with a target that has not what this role needs."""


@dataclass(frozen=True)
class Scenario:
    """Which files, which roles, which checkers."""

    name: str
    about: str
    """One line for ``stress list``."""
    files: tuple[SharedFile, ...]
    roles: tuple[Role, ...]
    checkers: frozenset[str]
    kinds: frozenset[Kind] = frozenset()
    """The kinds of operation without which a run of it has proved nothing."""
    colleagues: bool = False
    """Whether its workers are two users of one group (`stress.host.users`): every file is the group's to write."""
    parts: Sequence[str] = ()
    """For a scenario that is several at once: their names; it has no files and roles of its own."""

    @property
    def needs(self) -> frozenset[str]:
        """The operations that a target must have for this scenario."""
        return frozenset().union(*(role.needs for role in self.roles if not role.optional))
