"""What ``stress compare`` shows: one table, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from stress.outcomes import Compared
from stress.reporters.words import again, aligned
from stress.result import Verdict
from stress.units import format_latency

SCHEMA = 1


def lines(compared: Sequence[Compared]) -> list[str]:
    """The table, and below it what was found in each, and in how many rounds."""
    heads = ("target", "verdict", "changes/s", "speed", "p50", "latency", "leftovers", "mode", "durable")
    rows = [
        (
            one.target,
            one.verdict.name,
            f"{one.changes_per_s:,.0f}",
            "" if one.speed is None else f"{one.speed:.2f}",
            "" if one.p50_s is None else format_latency(one.p50_s),
            "" if one.latency is None else f"{one.latency:.2f}",
            "stay" if one.leftovers else "none",
            "kept" if one.mode_kept else "lost",
            _durable(one.syncs_per_write),
        )
        for one in compared
    ]
    found = [f"{one.target}: {words}" for one in compared if (words := _found(one))]
    other = [
        f"{one.target}: no speed, as it did other work: {', '.join(one.work) or 'nothing'}, and not {', '.join(first)}"
        for one in compared
        if one.work != (first := compared[0].work)
    ]
    return [*aligned([heads, *rows], right={2, 3, 4, 5}), "", *found, *other]


def again_lines(compared: Sequence[Compared]) -> list[str]:
    """The command that shows the worst run again, for each target that did not pass."""
    worst = [(one.target, max(one.results, key=lambda result: result.verdict)) for one in compared if one.results]
    return [
        f"Show {target} again: {command}"
        for target, result in worst
        if result.verdict is not Verdict.PASS and (command := again(result))
    ]


def as_json(compared: Sequence[Compared], rounds: int) -> str:
    """The same, with each run's directory."""
    plain: dict[str, object] = {
        "schema": SCHEMA,
        "rounds": rounds,
        "targets": [
            {known.name: getattr(one, known.name) for known in dataclasses.fields(one) if known.name != "results"}
            | {
                "verdict": one.verdict.label,
                "leftovers": one.leftovers,
                "mode_kept": one.mode_kept,
                "runs": [result.run for result in one.results],
                "plan": one.results[0].plan if one.results else {},
            }
            for one in compared
        ],
    }
    return json.dumps(plain, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _durable(syncs: int | None) -> str:
    if syncs is None:
        return "not known"
    return {0: "no sync", 1: "1 sync"}.get(syncs, f"{syncs} syncs")


def _found(one: Compared) -> str:
    parts = sorted({(-count, anomaly) for found in one.anomalies.values() for anomaly, count in found.items()})
    return ", ".join(f"{anomaly} ×{-count}" for count, anomaly in parts)
