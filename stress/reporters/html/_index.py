"""The list of what was found: each anomaly once, with the findings of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stress.result import Finding

ANOMALIES_MAX = 60


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An anomaly: how often it was seen, (number, file) of each finding that is shown, and how many are not."""

    anomaly: str
    about: str
    count: int
    places: list[tuple[int, str]]
    left_out: int


def index_of(findings: Sequence[Finding], shown: int) -> list[IndexEntry]:
    """In the order in which the anomalies first come. ``findings`` are numbered from 1; the first ``shown`` are on the
    page.
    """
    groups: dict[str, list[tuple[int, Finding]]] = {}
    for place, finding in enumerate(findings, 1):
        groups.setdefault(finding.anomaly, []).append((place, finding))
    return [
        IndexEntry(
            anomaly[:80],
            group[0][1].anomaly.about,
            sum(finding.count for _, finding in group),
            [(place, finding.file[:200]) for place, finding in group if place <= shown],
            sum(place > shown for place, _ in group),
        )
        for anomaly, group in list(groups.items())[:ANOMALIES_MAX]
    ]
