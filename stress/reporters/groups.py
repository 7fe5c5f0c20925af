"""What was found, in the order of what matters: each anomaly with the places where it struck, the worst first.

Every report tells it in this order. Violations come before doubts; lost and torn data before what was to save it, and
that before metadata and what is left behind (`stress.anomalies.Harm`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stress.anomalies import Anomaly
from stress.result import Finding, Verdict

_NUMBERED = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*\d)[A-Za-z0-9]{6,}(?![A-Za-z0-9])|\d+")
"""What differs between files of one kind: a number, or a word with digits in it, as temporary names have."""


@dataclass(frozen=True, slots=True)
class Group:
    """One anomaly in one scenario, in files whose names differ by a number only."""

    findings: tuple[Finding, ...]
    """One at least; the best witness first."""

    @property
    def best(self) -> Finding:
        """The one to be shown."""
        return self.findings[0]

    @property
    def anomaly(self) -> Anomaly:
        """What was found."""
        return self.best.anomaly

    @property
    def count(self) -> int:
        """How often it was seen in all of them."""
        return sum(finding.count for finding in self.findings)

    @property
    def files(self) -> int:
        """In how many files."""
        return len({finding.file for finding in self.findings})

    @property
    def place(self) -> str:
        """The file, or ``112 files resume-*/state.json``; empty where it is about none."""
        if self.files == 1:
            return self.best.file
        return f"{self.files:,} files {_pattern(self.best.file)}"

    @property
    def checkers(self) -> tuple[str, ...]:
        """Who found it."""
        return tuple(dict.fromkeys(finding.checker for finding in self.findings))


@dataclass(frozen=True, slots=True)
class Told:
    """All that was found of one anomaly: ``first`` is told with its full witness, ``others`` in a line each."""

    first: Group
    others: tuple[Group, ...]


def groups_of(findings: Iterable[Finding]) -> list[Group]:
    """The findings by anomaly, scenario and file pattern, in the order of what matters. Within one anomaly those with
    a witness come first, then those in the most files.
    """
    made: dict[tuple[Verdict, Anomaly, str, str], list[Finding]] = {}
    for finding in findings:
        key = finding.verdict, finding.anomaly, finding.scenario, _pattern(finding.file)
        made.setdefault(key, []).append(finding)
    groups = [Group(tuple(sorted(those, key=_worth))) for those in made.values()]
    return sorted(groups, key=lambda group: (*group.best.rank, *_worth(group.best)[:1], -group.files, -group.count))


def told(findings: Iterable[Finding]) -> list[Told]:
    """Each anomaly once, the worst first."""
    made: dict[tuple[Verdict, Anomaly], list[Group]] = {}
    for group in groups_of(findings):
        made.setdefault((group.best.verdict, group.anomaly), []).append(group)
    return [Told(first, tuple(others)) for first, *others in made.values()]


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The best of each anomaly, then the best of each other group, then the rest."""
    all_ = told(findings)
    groups = [*(each.first for each in all_), *(group for each in all_ for group in each.others)]
    rest: Sequence[Finding] = [finding for group in groups for finding in group.findings[1:]]
    return [*(group.best for group in groups), *rest]


def _pattern(path: str) -> str:
    return _NUMBERED.sub("*", path)


def _worth(finding: Finding) -> tuple[bool, int]:
    """How little a finding shows: sorts those with a witness first, then those that were seen often."""
    return not finding.witness, -finding.count
