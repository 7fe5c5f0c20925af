"""Following the journals of a run under way, for the live view: counts, latencies and violations that show at once.

What is seen here is never the verdict: that is the checkers', when all is over.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from stress.anomalies import LOST_UPDATE, MISSING_READ, TORN_READ, Anomaly
from stress.history.events import Ended, EventFollower, FaultInjected, Started
from stress.history.history import Columns, FileFacts
from stress.history.journal import read_more_rows
from stress.history.kinds import LANGUAGES_MAX, FaultKind, Kind, Language, Outcome
from stress.history.record import ABSENT, GARBAGE, INITIAL
from stress.stats import KindStats, Stats, stats_of


class Phase(StrEnum):
    """Where a run is."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    CHECKING = "checking"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come. Times in seconds."""

    phase: Phase
    elapsed_s: float = 0.0
    duration_s: float | None = None
    ops: int | None = None
    kinds: Mapping[tuple[Kind, Language], KindStats] = field(default_factory=dict)
    """Operations so far."""
    per_s: Mapping[tuple[Kind, Language], float] = field(default_factory=dict)
    """How many a second there were of each in the last two seconds."""
    mean_in_flight: float = 0.0
    kills: int = 0
    violations: Mapping[Anomaly, int] = field(default_factory=dict)
    """How many of each were seen, of those that can be told before the end."""
    writers: int = 0
    readers: int = 0
    stage: int = 0
    """Of a run in stages, the one under way, from 1; 0: it has none."""
    stages: int | None = None
    """How many there will be, where that is known."""

    @property
    def total(self) -> int:
        """Operations of all kinds."""
        return sum(kind.total for kind in self.kinds.values())


class JournalFollower:
    """Reads what has been added to the journals of a run since the last look."""

    def __init__(self, journals: Path, files: tuple[FileFacts, ...]) -> None:
        self._folder = journals
        self._torn = np.array(["torn" in facts.checkers for facts in files])
        self._there = np.array(
            ["torn" in facts.checkers and facts.recovery is None and facts.initial >= 0 for facts in files]
        )
        # By language, of those who read by the target's reader, and then by file, of outsiders.
        self._able = np.zeros(LANGUAGES_MAX + len(files), np.bool_)
        self._in_vain = {anomaly: np.zeros(len(self._able), np.int64) for anomaly in (TORN_READ, MISSING_READ)}
        self._events = EventFollower(journals.parent)
        self._coming: set[int] = set()
        """Processes that were started, and have no journal yet."""
        self._fds: dict[int, tuple[int, int]] = {}  # process → descriptor of its journal, rows taken
        self._recent: deque[tuple[float, Stats]] = deque()
        self.stats = Stats()
        """Of the operations so far."""
        self._parents: set[tuple[int, int]] = set()
        self.violations: dict[Anomaly, int] = {}
        self.kills = 0

    def poll(self, now_s: float) -> None:
        """Take in what is new; ``now_s`` is the time since the start barrier opened."""
        ended = self._follow_events()
        for process in list(self._coming):
            with suppress(FileNotFoundError):
                self._fds[process] = os.open(self._folder / f"p{process:06}.ops", os.O_RDONLY | os.O_CLOEXEC), 0
                self._coming.discard(process)
        # All at once: numpy's calls cost more than so few rows do.
        rows, counts = read_more_rows(list(self._fds.values()))
        # A process has one open row at most, its last.
        is_open = rows["outcome"] == Outcome.OPEN
        ends = np.cumsum(counts)
        for (process, (fd, known)), count, end in zip(list(self._fds.items()), counts, ends, strict=True):
            if count:
                self._fds[process] = fd, known + count - int(is_open[end - 1])
        for process in ended & self._fds.keys():
            os.close(self._fds.pop(process)[0])
        self._coming -= ended
        if not is_open.all():
            self._add(rows[~is_open], now_s)

    def _follow_events(self) -> set[int]:
        """Take in who was started and killed; the processes that have ended, whose journals grow no more."""
        ended = set()
        for event in self._events.poll():
            if isinstance(event, Started):
                self._coming.add(event.process)
            elif isinstance(event, Ended):
                ended.add(event.process)
            elif isinstance(event, FaultInjected):
                self.kills += event.kind is FaultKind.KILL
        return ended

    def close(self) -> None:
        """Let go of the journals."""
        for fd, _ in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def per_s(self, now_s: float) -> dict[tuple[Kind, Language], float]:
        """How many operations a second there were in the last two seconds."""
        while self._recent and self._recent[0][0] <= now_s - 2:
            self._recent.popleft()
        recent = functools.reduce(Stats.merge, (more for _, more in self._recent), Stats())
        span_s = max(min(now_s, 2.0), 0.25)
        return {key: each.total / span_s for key, each in recent.kinds.items()}

    def _add(self, rows: Columns, now_s: float) -> None:
        more = stats_of(rows)
        self._recent.append((now_s, more))
        self.stats = self.stats.merge(more)
        acknowledged, kinds = rows["outcome"] == Outcome.OK, rows["kind"]
        self._count_looks(rows[acknowledged & ((kinds == Kind.READ) | (kinds == Kind.OBSERVE))])
        updates = rows[acknowledged & (kinds == Kind.UPDATE) & (rows["parent"] >= 0)]
        for parent in zip(updates["file"].tolist(), updates["parent"].tolist(), strict=True):
            if parent in self._parents:
                self._count(LOST_UPDATE, 1)
            self._parents.add(parent)

    def _count_looks(self, looks: Columns) -> None:
        """Count what was torn or missing for who has found something before or since: a reader that never does is
        blind, and what no outsider finds in a file is kept elsewhere.
        """
        by_reader = looks["kind"] == Kind.READ
        who = np.where(by_reader, looks["language"], LANGUAGES_MAX + looks["file"].astype(np.intp))
        found = (looks["version"] >= 0) & (by_reader | (looks["version"] != INITIAL))
        self._able[who[found]] = True
        for anomaly, seen, judged in ((TORN_READ, GARBAGE, self._torn), (MISSING_READ, ABSENT, self._there)):
            counts = self._in_vain[anomaly]
            np.add.at(counts, who[(looks["version"] == seen) & judged[looks["file"]]], 1)
            self._count(anomaly, int(counts[self._able].sum()))
            counts[self._able] = 0

    def _count(self, anomaly: Anomaly, more: int) -> None:
        if more:
            self.violations[anomaly] = self.violations.get(anomaly, 0) + more
