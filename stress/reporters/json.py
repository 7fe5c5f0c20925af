"""``--report json=FILE``: everything about a result, in a schema that stays.

::

    schema        1; it goes up when a field changes its meaning or goes away, not when one is added
    verdict       "pass", "fail" or "unknown"
    exit_code     0 pass, 1 fail, 3 unknown, 130 interrupted
    interrupted   whether the run was cut short
    message       the verdict line
    findings      [{anomaly, checker, scenario, file, verdict, count, message, detail: [text],
                    witness: [{process, sequence, language, operation, file, from, version, outcome,
                               start_s, end_s, held_from_s, held_to_s, size_bytes, note, bytes, bytes_total}]}]
    operations    kind → language → outcome → count
    stats         {duration_s, operations, processes, rates_per_s: kind → language → operations a second,
                   latency: kind → language → {p50_s, p99_s}, overlap, kills, pauses, fills, cpu}
    skipped       [text]: what was left out, why, and what would bring it back
    plan          the plan, see `stress.plan.Plan`
    run           the run directory, or ""

Times of a witness are seconds since the gate was opened; ``held_…`` are null where no lock was claimed. ``from`` and
``version`` are versions as text (``p3.12``: operation 12 of process 3), or ``initial``, ``absent``, ``garbage``, or
null. ``bytes`` are what was seen where that is no known version: text with the escapes of
`stress.reporters.words.escape_bytes`, the first 16 KiB of ``bytes_total``.
"""

from __future__ import annotations

import json
from typing import Any

from stress.history.record import NO_VERSION, Operation, format_version
from stress.reporters.registry import reporter
from stress.reporters.words import escape_bytes, verdict_line
from stress.result import Finding, Result

__all__ = ["SCHEMA", "as_json", "as_plain"]

SCHEMA = 1
BYTES_MAX = 16 << 10


@reporter("json")
def as_json(result: Result) -> str:
    """The report's text."""
    return json.dumps(as_plain(result), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def as_plain(result: Result) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "schema": SCHEMA,
        "verdict": result.verdict.label,
        "exit_code": result.exit_code,
        "interrupted": result.interrupted,
        "message": verdict_line(result),
        "findings": [_finding(finding, result.began) for finding in result.findings],
        "operations": result.operations,
        "stats": result.stats,
        "skipped": list(result.skipped),
        "plan": result.plan,
        "run": result.run,
    }


def _finding(finding: Finding, began: int) -> dict[str, Any]:
    return {
        "anomaly": finding.anomaly,
        "checker": finding.checker,
        "scenario": finding.scenario,
        "file": finding.file,
        "verdict": finding.verdict.label,
        "count": finding.count,
        "message": finding.message,
        "detail": list(finding.detail),
        "witness": [_operation(op, finding.file, began) for op in finding.witness],
    }


def _operation(op: Operation, file: str, began: int) -> dict[str, Any]:
    held = op.held_from > 0
    return {
        "process": op.process,
        "sequence": op.seq,
        "language": op.language.label,
        "operation": op.kind.label,
        "file": file,
        "from": _version(op.parent),
        "version": _version(op.version),
        "outcome": op.outcome.label,
        "start_s": (op.invoke - began) / 1e9,
        "end_s": (op.ret - began) / 1e9,
        "held_from_s": (op.held_from - began) / 1e9 if held else None,
        "held_to_s": (op.held_to - began) / 1e9 if held else None,
        "size_bytes": op.size if op.size >= 0 else None,
        "note": op.text,
        "bytes": escape_bytes(op.data[:BYTES_MAX]) if op.data else None,
        "bytes_total": len(op.data),
    }


def _version(version: int) -> str | None:
    return None if version == NO_VERSION else format_version(version)
