"""The table of operations, kind by kind and language by language: the same while a run goes on and when it is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stress.history.kinds import Kind, Language
from stress.stats import KindStats
from stress.units import format_latency, format_rate

NAMES = {"observe_backup": "see backup"}
"""Of kinds of operation, where they differ from what is shown."""


def columns_of(
    kinds: Mapping[tuple[Kind, Language], KindStats], per_s: Mapping[tuple[Kind, Language], float]
) -> dict[str, list[str]]:
    """Heading → its cells, one for each kind and language; ``by`` is there if a language is known. Empty without any
    operation.
    """
    rows = sorted(kinds.items(), key=lambda item: (item[0][0], item[0][1].label))
    if not rows:
        return {}
    columns = {"operation": [NAMES.get(kind.label, kind.label) for (kind, _), _ in rows]}
    if any(language.label for (_, language), _ in rows):
        columns["by"] = [language.label for (_, language), _ in rows]
    return columns | {
        "done": [f"{each.total:,}" for _, each in rows],
        "per s": [format_rate(per_s.get(key, 0.0)) for key, _ in rows],
        "p50": ["" if each.p50_s is None else format_latency(each.p50_s) for _, each in rows],
        "p99": ["" if each.p99_s is None else format_latency(each.p99_s) for _, each in rows],
        "failed": [f"{each.failed:,}" for _, each in rows],
        "unknown": [f"{each.unknown:,}" for _, each in rows],
    }


_LEFT_OUT = ("p50", "p99", "per s", "unknown", "failed")
"""The columns that a narrow terminal does without, the first first."""
_BETWEEN = 3
"""Cells between two columns."""


def table(columns: Mapping[str, Sequence[str]], width: int | None = None, height: int | None = None) -> RenderableType:
    """The columns, in a terminal of ``width`` columns, of which ``height`` lines are free; None: as much as is needed.

    What does not fit is left out and named below: columns in the order of `_LEFT_OUT`, and the last rows.
    """
    columns, rows = dict(columns), len(columns["operation"])
    gone = []
    for name in _LEFT_OUT:
        if width is not None and _width(columns) > width:
            del columns[name]
            gone.append(name)
    shown = rows
    if height is not None and shown + _HEAD > height - bool(gone):
        shown = max(0, height - _HEAD - 1 - bool(gone))
    parts: list[RenderableType] = [_drawn(columns, shown)] if shown else []
    if shown < rows:
        parts.append(
            Text(f"{rows - shown} more rows: the terminal is low", style="dim", no_wrap=True, overflow="ellipsis")
        )
    if gone and shown:
        parts.append(Text(f"not shown: {', '.join(gone)}", style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


_HEAD = 2
"""Lines of the table's head."""


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    return sum(max(map(len, (name, *cells))) for name, cells in columns.items()) + _BETWEEN * (len(columns) - 1)


def _drawn(columns: Mapping[str, Sequence[str]], count: int) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name, justify="left" if name in ("operation", "by") else "right", no_wrap=True)
    before = ""
    for cells in list(zip(*columns.values(), strict=True))[:count]:
        kind = "" if cells[0] == before else cells[0]
        rest = [
            _count(cell) if name in ("failed", "unknown") else cell
            for name, cell in zip(list(columns)[1:], cells[1:], strict=True)
        ]
        made.add_row(kind, *rest)
        before = cells[0]
    return made


def _count(count: str) -> Text:
    return Text(count, style="dim" if count == "0" else "yellow")
