"""Figures of a run: what was done, how fast, how much at once, and what the harness itself cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stress.history.history import History
from stress.history.journal import read_header
from stress.history.record import Kind, Language, Outcome

__all__ = ["cpu_shares", "operation_counts", "run_stats"]


def operation_counts(history: History) -> dict[str, dict[str, dict[str, int]]]:
    """Kind → language → outcome → count."""
    made: dict[str, dict[str, dict[str, int]]] = {}
    ops = history.ops
    keys, counts = np.unique(
        ops["kind"].astype(np.int64) << 16 | ops["language"].astype(np.int64) << 8 | ops["outcome"], return_counts=True
    )
    for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
        by_language = made.setdefault(Kind(key >> 16).label, {})
        by_language.setdefault(Language(key >> 8 & 255).label, {})[Outcome(key & 255).label] = count
    return made


def run_stats(history: History, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Rates (operations a second), p50 and p99 latency (seconds), overlap (mean operations in flight), strokes of
    the nemesis.
    """
    duration_s = max(history.ended - history.began, 1) / 1e9
    ops = history.ops
    spans = ops["return"] - ops["invoke"]
    latency: dict[str, dict[str, dict[str, float]]] = {}
    rates: dict[str, dict[str, float]] = {}
    for kind in np.unique(ops["kind"]):
        for language in np.unique(ops["language"]):
            chosen = spans[(ops["kind"] == kind) & (ops["language"] == language) & (ops["outcome"] == Outcome.OK)]
            if len(chosen):
                p50, p99 = np.quantile(chosen, (0.5, 0.99)) / 1e9
                names = Kind(int(kind)).label, Language(int(language)).label
                rates.setdefault(names[0], {})[names[1]] = round(len(chosen) / duration_s, 2)
                latency.setdefault(names[0], {})[names[1]] = {"p50_s": float(p50), "p99_s": float(p99)}
    strokes = [event["event"] for event in events]
    return {
        "duration_s": duration_s,
        "operations": len(ops),
        "processes": len(history.processes),
        "rates_per_s": rates,
        "latency": latency,
        "overlap": float(spans.sum() / 1e9 / duration_s),
        "kills": strokes.count("kill"),
        "pauses": strokes.count("pause"),
        "fills": strokes.count("fill"),
    }


def cpu_shares(run: Path, tool_cpu_s: float, events: list[dict[str, Any]]) -> Mapping[str, float]:
    """Where CPU time went, in seconds: into the operations under test, and into the harness, from the gate to the end.

    ``tool_cpu_s``: of the tool and the supervisor, which drives the Bash workers. In Python workers what is not inside
    an operation is the harness's; what Bash workers and their children spend counts as operations.
    """
    total = harness = before = 0
    for path in (run / "journal").glob("p*.ops"):
        with path.open("rb") as file:
            header = read_header(file.fileno())
        if header is not None and header.cpu_ns:
            total += header.cpu_ns
            before += header.cpu_before_ns
            harness += min(header.cpu_harness_ns, header.cpu_ns)
    shells = any(event["event"] == "started" and event["language"] != "python" for event in events)
    children_s = sum(event.get("children_cpu_s", 0.0) for event in events)
    shells_s = max(0.0, children_s - (total + before) / 1e9) if shells else 0.0
    harness_s = harness / 1e9 + tool_cpu_s
    whole_s = total / 1e9 + shells_s + tool_cpu_s
    return {
        "python_workers_s": total / 1e9,
        "python_operations_s": (total - harness) / 1e9,
        "shell_workers_s": shells_s,
        "tool_s": tool_cpu_s,
        "harness_share": harness_s / whole_s if whole_s else 0.0,
    }
