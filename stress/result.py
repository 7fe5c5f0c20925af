"""Findings, verdict, result: what a run or a check comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, TypeAlias

from stress.anomalies import ANOMALIES, Anomaly
from stress.exits import EXIT_INTERRUPTED
from stress.history.events import Event
from stress.history.history import History
from stress.history.naming import Naming
from stress.history.record import Operation
from stress.history.skipped import Skipped
from stress.stats import Operations, Stats


class Verdict(IntEnum):
    """In order of rank: a violation outranks doubt, and doubt outranks success."""

    PASS = 0
    UNKNOWN = 1
    FAIL = 2

    @property
    def label(self) -> str:
        """``pass``, ``unknown`` or ``fail``."""
        return self.name.lower()

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 unknown."""
        return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}[self]


Details: TypeAlias = tuple[tuple[str, str], ...]
"""Lines below a finding's message, as (label, text): ``expected``, ``seen``, ``parts``, ``noted``, ``left so``, …"""


@dataclass(frozen=True, slots=True)
class Owner:
    """Bytes ``start`` to ``stop`` were written as part of ``version`` (`NO_VERSION`: they show nobody's name)."""

    version: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Bytes that were seen in place of a complete document."""

    content: bytes
    """What was kept of them."""
    offset: int
    """From which byte on they are wrong."""
    owners: tuple[Owner, ...]
    """Whose they are, from the first byte to the last."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One anomaly on one file: the best witness, and how often it was seen."""

    anomaly: Anomaly
    """Its name, such as ``lost-update``."""
    checker: str
    scenario: str
    file: str
    message: str
    """What happened, in a sentence that stands by itself."""
    witness: tuple[Operation, ...] = ()
    """The operations that prove it, in order of invocation; few."""
    detail: Details = ()
    """What was expected, what was seen, and so on."""
    count: int = 1
    verdict: Verdict = Verdict.FAIL
    """``UNKNOWN`` for what casts doubt on the run itself (a dead worker, no overlap) and proves no violation."""
    focus: Operation | None = field(default=None, repr=False, compare=False)
    """The one of the witness that the finding is about: the offending read, the update that was lost."""
    evidence: Evidence | None = field(default=None, repr=False, compare=False)
    """The bytes that the finding is about, where it is about bytes of a document."""
    cause: str = field(default="", repr=False, compare=False)
    """What most often lies behind it; where that is not said, what most often lies behind its anomaly."""

    def __post_init__(self) -> None:
        # A name that nobody has explained raises here: `UnknownName`.
        object.__setattr__(self, "anomaly", ANOMALIES.get(self.anomaly))
        object.__setattr__(self, "cause", self.cause or self.anomaly.cause)

    @property
    def rank(self) -> tuple[int, int, int]:
        """Where it stands among others, the worst first: violations before doubts, then as its anomaly does."""
        return -self.verdict, *self.anomaly.rank


def witness(history: History, rows: Iterable[int]) -> tuple[Operation, ...]:
    """The operations of ``rows`` in order of invocation, each once."""
    return tuple(history.operation(row) for row in sorted({int(row) for row in rows}))


@dataclass(frozen=True, slots=True)
class Exploration:
    """What was explored, and the schedule that failed."""

    schedules: int
    """Executions."""
    interleavings: int
    """Different orders of file syscalls among them."""
    seconds: float
    """From its start to its end, shrinking included."""
    cases: tuple[tuple[str, str], ...]
    """(scenario and languages, what was reached with it: a proof or a probability, in words)."""
    proved: bool
    """Whether every interleaving of every case is covered, and none failed."""
    failing: int = 0
    """Executions in which something was found."""
    found_after: int = 0
    """The first failing one, from 1; 0: none."""
    critical: str = ""
    """The steps that the failure needs, in a sentence."""
    table: tuple[str, ...] = ()
    """The failing schedule, shrunk: lines of text, a column a process."""
    names: tuple[str, ...] = ()
    """Of the processes."""
    rows: tuple[tuple[int, int, str, bool], ...] = ()
    """The same schedule: (step from 1, process from 0, file syscall, whether the failure needs it)."""
    file: str = ""
    """Where that schedule was saved."""
    invisible: str = (
        "loads and stores of mapped files, io_uring (answered ENOSYS), and the order of what processes do between file "
        "syscalls"
    )
    """What was not scheduled."""


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    stats: Stats
    plan: Mapping[str, Any]
    checkers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Scenario → the names of the checkers that judged it: what a PASS claims is made from these."""
    skipped: tuple[Skipped, ...] = ()
    allowed: Mapping[str, int] = field(default_factory=dict)
    """Anomaly that is not judged → how often it struck all the same."""
    run: str = ""
    """The run directory, where it was kept."""
    interrupted: bool = False
    interrupted_by: str = ""
    """Who cut it short, in words, where it was not a signal to the tool itself."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """When, where and with what it was made: see `stress.host.provenance`. Empty where nobody knows."""
    began: int = 0
    """When the start barrier was opened, ``CLOCK_MONOTONIC`` ns: what the times of a witness are told from."""
    history: History | None = field(default=None, repr=False, compare=False)
    """What was judged, for reports that draw it."""
    events: tuple[Event, ...] = field(default=(), repr=False, compare=False)
    """Starts, ends and faults, in order of time."""

    exploration: Exploration | None = None
    """Where schedules were explored: how many, and what that proves."""

    @property
    def names(self) -> Naming:
        """What processes, versions and times are called in reports."""
        return Naming(self.began) if self.history is None else self.history.names

    def without_history(self) -> Result:
        """The same without what it was judged from, which may be hundreds of megabytes: for who keeps many."""
        return self if self.foreign else replace(self, history=None, events=())

    @property
    def foreign(self) -> bool:
        """Whether this is of a history from elsewhere: there is no plan, no command, no target."""
        return not self.plan

    @property
    def operations(self) -> Operations:
        """Kind → language → outcome → count, by their labels."""
        return self.stats.operations

    @property
    def exit_code(self) -> int:
        """The documented exit code: 130 for a run that was interrupted, else the verdict's."""
        return EXIT_INTERRUPTED if self.interrupted and self.verdict is not Verdict.FAIL else self.verdict.exit_code
