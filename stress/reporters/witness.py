"""A finding as text: who did what when, what was expected, what was seen, the bytes.

Plain lines of at most `WIDTH` columns where the words allow it, so that they read the same in a terminal, a log and a
JUnit report.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from stress.history.naming import Naming
from stress.history.notes import data_of, words_of
from stress.history.record import GARBAGE, Operation
from stress.reporters.groups import Group, Told
from stress.reporters.table import NAMES
from stress.reporters.words import aligned, escape_bytes, one_line, plain_text
from stress.result import Finding, Verdict
from stress.units import counted

WIDTH = 78
_HEAD, _TAIL = 120, 80  # bytes; where a document was cut off shows at its end
_NOTE_SHOWN = 160
_LINE_MAX = 50_000
_ROWS_MAX = 12
_SPARED = ("language", "end ", "start ")
PLACES_MAX = 8
"""Other places of one anomaly that get a line."""


def headline(group: Group) -> str:
    """``lost-evidence ×112 in 112 files resume-*/state.json (checker recovery, scenario resume)``."""
    count = f" ×{group.count:,}" if group.count > 1 else ""
    doubt = " (a doubt, not a violation)" if group.best.verdict is Verdict.UNKNOWN else ""
    where = f" in {group.place}" if group.place else ""
    scenario = f", scenario {group.best.scenario}" if group.best.scenario else ""
    looked = f"checker{'s' if len(group.checkers) > 1 else ''} {' and '.join(group.checkers)}"
    return one_line(f"{group.anomaly}{count}{where} ({looked}{scenario}){doubt}")


def group_lines(group: Group, names: Naming, width: int = WIDTH) -> list[str]:
    """The headline, and below it the best of the findings."""
    return [headline(group), *("  " + line if line else "" for line in group_body(group, names, width - 2))]


def group_body(group: Group, names: Naming, width: int = WIDTH) -> list[str]:
    """What is below the headline: of several files, which one is shown, and then its `body`."""
    shown = [f"The witness is of {one_line(group.best.file)}."] if group.files > 1 else []
    return [*shown, *body(group.best, names, width)]


def told_lines(told: Told, names: Naming, width: int = WIDTH) -> list[str]:
    """An anomaly with its full witness, and a line for each of the other places where it struck."""
    lines = group_lines(told.first, names, width)
    return lines if not told.others else [*lines, "", *("  " + line for line in other_places(told))]


def other_places(told: Told) -> list[str]:
    """A line for each of the places whose witness is not shown."""
    lines = [f"also {headline(group)}" for group in told.others[:PLACES_MAX]]
    left = len(told.others) - PLACES_MAX
    return lines if left <= 0 else [*lines, f"and in {counted(left, 'more place')}: --report json=FILE has them all"]


def body(finding: Finding, names: Naming, width: int = WIDTH) -> list[str]:
    """The message, the witness, the diagram, the details, and what most often lies behind it."""
    lines = _wrapped(finding.message, width, hang="")
    if finding.witness:
        ops = sorted(finding.witness, key=lambda op: (op.invoke, op.ret))
        lines += ["", *witness_table(ops[:_ROWS_MAX], names, width)]
        if len(ops) > _ROWS_MAX:
            lines.append(f"… and {len(ops) - _ROWS_MAX} more operations")
        if 2 <= len(ops) <= _ROWS_MAX:
            lines += ["", *diagram(ops, names, width)]
        lines += _seen(ops[:_ROWS_MAX], finding, names, width)
    if finding.detail:
        lines.append("")
        for label, text in finding.detail:
            lines += _wrapped(f"{label + ':':<9} {text}", width)
    if finding.cause:
        lines += ["", *_wrapped(f"Usual cause: {finding.cause}.", width)]
    return lines


def witness_table(ops: Sequence[Operation], names: Naming, width: int = WIDTH) -> list[str]:
    """The operations in order of time, one a line; times as `Naming` tells them. Where less than `WIDTH` is there, and
    they are wider, the columns `_SPARED` go, in their order, and a last line says so.
    """
    rows, gone = witness_cells(ops, names), list[str]()
    while True:
        head = rows[0]
        lines = aligned(rows, right={at for at, name in enumerate(head) if name.startswith(("start ", "end "))})
        spared = next((at for word in _SPARED for at, name in enumerate(head) if name.startswith(word)), None)
        if spared is None or width >= WIDTH or max(map(len, lines)) <= width:
            return [*lines, f"not shown: {', '.join(gone)}"] if gone else lines
        gone.append(head[spared])
        rows = [[*row[:spared], *row[spared + 1 :]] for row in rows]


def witness_cells(ops: Sequence[Operation], names: Naming) -> list[list[str]]:
    """The same, as cells; the head is the first row, and the times are in the last columns but one."""
    unit = names.shown_unit
    rows = [
        ["process", "language", "operation", "from", "version", f"start {unit}", f"end {unit}", "outcome"],
        *(
            [
                one_line(names.process(op.process)),
                op.language.label,
                _verb(op),
                one_line(names.version_or_none(op.parent) or ""),
                one_line(names.version_or_none(op.version) or ""),
                names.number(op.invoke),
                names.number(op.ret),
                {"ok": "ok", "fail": "failed", "info": "unknown"}.get(op.outcome.label, op.outcome.label),
            ]
            for op in ops
        ),
    ]
    told = any(op.language for op in ops)
    return rows if told else [[*row[:1], *row[2:]] for row in rows]


def diagram(ops: Sequence[Operation], names: Naming, width: int = WIDTH) -> list[str]:
    """A bar for each operation, from its start to its end. The order is true; the lengths are not to scale, as a
    microsecond next to a second would not be seen.
    """
    moments = {at: place for place, at in enumerate(sorted({at for op in ops for at in (op.invoke, op.ret)}))}
    labels = [one_line(f"{names.process(op.process)} {_verb(op)}") for op in ops]
    margin = max(map(len, labels)) + 2
    step = max(2, min(6, (width - margin - 1) // max(1, len(moments) - 1)))
    lines = []
    for op, label in zip(ops, labels, strict=True):
        start, end = moments[op.invoke] * step, moments[op.ret] * step
        bar = "|" if start == end else "├" + "─" * (end - start - 1) + "┤"
        lines.append(label.ljust(margin) + " " * start + bar)
    lines.append(" " * margin + "time → (order is exact, lengths are not to scale)")
    return lines


def _seen(ops: Sequence[Operation], finding: Finding, names: Naming, width: int) -> list[str]:
    """What was noted with the operations: errors and bytes, where the details don't tell them."""
    told = "\n".join(text for _, text in finding.detail)
    lines: list[str] = []
    for op in ops:
        who = f"{names.process(op.process)} {_verb(op)}"
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


def _wrapped(text: str, width: int, hang: str = "  ") -> list[str]:
    lines: list[str] = []
    for line in text.splitlines() or [""]:
        if len(line) > _LINE_MAX:  # to wrap one takes the square of its length
            line = f"{line[:_LINE_MAX]} … and {len(line) - _LINE_MAX:,} more characters"
        indent = " " * (len(line) - len(line.lstrip(" ")))
        lines += textwrap.wrap(
            plain_text(line), max(20, width), subsequent_indent=indent + hang, break_on_hyphens=False
        ) or [""]
    return lines
