"""What the charts show: rates, latencies and shares, from the columns in one pass, a piece at a time.

Latencies go into a histogram (`stress.latency`) for each series and each slice of time, in buckets 9 % wide: its size
does not depend on the number of operations, and percentiles are as exact as the buckets are wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stress import latency
from stress.history.history import Columns, History, ProcessFacts
from stress.history.kinds import MUTATIONS, Kind, Language, Outcome, WorkerRole

SLICES = 150
"""Slices of time that a run is divided into, at most."""
PER_OCTAVE = 8
"""Buckets of latency to a doubling."""
SHARES_MAX = 64
"""Writers whose share is shown."""

_FINER = latency.PER_OCTAVE // PER_OCTAVE
_BUCKETS = latency.BUCKETS // _FINER
_NAMES_MAX = 4  # processes that had one place
_PIECE = 1 << 20  # rows
_PER_SLICE = 60  # operations; fewer would show chance

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Series:
    """The acknowledged operations of one kind in one language."""

    kind: str
    language: str
    rate: list[float]
    """Of each slice of time, how many a second."""
    percentiles: dict[str, list[float | None]]
    """``p50``, ``p95`` and ``p99`` of latency in each slice, ms; None without any operation."""
    spread_ms: list[float]
    """The lower edges of the buckets of latency from the first to the last that is used, ms."""
    spread: list[float]
    """The share of the operations that is in each of these."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one writer got done: changes, and in percent of what the most busy one did."""

    processes: str
    language: str
    done: int
    percent: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What the charts of a run draw."""

    operations: int
    slices: int
    slice_s: float
    series: list[Series]
    shares: list[Share]
    """Those that got the most done first; of too many, the first and the last."""
    shares_total: int


def figures(history: History) -> Figures:
    """What the charts draw of a run."""
    keys, tally, done, slice_s = _tally(history)
    edges_ms = 2 ** (np.arange(_BUCKETS + 1) / PER_OCTAVE) / 1e6
    series = []
    for (kind, language), counts in zip(keys, tally, strict=True):
        whole = counts.sum(axis=0)
        used = np.flatnonzero(whole)
        span = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0)
        series.append(
            Series(
                kind=kind.label,
                language=language.label,
                rate=[round(rate, 2) for rate in (counts.sum(axis=1) / slice_s).tolist()],
                percentiles={f"p{percent}": _percentile(counts, percent / 100) for percent in (50, 95, 99)},
                spread_ms=[float(f"{edge:.4g}") for edge in edges_ms[span]],
                spread=[round(share, 6) for share in (whole[span] / max(1, whole.sum())).tolist()],
            )
        )
    shares = _shares(history, done)
    half = SHARES_MAX // 2
    return Figures(
        operations=len(history.ops),
        slices=tally.shape[1],
        slice_s=slice_s,
        series=series,
        shares=shares if len(shares) <= SHARES_MAX else [*shares[:half], *shares[-half:]],
        shares_total=len(shares),
    )


def _tally(history: History) -> tuple[list[tuple[Kind, Language]], Counts, Counts, float]:
    """The series that there are; series × slice × bucket → acknowledged operations; process → changes acknowledged; and
    the length of a slice, seconds.
    """
    ops = history.ops
    last = int(ops["return"].max()) if len(ops) else history.began
    length_ns = max(last, history.ended, history.began + 1) - history.began
    slices = min(SLICES, max(12, len(ops) // _PER_SLICE))
    keys = np.zeros(1 << 12, np.int64)
    for piece in _pieces(history):
        keys += np.bincount(_key(piece), minlength=len(keys))
    found = np.flatnonzero(keys)
    place = np.zeros(len(keys), np.int64)
    place[found] = np.arange(len(found))
    counts = np.zeros(len(found) * slices * _BUCKETS, np.int64)
    processes = 1 + max((facts.process for facts in history.processes), default=0)
    processes = max(processes, int(ops["process"].max()) + 1 if len(ops) else 0)
    done = np.zeros(processes, np.int64)
    for piece in _pieces(history):
        bucket = latency.buckets_of(piece["return"] - piece["invoke"]) // _FINER
        # Divided first: a product of nanoseconds and slices may leave 64 bits behind after some years.
        when = ((piece["return"] - history.began) / length_ns * slices).astype(np.int64).clip(0, slices - 1)
        counts += np.bincount((place[_key(piece)] * slices + when) * _BUCKETS + bucket, minlength=len(counts))
        done += np.bincount(piece["process"][np.isin(piece["kind"], MUTATIONS)], minlength=processes)
    series = [(Kind(int(key) >> 6), Language(int(key) & 63)) for key in found]
    return series, counts.reshape(len(found), slices, _BUCKETS), done, length_ns / slices / 1e9


def _pieces(history: History) -> Iterator[Columns]:
    """The acknowledged operations, a bounded number at a time."""
    for start in range(0, len(history.ops), _PIECE):
        piece = history.ops[start : start + _PIECE]
        yield piece[piece["outcome"] == Outcome.OK]


def _key(piece: Columns) -> Counts:
    key: Counts = piece["kind"].astype(np.int64) << 6 | piece["language"]
    return key


def _percentile(counts: Counts, share: float) -> list[float | None]:
    """For each slice, in milliseconds: the middle of the bucket that the percentile falls into; None without any."""
    running = counts.cumsum(axis=1)
    total = running[:, -1]
    bucket = (running < np.maximum(1, np.ceil(total * share))[:, None]).sum(axis=1)
    middle = 2 ** ((bucket + 0.5) / PER_OCTAVE) / 1e6
    return [float(f"{at:.4g}") if some else None for at, some in zip(middle.tolist(), total.tolist(), strict=True)]


def _shares(history: History, done: Counts) -> list[Share]:
    """What each writer got done, most first; processes that took one place after another count as one writer."""
    workers: dict[int, list[ProcessFacts]] = {}
    for facts in history.processes:
        if facts.role is WorkerRole.WRITER:
            workers.setdefault(facts.worker, []).append(facts)
    numbers = {worker: [facts.process for facts in those] for worker, those in workers.items()}
    changes = {worker: int(done[numbers[worker]].sum()) for worker in workers}
    most = max(changes.values(), default=0)
    return [
        Share(
            _named(numbers[worker]),
            workers[worker][0].language.label,
            changes[worker],
            round(100 * changes[worker] / max(1, most), 2),
        )
        for worker in sorted(workers, key=lambda worker: (-changes[worker], numbers[worker]))
    ]


def _named(processes: Sequence[int]) -> str:
    more = len(processes) - _NAMES_MAX
    return ", ".join(f"p{process}" for process in processes[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")
