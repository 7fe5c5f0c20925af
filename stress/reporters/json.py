"""``--report json=FILE``: everything about a result, in a schema that stays.

::

    schema        2; it goes up when a field changes its meaning or goes away, not when one is added
    verdict       "pass", "fail" or "unknown"
    exit_code     0 pass, 1 fail, 3 unknown, 130 interrupted
    interrupted   whether the run was cut short
    message       the verdict line
    findings      [{anomaly, checker, scenario, file, verdict, count, message,
                    detail: [{label, text}], evidence: null or {bytes, bytes_total, offset,
                                                                owners: [{version, start, stop}]},
                    witness: [{process, sequence, language, operation, file, from, version, outcome,
                               start_s, end_s, held_from_s, held_to_s, size_bytes, note, bytes, bytes_total}]}]
    operations    kind → language → outcome → count
    stats         {duration_s, operations, processes, rates_per_s: kind → language → operations a second,
                   latency: kind → language → {p50_s, p99_s}, overlap, kills, pauses, fills, signals, cleans,
                   nemeses: name → how often it struck, for those that are not the harness's own, cpu}
    checkers      scenario → [checker]: those that judged it
    skipped       [{part: "scenario", "workers" or "checker", name, operations, why, cure}]: what was left out
    provenance    {date, host, kernel, "file system", cores, python, stress, bash, jq, perl, flock, target}: texts;
                   "missing" for a program that is not there; {} where nobody knows
    allowed       anomaly → how often it struck: those that were not judged
    plan          the plan, see `stress.plan.Plan`
    run           the run directory, or ""
    exploration   of `stress explore` alone: {schedules, interleavings, seconds, cases: [[name, what was reached]],
                   proved, failing, found_after, critical, table, file, invisible}; see `stress.result.Exploration`

Times of a witness are seconds since the start barrier was opened; ``held_…`` are null where no lock was claimed.
``from`` and ``version`` are versions as text (``p3.12``: operation 12 of process 3), or ``initial``, ``absent``,
``garbage``, or null. ``note`` is null or {kind, …}: an ``error`` with its text, a ``backup`` with path and digest, how
a ``log`` differs from what the process saw of it before (the first ``keep`` bytes are the same), bytes that were
``seen``, or a document that the target's reader ``returned``. ``bytes`` are those of the note, or of the evidence,
which from ``offset`` on are wrong: text with the escapes of `stress.reporters.words.escape_bytes`, the first 16 KiB of
``bytes_total``.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from stress.history.naming import Naming
from stress.history.notes import data_of, to_plain
from stress.history.record import Operation
from stress.reporters.registry import reporter
from stress.reporters.words import escape_bytes, verdict_line
from stress.result import Evidence, Finding, Result

SCHEMA = 2
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
        "findings": [_finding(finding, result) for finding in result.findings],
        "operations": result.operations,
        "stats": result.stats.to_plain(),
        "checkers": {scenario: sorted(names) for scenario, names in result.checkers.items()},
        "allowed": dict(result.allowed),
        "skipped": [each.to_plain() for each in result.skipped],
        "provenance": dict(result.provenance),
        "plan": result.plan,
        "run": result.run,
        **({} if result.exploration is None else {"exploration": dataclasses.asdict(result.exploration)}),
    }


def _finding(finding: Finding, result: Result) -> dict[str, object]:
    return {
        "anomaly": finding.anomaly,
        "checker": finding.checker,
        "scenario": finding.scenario,
        "file": finding.file,
        "verdict": finding.verdict.label,
        "count": finding.count,
        "message": finding.message,
        "detail": [{"label": label, "text": text} for label, text in finding.detail],
        "evidence": None if finding.evidence is None else _evidence(finding.evidence, result.names),
        "witness": [_operation(op, finding.file, result.began, result.names) for op in finding.witness],
    }


def _evidence(evidence: Evidence, names: Naming) -> dict[str, object]:
    return {
        **_bytes(evidence.content),
        "offset": evidence.offset,
        "owners": [
            {"version": names.version_or_none(owner.version), "start": owner.start, "stop": owner.stop}
            for owner in evidence.owners
        ],
    }


def _bytes(data: bytes) -> dict[str, object]:
    return {"bytes": escape_bytes(data[:BYTES_MAX]) if data else None, "bytes_total": len(data)}


def _operation(op: Operation, file: str, began: int, names: Naming) -> dict[str, object]:
    held = op.held_from > 0
    return {
        "process": names.processes.get(op.process, op.process),
        "sequence": op.seq,
        "language": op.language.label or None,
        "operation": op.kind.label,
        "file": file,
        "from": names.version_or_none(op.parent),
        "version": names.version_or_none(op.version),
        "outcome": op.outcome.label,
        "start_s": (op.invoke - began) / 1e9,
        "end_s": None if 0 < names.last < op.ret else (op.ret - began) / 1e9,
        "held_from_s": (op.held_from - began) / 1e9 if held else None,
        "held_to_s": (op.held_to - began) / 1e9 if held else None,
        "size_bytes": op.size if op.size >= 0 else None,
        "note": None if op.note is None else {k: v for k, v in to_plain(op.note).items() if k != "data"},
        **_bytes(data_of(op.note)),
    }
