"""The table of operations, kind by kind and language by language: the same while a run goes on and when it is over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from stress.execution.progress import Progress
from stress.history.record import Kind, Language
from stress.result import Result
from stress.stats import KindStats
from stress.units import format_latency, format_rate

__all__ = ["NAMES", "Row", "rows_of_progress", "rows_of_result", "table"]

NAMES = {"observe_backup": "see backup"}
"""Of kinds of operation, where they differ from what is shown."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    kind: str
    language: str
    total: int
    per_s: float
    p50_s: float | None
    p99_s: float | None
    failed: int
    unknown: int


def rows_of_progress(progress: Progress) -> list[Row]:
    """The rows of a run under way."""
    return _rows(progress.kinds, progress.per_s)


def rows_of_result(result: Result) -> list[Row]:
    """The rows of a run that is over."""
    kinds = result.stats.kinds
    return _rows(kinds, {key: result.stats.per_s(*key) for key in kinds})


def _rows(kinds: Mapping[tuple[Kind, Language], KindStats], per_s: Mapping[tuple[Kind, Language], float]) -> list[Row]:
    return [
        Row(
            kind.label,
            language.label,
            each.total,
            per_s.get((kind, language), 0.0),
            each.p50_s,
            each.p99_s,
            each.failed,
            each.unknown,
        )
        for (kind, language), each in sorted(kinds.items(), key=lambda item: (item[0][0], item[0][1].label))
    ]


def table(rows: Iterable[Row]) -> Table:
    """Made to fit 80 columns."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    made.add_column("operation", no_wrap=True)
    made.add_column("by", no_wrap=True)
    for name in ("done", "per s", "p50", "p99", "failed", "unknown"):
        made.add_column(name, justify="right", no_wrap=True)
    before = ""
    for row in rows:
        made.add_row(
            "" if row.kind == before else NAMES.get(row.kind, row.kind),
            row.language,
            f"{row.total:,}",
            format_rate(row.per_s),
            "" if row.p50_s is None else format_latency(row.p50_s),
            "" if row.p99_s is None else format_latency(row.p99_s),
            _count(row.failed, "yellow"),
            _count(row.unknown, "yellow"),
        )
        before = row.kind
    return made


def _count(count: int, style: str) -> Text:
    return Text(f"{count:,}", style=style if count else "dim")
