"""Following the journals of a run under way, for the live view: counts, latencies and violations that show at once.

What is seen here is never the verdict: that is the checkers', when all is over.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stress.history.history import Columns, FileFacts
from stress.history.journal import read_more_rows
from stress.history.record import GARBAGE, Kind, Language, Outcome

__all__ = ["Count", "JournalFollower", "Progress"]

_BUCKETS_PER_OCTAVE, _BUCKETS = 8, 512
_KINDS, _LANGUAGES = max(Kind) + 1, max(Language) + 1


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


class JournalFollower:
    """Reads what has been added to the journals of a run since the last look."""

    def __init__(self, run: Path, files: tuple[FileFacts, ...]) -> None:
        self._folder = run / "journal"
        self._torn = np.array(["torn" in facts.checkers for facts in files])
        self._fds: dict[str, tuple[int, int]] = {}  # name → descriptor, rows taken
        # By kind and language, and the durations by eighths of an octave of nanoseconds.
        self._buckets = np.zeros((_KINDS * _LANGUAGES, _BUCKETS), np.int64)
        self._outcomes = np.zeros((_KINDS * _LANGUAGES, len(Outcome)), np.int64)
        self._recent: deque[tuple[float, NDArray[np.int64]]] = deque()
        self._busy_ns = 0
        self._parents: set[tuple[int, int]] = set()
        self.violations: dict[str, int] = {}

    def poll(self, now_s: float) -> None:
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
        while self._recent and self._recent[0][0] <= now_s - 2:
            self._recent.popleft()
        recent = sum((more for _, more in self._recent), np.zeros(_KINDS * _LANGUAGES, np.int64))
        span_s = max(min(now_s, 2.0), 0.25)
        totals = self._outcomes.sum(axis=1)
        made: dict[tuple[str, str], Count] = {}
        for key in np.flatnonzero(totals).tolist():
            kind, language = divmod(key, _LANGUAGES)
            reached = np.cumsum(self._buckets[key])
            p50_s, p99_s = (_seconds_of(int(np.searchsorted(reached, q * totals[key]))) for q in (0.5, 0.99))
            made[Kind(kind).label, Language(language).label] = Count(
                int(totals[key]), int(recent[key]) / span_s, p50_s, p99_s, int(self._outcomes[key, Outcome.FAIL]),
                int(self._outcomes[key, Outcome.INFO]),
            )  # fmt: skip
        return made

    def overlap(self, now_s: float) -> float:
        """Mean number of operations in flight."""
        return self._busy_ns / (now_s * 1e9) if now_s > 0 else 0.0

    def _add(self, rows: Columns, now_s: float) -> None:
        spans = np.maximum(rows["return"] - rows["invoke"], 1)
        self._busy_ns += int(spans.sum())
        keys = rows["kind"].astype(np.int64) * _LANGUAGES + rows["language"]
        buckets = np.minimum((np.log2(spans) * _BUCKETS_PER_OCTAVE).astype(np.int64), _BUCKETS - 1)
        for sums, columns in ((self._buckets, buckets), (self._outcomes, rows["outcome"])):
            sums += np.bincount(keys * sums.shape[1] + columns, minlength=sums.size).reshape(sums.shape)
        self._recent.append((now_s, np.bincount(keys, minlength=_KINDS * _LANGUAGES)))
        kinds, ok = rows["kind"], rows["outcome"] == Outcome.OK
        looks = ok & ((kinds == Kind.READ) | (kinds == Kind.OBSERVE)) & (rows["version"] == GARBAGE)
        self._count("torn-read", int(self._torn[rows["file"][looks]].sum()))
        updates = rows[ok & (kinds == Kind.UPDATE) & (rows["parent"] >= 0)]
        for parent in zip(updates["file"].tolist(), updates["parent"].tolist(), strict=True):
            if parent in self._parents:
                self._count("lost-update", 1)
            self._parents.add(parent)

    def _count(self, anomaly: str, more: int) -> None:
        if more:
            self.violations[anomaly] = self.violations.get(anomaly, 0) + more


def _seconds_of(bucket: int) -> float:
    return float(2 ** ((bucket + 0.5) / _BUCKETS_PER_OCTAVE) / 1e9)
