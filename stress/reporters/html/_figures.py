"""What the charts show: rates, latencies and shares, from the columns in one pass, a piece at a time.

Latencies go into a histogram (`stress.latency`) for each series and each slice of time, in buckets 9 % wide: its size
does not depend on the number of operations, and percentiles are as exact as the buckets are wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stress import latency
from stress.history.events import Event, FaultInjected
from stress.history.history import Columns, History
from stress.history.record import Kind, Language, Outcome, WorkerRole
from stress.reporters.processes import process_name

SLICES = 150
"""Slices of time that a run is divided into, at most."""
PER_OCTAVE = 8
"""Buckets of latency to a doubling."""
FAULTS_MAX = 400
"""Faults that are drawn."""
SHARES_MAX = 64
"""Writers whose share is shown."""

_FINER = latency.PER_OCTAVE // PER_OCTAVE
_BUCKETS = latency.BUCKETS // _FINER
_NAMES_MAX = 4  # processes that had one place
_PIECE = 1 << 20  # rows
_PER_SLICE = 60  # operations; fewer would show chance
_CHANGES = (Kind.WRITE, Kind.UPDATE, Kind.APPEND, Kind.BACKUP, Kind.RECOVER)

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Tally:
    """``counts``: series × slice × bucket → acknowledged operations. ``done``: process → changes acknowledged."""

    series: list[tuple[Kind, Language]]
    counts: Counts
    done: Counts
    slice_s: float


def figures(history: History, events: Sequence[Event]) -> dict[str, Any]:
    """The charts' data as plain values; times in seconds since the start barrier was opened, latencies in ms."""
    tally = _tally(history)
    times = [round((number + 0.5) * tally.slice_s, 6) for number in range(tally.counts.shape[1])]
    edges_ms = 2 ** (np.arange(_BUCKETS + 1) / PER_OCTAVE) / 1e6
    series = []
    for (kind, language), counts in zip(tally.series, tally.counts, strict=True):
        whole = counts.sum(axis=0)
        used = np.flatnonzero(whole)
        span = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0)
        series.append(
            {
                "kind": kind.label,
                "language": language.label,
                "total": int(whole.sum()),
                "rate": [round(rate, 2) for rate in (counts.sum(axis=1) / tally.slice_s).tolist()],
                "p50": _percentile(counts, 0.5),
                "p95": _percentile(counts, 0.95),
                "p99": _percentile(counts, 0.99),
                "spread_ms": [float(f"{edge:.4g}") for edge in edges_ms[span]],
                "spread": [round(share, 6) for share in (whole[span] / max(1, whole.sum())).tolist()],
            }
        )
    return {
        "operations": len(history.ops),
        "slice_s": tally.slice_s,
        "times": times,
        "series": series,
        **_shares(history, tally.done),
        **_faults(history, events),
    }


def _tally(history: History) -> _Tally:
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
        done += np.bincount(piece["process"][np.isin(piece["kind"], _CHANGES)], minlength=processes)
    series = [(Kind(int(key) >> 6), Language(int(key) & 63)) for key in found]
    return _Tally(series, counts.reshape(len(found), slices, _BUCKETS), done, length_ns / slices / 1e9)


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


def _shares(history: History, done: Counts) -> dict[str, Any]:
    """What each writer got done, most first; processes that took one place after another count as one writer.

    Of more than `SHARES_MAX` writers, those that got the most and the least done.
    """
    workers: dict[int, dict[str, Any]] = {}
    for facts in history.processes:
        if facts.role is WorkerRole.WRITER:
            worker = workers.setdefault(facts.worker, {"language": facts.language.label, "done": 0, "processes": []})
            worker["done"] += int(done[facts.process])
            worker["processes"].append(facts.process)
    shares = sorted(workers.values(), key=lambda worker: (-worker["done"], worker["processes"]))
    most = max((share["done"] for share in shares), default=0)
    for share in shares:
        names = [process_name(process) for process in share["processes"]]
        more = len(names) - _NAMES_MAX
        share["processes"] = ", ".join(names[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")
        share["percent"] = round(100 * share["done"] / max(1, most), 2)
    shown = shares if len(shares) <= SHARES_MAX else [*shares[: SHARES_MAX // 2], *shares[-SHARES_MAX // 2 :]]
    return {"shares_total": len(shares), "shares": shown}


def _faults(history: History, events: Sequence[Event]) -> dict[str, Any]:
    faults = [event for event in events if isinstance(event, FaultInjected)]
    every = -(-len(faults) // FAULTS_MAX) or 1
    return {
        "faults_total": len(faults),
        "faults": [
            {
                "fault": str(fault.kind),
                "at_s": round((fault.at - history.began) / 1e9, 6),
                "lasts_s": round(fault.lasts_s, 6),
                "process": fault.process,
            }
            for fault in faults[::every]
        ],
    }
