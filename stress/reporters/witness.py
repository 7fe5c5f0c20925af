"""A finding as text: who did what when, what was expected, what was seen, the bytes.

Plain lines of at most `WIDTH` columns where the words allow it, so that they read the same in a terminal, a log and a
JUnit report.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from stress.history.notes import data_of, words_of
from stress.history.record import GARBAGE, NO_VERSION, Operation, format_version
from stress.reporters.table import NAMES
from stress.reporters.words import counted, escape_bytes, one_line, plain_text
from stress.result import Finding, Verdict

__all__ = ["diagram", "finding_headline", "finding_lines", "finding_summary", "witness_cells", "witness_table"]

WIDTH = 78
_HEAD, _TAIL = 120, 80  # bytes; where a document was cut off shows at its end
_NOTE_SHOWN = 160
_ROWS_MAX = 12


def finding_headline(finding: Finding) -> str:
    """``lost-update ×12 in .claude/handoff-context.json (checker updates, scenario session_count)``."""
    count = f" ×{finding.count:,}" if finding.count > 1 else ""
    doubt = " (a doubt, not a violation)" if finding.verdict is Verdict.UNKNOWN else ""
    where = f" in {finding.file}" if finding.file else ""
    scenario = f", scenario {finding.scenario}" if finding.scenario else ""
    return one_line(f"{finding.anomaly}{count}{where} (checker {finding.checker}{scenario}){doubt}")


def finding_summary(finding: Finding) -> str:
    """One line for a finding that is not shown in full."""
    return f"{finding_headline(finding)}: {one_line(finding.message)}"


def finding_lines(finding: Finding, began: int, width: int = WIDTH) -> list[str]:
    """The headline and all that is below it."""
    return [finding_headline(finding), *("  " + line if line else "" for line in body(finding, began, width - 2))]


def body(finding: Finding, began: int, width: int = WIDTH) -> list[str]:
    """The message, the witness, the diagram and the details."""
    lines = _wrapped(finding.message, width, hang="")
    if finding.witness:
        ops = sorted(finding.witness, key=lambda op: (op.invoke, op.ret))
        lines += ["", *witness_table(ops[:_ROWS_MAX], began)]
        if len(ops) > _ROWS_MAX:
            lines.append(f"… and {len(ops) - _ROWS_MAX} more operations")
        if 2 <= len(ops) <= _ROWS_MAX:
            lines += ["", *diagram(ops, width)]
        lines += _seen(ops[:_ROWS_MAX], finding, width)
    if finding.detail:
        lines.append("")
        for label, text in finding.detail:
            lines += _wrapped(f"{label + ':':<9} {text}", width)
    return lines


def witness_table(ops: Sequence[Operation], began: int) -> list[str]:
    """The operations in order of time, one a line; times in milliseconds since the gate was opened."""
    rows = witness_cells(ops, began)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {5, 6}
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def witness_cells(ops: Sequence[Operation], began: int) -> list[list[str]]:
    """The same, as cells; the head is the first row."""
    return [
        ["process", "language", "operation", "from", "version", "start ms", "end ms", "outcome"],
        *(
            [
                f"p{op.process}",
                op.language.label,
                _verb(op),
                _version(op.parent),
                _version(op.version),
                f"{(op.invoke - began) / 1e6:.3f}",
                f"{(op.ret - began) / 1e6:.3f}",
                {"ok": "ok", "fail": "failed", "info": "unknown"}.get(op.outcome.label, op.outcome.label),
            ]
            for op in ops
        ),
    ]


def diagram(ops: Sequence[Operation], width: int = WIDTH) -> list[str]:
    """A bar for each operation, from its start to its end. The order is true; the lengths are not to scale, as a
    microsecond next to a second would not be seen.
    """
    moments = {at: place for place, at in enumerate(sorted({at for op in ops for at in (op.invoke, op.ret)}))}
    labels = [f"p{op.process} {_verb(op)}" for op in ops]
    margin = max(map(len, labels)) + 2
    step = max(2, min(6, (width - margin - 1) // max(1, len(moments) - 1)))
    lines = []
    for op, label in zip(ops, labels, strict=True):
        start, end = moments[op.invoke] * step, moments[op.ret] * step
        bar = "|" if start == end else "├" + "─" * (end - start - 1) + "┤"
        lines.append(label.ljust(margin) + " " * start + bar)
    lines.append(" " * margin + "time → (order is exact, lengths are not to scale)")
    return lines


def _seen(ops: Sequence[Operation], finding: Finding, width: int) -> list[str]:
    """What was noted with the operations: errors and bytes, where the details don't tell them."""
    told = "\n".join(text for _, text in finding.detail)
    lines: list[str] = []
    for op in ops:
        who = f"p{op.process} {_verb(op)}"
        note, data = one_line(words_of(op.note))[:_NOTE_SHOWN], data_of(op.note)
        if note and note not in told:
            lines += _wrapped(f"{who} noted: {note}", width)
        if data and not told:
            lines += _wrapped(f"{who} saw {counted(len(data), 'byte')}: {_excerpt(data)}", width)
        if op.version == GARBAGE and op.size == 0 and not told:
            lines.append(f"{who} saw an empty file")
    return ["", *lines] if lines else []


def _excerpt(data: bytes) -> str:
    if len(data) <= _HEAD + _TAIL:
        return escape_bytes(data)
    between = f" … {counted(len(data) - _HEAD - _TAIL, 'byte')} … "
    return escape_bytes(data[:_HEAD]) + between + escape_bytes(data[-_TAIL:])


def _verb(op: Operation) -> str:
    return NAMES.get(op.kind.label, op.kind.label)


def _version(version: int) -> str:
    return "" if version == NO_VERSION else format_version(version)


def _wrapped(text: str, width: int, hang: str = "  ") -> list[str]:
    lines: list[str] = []
    for line in text.splitlines() or [""]:
        indent = " " * (len(line) - len(line.lstrip(" ")))
        lines += textwrap.wrap(
            plain_text(line), max(20, width), subsequent_indent=indent + hang, break_on_hyphens=False
        ) or [""]
    return lines
