"""Findings, verdict, result: what a run or a check comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from stress.history.history import History
from stress.history.record import Operation

__all__ = ["EXIT_HARNESS", "EXIT_INTERRUPTED", "EXIT_USAGE", "Finding", "Result", "Verdict", "witness"]

EXIT_USAGE = 2
EXIT_HARNESS = 4
EXIT_INTERRUPTED = 130


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


@dataclass(frozen=True, slots=True)
class Finding:
    """One anomaly on one file: the best witness, and how often it was seen."""

    anomaly: str
    """Its name, such as ``lost-update``."""
    checker: str
    scenario: str
    file: str
    message: str
    """What happened, in a sentence that stands by itself."""
    witness: tuple[Operation, ...] = ()
    """The operations that prove it, in order of invocation; few."""
    detail: tuple[str, ...] = ()
    """Further lines: what was expected, what was seen, the bytes."""
    count: int = 1
    verdict: Verdict = Verdict.FAIL
    """``UNKNOWN`` for what casts doubt on the run itself (a dead worker, no overlap) and proves no violation."""
    focus: Operation | None = field(default=None, repr=False, compare=False)
    """The one of the witness that the finding is about: the offending read, the update that was lost."""


def witness(history: History, rows: Iterable[int]) -> tuple[Operation, ...]:
    """The operations of ``rows`` in order of invocation, each once."""
    return tuple(history.operation(row) for row in sorted({int(row) for row in rows}))


@dataclass(frozen=True)
class Result:
    """What a run came to. ``operations`` counts kind → language → outcome; ``stats`` are in the README."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    operations: Mapping[str, Mapping[str, Mapping[str, int]]]
    stats: Mapping[str, Any]
    skipped: tuple[str, ...]
    """What was left out, each with its reason and what would bring it back."""
    plan: Mapping[str, Any]
    run: str = ""
    """The run directory, where it was kept."""
    interrupted: bool = False
    began: int = 0
    """When the gate was opened, ``CLOCK_MONOTONIC`` ns: what the times of a witness are told from."""
    history: History | None = field(default=None, repr=False, compare=False)
    """What was judged, for reports that draw it."""
    events: tuple[Mapping[str, Any], ...] = field(default=(), repr=False, compare=False)
    """Starts, ends and the strokes of the nemesis, as `stress.history.run_directory.read_events` gives them."""

    @property
    def exit_code(self) -> int:
        """The documented exit code: 130 for a run that was interrupted, else the verdict's."""
        return EXIT_INTERRUPTED if self.interrupted and self.verdict is not Verdict.FAIL else self.verdict.exit_code
