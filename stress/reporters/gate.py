"""What the gate shows: a table for people, and JSON, JUnit and Markdown for machines and jobs' summaries."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

from stress.outcomes import GateOutcome, GateResult
from stress.reporters.groups import told
from stress.reporters.json import as_plain
from stress.reporters.junit import add_case, document
from stress.reporters.markdown import MARKS, as_markdown
from stress.reporters.witness import told_lines
from stress.reporters.words import aligned, one_line, verdict_label, verdict_line
from stress.result import Verdict

SCHEMA = 1
_KINDS = {
    "campaign": ("campaigns", "as expected"),
    "canary": ("canaries", "caught"),
    "record": ("records", "as expected"),
}


def gate_verdict(result: GateResult) -> str:
    """The gate's verdict in one line."""
    parts = []
    for kind, (plural, verb) in _KINDS.items():
        outcomes = [outcome for outcome in result.outcomes if outcome.kind == kind]
        if outcomes:
            good = sum(outcome.verdict is Verdict.PASS for outcome in outcomes)
            parts.append(f"{good} of {len(outcomes)} {kind if len(outcomes) == 1 else plural} {verb}")
    spent = f"{result.seconds:.0f} s of a budget of {result.budget_s:.0f} s"
    return f"{verdict_label(result)} — {', '.join(parts) or 'there was nothing to look at'}; {spent}"


def gate_lines(result: GateResult) -> list[str]:
    """The table, a line for each thing that was looked at, in the order in which it was."""
    heads = ("", "what", "name", "time", "operations", "pace", "outcome")
    return aligned([heads, *(_row(outcome) for outcome in result.outcomes)], right={3, 4, 5})


def _row(outcome: GateOutcome) -> tuple[str, ...]:
    return (
        outcome.verdict.name,
        outcome.kind,
        outcome.name,
        f"{outcome.seconds:.1f} s" if outcome.seconds else "",
        f"{outcome.operations:,}" if outcome.operations else "",
        f"{outcome.ratio:.3f}" if outcome.ratio is not None else "",
        one_line(outcome.said),
    )


def _as_json(result: GateResult) -> str:
    plain = {
        "schema": SCHEMA,
        "verdict": result.verdict.label,
        "exit_code": result.exit_code,
        "message": gate_verdict(result),
        "seconds": result.seconds,
        "budget_s": result.budget_s,
        "kept": result.kept,
        "outcomes": [
            {
                "kind": outcome.kind,
                "name": outcome.name,
                "verdict": outcome.verdict.label,
                "message": outcome.said,
                "seconds": outcome.seconds,
                "operations": outcome.operations,
                "pace": outcome.ratio,
                "result": None if outcome.result is None else as_plain(outcome.result),
            }
            for outcome in result.outcomes
        ],
    }
    return json.dumps(plain, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _as_junit(result: GateResult) -> str:
    suite = ElementTree.Element("testsuite", name="stress gate", time=f"{result.seconds:.3f}")
    for outcome in result.outcomes:
        case = add_case(suite, f"stress.gate.{outcome.kind}", outcome.name, outcome.seconds)
        if outcome.verdict is not Verdict.PASS:
            tag = "failure" if outcome.verdict is Verdict.FAIL else "error"
            message = one_line(outcome.said)
            element = ElementTree.SubElement(case, tag, type=outcome.verdict.label, message=message)
            element.text = _evidence(outcome)
    return document(suite)


def _as_markdown(result: GateResult) -> str:
    lines = [f"## {MARKS[result.verdict.name]} stress gate: {gate_verdict(result)}", ""]
    lines += ["| | what | name | time | operations | pace | outcome |", "|---|---|---|---:|---:|---:|---|"]
    for outcome in result.outcomes:
        _, *cells = _row(outcome)
        safe = [cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells]
        lines.append(f"| {MARKS[outcome.verdict.name]} | {' | '.join(safe)} |")
    for outcome in result.outcomes:
        if outcome.verdict is not Verdict.PASS and outcome.result is not None:
            lines += ["", as_markdown(outcome.result).rstrip()]
    if result.kept:
        lines += ["", f"Kept: `{result.kept}`"]
    return "\n".join(lines) + "\n"


def _evidence(outcome: GateOutcome) -> str:
    result = outcome.result
    if result is None:
        return outcome.said
    found = ["\n".join(told_lines(each, result.names)) for each in told(result.findings)]
    return "\n\n".join([outcome.said, *found, verdict_line(result)])


REPORTS: Mapping[str, Callable[[GateResult], str]] = {"json": _as_json, "junit": _as_junit, "markdown": _as_markdown}
"""Kind → from the gate's result to the text of a file."""
