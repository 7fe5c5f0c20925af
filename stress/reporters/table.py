"""The table of operations, kind by kind and language by language: the same while a run goes on and when it is over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from stress.execution.progress import Count
from stress.history.record import Kind
from stress.result import Result
from stress.units import format_latency, format_rate

__all__ = ["NAMES", "Row", "rows_of_counts", "rows_of_result", "table"]

NAMES = {"observe_backup": "see backup"}
"""Of kinds of operation, where they differ from what is shown."""

_ORDER = {kind.label: place for place, kind in enumerate(Kind)}


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


def rows_of_counts(counts: Mapping[tuple[str, str], Count]) -> list[Row]:
    """The rows of a run under way."""
    return _sorted(
        Row(kind, language, c.total, c.per_s, c.p50_s or None, c.p99_s or None, c.failed, c.unknown)
        for (kind, language), c in counts.items()
    )


def rows_of_result(result: Result) -> list[Row]:
    """The rows of a run that is over."""
    rates, latency = result.stats.get("rates_per_s", {}), result.stats.get("latency", {})
    made = []
    for kind, by_language in result.operations.items():
        for language, outcomes in by_language.items():
            spans = latency.get(kind, {}).get(language, {})
            made.append(
                Row(
                    kind,
                    language,
                    sum(outcomes.values()),
                    rates.get(kind, {}).get(language, 0.0),
                    spans.get("p50_s"),
                    spans.get("p99_s"),
                    outcomes.get("fail", 0),
                    outcomes.get("info", 0) + outcomes.get("open", 0),
                )
            )
    return _sorted(made)


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (_ORDER.get(row.kind, len(_ORDER)), row.language))


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
