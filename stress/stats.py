"""Figures of a run: what was done, how fast, how much at once, and what the harness itself cost.

They are values that add up: those of the stages of a long run merge into those of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TypeAlias

import numpy as np

from stress.history.events import Event, FaultInjected
from stress.history.history import Columns, History
from stress.history.kinds import CHANGES, FaultKind, Kind, Language, Outcome
from stress.latency import BUCKETS, Counts, buckets_of, percentile_s

Operations: TypeAlias = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Kind → language → outcome → count, by their labels."""

_PIECE = 1 << 20  # rows


@dataclass(frozen=True, slots=True)
class Cpu:
    """Where CPU time went, in seconds, from the start barrier to the end."""

    python_workers_s: float
    python_operations_s: float
    """The part of it that was spent in the operations under test."""
    shell_workers_s: float
    tool_s: float
    """Of the tool and the supervisor, which drives the Bash workers."""

    @property
    def harness_share(self) -> float:
        """The harness's own share of all of it: what was not spent in workers' operations."""
        whole_s = self.python_workers_s + self.shell_workers_s + self.tool_s
        own_s = self.python_workers_s - self.python_operations_s + self.tool_s
        return own_s / whole_s if whole_s else 0.0

    def merge(self, other: Cpu) -> Cpu:
        """Both together."""
        return Cpu(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def to_plain(self) -> dict[str, float]:
        """As values of JSON."""
        return {**asdict(self), "harness_share": self.harness_share}

    @classmethod
    def from_plain(cls, plain: Mapping[str, float]) -> Cpu:
        """The inverse of `to_plain`; raises KeyError, TypeError or ValueError for what is none."""
        return cls(**{each.name: float(plain[each.name]) for each in fields(cls)})


@dataclass(frozen=True, eq=False)
class KindStats:
    """Operations of one kind by workers of one language."""

    outcomes: Mapping[Outcome, int]
    spans: Counts = field(default_factory=lambda: np.zeros(BUCKETS, np.int64), repr=False)
    """How long the acknowledged ones took: counts by the buckets of `stress.latency`."""

    @property
    def total(self) -> int:
        """All of them, whatever became of them."""
        return sum(self.outcomes.values())

    @property
    def ok(self) -> int:
        """How many were acknowledged."""
        return self.outcomes.get(Outcome.OK, 0)

    @property
    def failed(self) -> int:
        """How many certainly did not happen."""
        return self.outcomes.get(Outcome.FAIL, 0)

    @property
    def unknown(self) -> int:
        """Of how many nobody knows."""
        return self.outcomes.get(Outcome.INFO, 0) + self.outcomes.get(Outcome.OPEN, 0)

    @property
    def p50_s(self) -> float | None:
        """Half of the acknowledged ones took no longer, seconds; None without any."""
        return percentile_s(self.spans, 0.5)

    @property
    def p99_s(self) -> float | None:
        """All but a hundredth of the acknowledged ones took no longer, seconds; None without any."""
        return percentile_s(self.spans, 0.99)

    def merge(self, other: KindStats) -> KindStats:
        """Both together."""
        outcomes = {
            outcome: self.outcomes.get(outcome, 0) + other.outcomes.get(outcome, 0)
            for outcome in sorted({*self.outcomes, *other.outcomes})
        }
        return KindStats(outcomes, self.spans + other.spans)


@dataclass(frozen=True)
class Stats:
    """Figures of one run, or of several one after the other."""

    duration_s: float = 0.0
    """From the start barrier until the workers were told to stop."""
    kinds: Mapping[tuple[Kind, Language], KindStats] = field(default_factory=dict)
    processes: int = 0
    in_flight_s: float = 0.0
    """The durations of all operations, added up."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """How often the nemesis injected each."""
    cpu: Cpu | None = None
    """Not known of a history from elsewhere."""
    stages: int = 0
    """How many runs this is made of; 0: it is one that was not divided."""

    @property
    def total(self) -> int:
        """Operations of all kinds."""
        return sum(kind.total for kind in self.kinds.values())

    @property
    def mean_in_flight(self) -> float:
        """How many operations went on at the same time, on average."""
        return self.in_flight_s / self.duration_s if self.duration_s else 0.0

    @property
    def changes_per_s(self) -> float:
        """Acknowledged writes, updates and appends a second."""
        return sum(each.ok for (kind, _), each in self.kinds.items() if kind in CHANGES) / max(self.duration_s, 1e-9)

    @property
    def change_p50_s(self) -> float | None:
        """Half of the acknowledged writes, updates and appends took no longer, seconds; None without any."""
        spans = [each.spans for (kind, _), each in self.kinds.items() if kind in CHANGES]
        return percentile_s(np.sum(spans, axis=0), 0.5) if spans else None

    @property
    def operations(self) -> Operations:
        """Kind → language → outcome → count, by their labels."""
        made: dict[str, dict[str, dict[str, int]]] = {}
        for (kind, language), each in sorted(self.kinds.items()):
            by_outcome = {outcome.label: count for outcome, count in each.outcomes.items()}
            made.setdefault(kind.label, {})[language.label] = by_outcome
        return made

    @property
    def per_s(self) -> dict[tuple[Kind, Language], float]:
        """Acknowledged operations of each kind and language a second."""
        return {key: each.ok / self.duration_s if self.duration_s else 0.0 for key, each in self.kinds.items()}

    def merge(self, other: Stats) -> Stats:
        """Both together, one after the other."""
        kinds = dict(self.kinds)
        for key, each in other.kinds.items():
            kinds[key] = kinds[key].merge(each) if key in kinds else each
        return Stats(
            duration_s=self.duration_s + other.duration_s,
            kinds=kinds,
            processes=self.processes + other.processes,
            in_flight_s=self.in_flight_s + other.in_flight_s,
            faults={
                kind: self.faults.get(kind, 0) + other.faults.get(kind, 0) for kind in {**self.faults, **other.faults}
            },
            cpu=other.cpu if self.cpu is None else self.cpu if other.cpu is None else self.cpu.merge(other.cpu),
            stages=self.stages + other.stages,
        )

    def to_plain(self) -> dict[str, object]:
        """As values of JSON, as in the report."""
        per_s, rates = self.per_s, dict[str, dict[str, float]]()
        latency: dict[str, dict[str, dict[str, float | None]]] = {}
        for (kind, language), each in sorted(self.kinds.items()):
            if each.ok:
                rates.setdefault(kind.label, {})[language.label] = round(per_s[kind, language], 2)
                spans = {"p50_s": each.p50_s, "p99_s": each.p99_s}
                latency.setdefault(kind.label, {})[language.label] = spans
        return {
            "duration_s": self.duration_s,
            "operations": self.total,
            "processes": self.processes,
            "rates_per_s": rates,
            "latency": latency,
            "overlap": self.mean_in_flight,
            **{f"{kind}s": self.faults.get(kind, 0) for kind in FaultKind},
            "nemeses": {name: count for name, count in self.faults.items() if name not in frozenset(FaultKind)},
            **({"stages": self.stages} if self.stages else {}),
            **({} if self.cpu is None else {"cpu": self.cpu.to_plain()}),
        }


def stats_of(ops: Columns) -> Stats:
    """What these operations come to: their kinds and the time that they took."""
    keys = ops["kind"].astype(np.int64) << 4 | ops["language"]
    took, ok = ops["return"] - ops["invoke"], ops["outcome"] == Outcome.OK
    kinds = {}
    for key in np.unique(keys).tolist():
        own = keys == key
        outcomes = np.bincount(ops["outcome"][own]).tolist()
        kinds[Kind(key >> 4), Language(key & 15)] = KindStats(
            {Outcome(outcome): count for outcome, count in enumerate(outcomes) if count},
            np.bincount(buckets_of(took[own & ok]), minlength=BUCKETS),
        )
    return Stats(kinds=kinds, in_flight_s=int(took.sum()) / 1e9)


def run_stats(history: History, events: Iterable[Event] = (), cpu: Cpu | None = None) -> Stats:
    """The figures of a history and of what happened besides."""
    done = Stats()
    for start in range(0, len(history.ops), _PIECE):
        done = done.merge(stats_of(history.ops[start : start + _PIECE]))
    faults = [event.kind for event in events if isinstance(event, FaultInjected)]
    return replace(
        done,
        duration_s=max(history.ended - history.began, 1) / 1e9,
        processes=len(history.processes),
        faults={kind: faults.count(kind) for kind in dict.fromkeys([*FaultKind, *faults])},
        cpu=cpu,
    )
