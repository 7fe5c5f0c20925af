"""Following the journals of a run under way, for the live view: counts, latencies and violations that show at once.

What is seen here is never the verdict: that is the checkers', when all is over.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stress.history.history import Columns, FileFacts
from stress.history.journal import read_more_rows
from stress.history.record import GARBAGE, Kind, Language, Outcome

__all__ = ["Count", "Progress", "Tail"]

_BUCKETS_PER_OCTAVE = 8


@dataclass(frozen=True, slots=True)
class Count:
    """Operations of one kind in one language so far."""

    total: int
    per_s: float
    """Over the last second or so."""
    p50_s: float
    p99_s: float
    failed: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come. Times in seconds."""

    phase: str
    """``starting``, ``running``, ``stopping`` or ``checking``."""
    elapsed_s: float
    duration_s: float | None
    ops: int | None
    counts: Mapping[tuple[str, str], Count]
    """(kind, language) → count."""
    overlap: float
    """Mean number of operations in flight."""
    kills: int
    violations: Mapping[str, int]
    """Anomaly → how many, of those that can be told before the end."""
    writers: int
    readers: int


@dataclass
class _Sum:
    total: int = 0
    failed: int = 0
    unknown: int = 0
    buckets: np.ndarray[tuple[int], np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(64 * 8, np.int64))
    recent: list[tuple[float, int]] = field(default_factory=list)

    def quantile_s(self, q: float) -> float:
        total = int(self.buckets.sum())
        if not total:
            return 0.0
        bucket = int(np.searchsorted(np.cumsum(self.buckets), q * total))
        return float(2 ** ((bucket + 0.5) / _BUCKETS_PER_OCTAVE) / 1e9)


class Tail:
    """Reads what has been added to the journals of a run since the last look."""

    def __init__(self, run: Path, files: tuple[FileFacts, ...]) -> None:
        self._folder = run / "journal"
        self._torn = np.array([index for index, facts in enumerate(files) if "torn" in facts.checkers], np.int64)
        self._fds: dict[str, tuple[int, int]] = {}  # name → descriptor, rows taken
        self._sums: dict[tuple[int, int], _Sum] = {}
        self._busy_ns = 0
        self._parents: set[tuple[int, int]] = set()
        self.violations: dict[str, int] = {}

    def look(self, now_s: float) -> None:
        """Take in what is new; ``now_s`` is the time since the gate opened."""
        for name in os.listdir(self._folder):
            if name.endswith(".ops") and name not in self._fds:
                self._fds[name] = (os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC), 0)
        # All at once: numpy's calls cost more than so few rows do.
        rows, counts = read_more_rows(list(self._fds.values()))
        # A process has one open row at most, its last.
        is_open = rows["outcome"] == Outcome.OPEN
        ends = np.cumsum(counts)
        for (name, (fd, known)), count, end in zip(list(self._fds.items()), counts, ends, strict=True):
            if count:
                self._fds[name] = fd, known + count - int(is_open[end - 1])
        if not is_open.all():
            self._add(rows[~is_open], now_s)

    def close(self) -> None:
        """Let go of the journals."""
        for fd, _ in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def counts(self, now_s: float) -> dict[tuple[str, str], Count]:
        """The figures so far, by kind and language."""
        made: dict[tuple[str, str], Count] = {}
        for (kind, language), total in sorted(self._sums.items()):
            total.recent = [(at, count) for at, count in total.recent if at > now_s - 2]
            span = max(min(now_s, 2.0), 0.25)
            made[Kind(kind).label, Language(language).label] = Count(
                total.total, sum(count for _, count in total.recent) / span, total.quantile_s(0.5),
                total.quantile_s(0.99), total.failed, total.unknown,
            )  # fmt: skip
        return made

    def overlap(self, now_s: float) -> float:
        """Mean number of operations in flight."""
        return self._busy_ns / (now_s * 1e9) if now_s > 0 else 0.0

    def _add(self, rows: Columns, now_s: float) -> None:
        spans = np.maximum(rows["return"] - rows["invoke"], 1)
        self._busy_ns += int(spans.sum())
        buckets = np.minimum((np.log2(spans) * _BUCKETS_PER_OCTAVE).astype(np.int64), 511)
        keys = rows["kind"].astype(np.int64) * 16 + rows["language"]
        for key in np.unique(keys):
            chosen = keys == key
            total = self._sums.setdefault((int(key) // 16, int(key) % 16), _Sum())
            count = int(chosen.sum())
            total.total += count
            total.recent.append((now_s, count))
            total.failed += int((rows["outcome"][chosen] == Outcome.FAIL).sum())
            total.unknown += int((rows["outcome"][chosen] == Outcome.INFO).sum())
            total.buckets += np.bincount(buckets[chosen], minlength=512)
        ok = rows[rows["outcome"] == Outcome.OK]
        seen = (
            np.isin(ok["kind"], (Kind.READ, Kind.OBSERVE))
            & (ok["version"] == GARBAGE)
            & np.isin(ok["file"], self._torn)
        )
        self._count("torn-read", int(seen.sum()))
        updates = ok[(ok["kind"] == Kind.UPDATE) & (ok["parent"] >= 0)]
        for parent in zip(updates["file"].tolist(), updates["parent"].tolist(), strict=True):
            if parent in self._parents:
                self._count("lost-update", 1)
            self._parents.add(parent)

    def _count(self, anomaly: str, more: int) -> None:
        if more:
            self.violations[anomaly] = self.violations.get(anomaly, 0) + more
