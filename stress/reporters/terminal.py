"""What a person sees: the run while it goes on, then the verdict and each finding with its witness.

In a terminal with colour and a live table; elsewhere (a pipe, ``CI=true``, a dumb terminal) as plain lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from stress.plan import Plan
from stress.reporters.live import LineView, LiveView, SilentView, View
from stress.reporters.schedule import schedule_lines
from stress.reporters.table import rows_of_result, table
from stress.reporters.witness import body, finding_headline, finding_summary
from stress.reporters.words import again, counted, verdict_label, verdict_words
from stress.result import Finding, Result, Verdict

__all__ = ["FULL_MAX", "SUMMARIES_MAX", "Terminal"]

FULL_MAX = 5
"""Findings that are shown in full."""
SUMMARIES_MAX = 40
"""Findings that get a line each after those."""

_STYLES = {"PASS": "bold green", "FAIL": "bold red", "UNKNOWN": "bold yellow", "INTERRUPTED": "bold yellow"}


class Terminal:
    """Standard output, for people. ``quiet``: the verdict and the findings only."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        stream = stream if stream is not None else sys.stdout
        rich = stream.isatty() and os.environ.get("CI", "").lower() not in ("true", "1", "yes")
        self._console = Console(
            file=stream,
            highlight=False,
            emoji=False,
            markup=False,
            force_terminal=rich,
            color_system="auto" if rich else None,
            legacy_windows=False,
        )
        self._fancy = rich and not self._console.is_dumb_terminal
        self._quiet = quiet

    def view(self, plan: Plan) -> View:
        """What to show while ``plan`` runs."""
        if self._quiet:
            return SilentView()
        return LiveView(self._console, plan) if self._fancy else LineView(self._line, plan)

    def show(self, result: Result, reports: Sequence[str] = ()) -> None:
        """The result; ``reports`` are the files that were written."""
        if not self._quiet and result.exploration is None:
            self._show_figures(result)
        label = verdict_label(result)
        self._line(Text.assemble((label, _STYLES[label]), " — ", verdict_words(result)))
        full, rest = choose(result.findings)
        for finding in full:
            self._show_finding(finding, result.began)
        self._show_rest(rest)
        if result.exploration is not None:
            for line in schedule_lines(result.exploration, quiet=self._quiet):
                self._line(line)
        if reports and not self._quiet:
            self._line(f"\nReports: {', '.join(reports)}")
        command = again(result)
        if command and (result.verdict is not Verdict.PASS or not self._quiet):
            self._line("" if reports and not self._quiet else "\n", end="")
            self._line(Text.assemble("Show it again: ", (command, "bold")))

    def _show_figures(self, result: Result) -> None:
        rows = rows_of_result(result)
        if rows:
            self._console.print(table(rows), crop=False)
            self._line("")
        stats = result.stats
        parts = [f"{stats.mean_in_flight:.1f} operations in flight on average"]
        parts += [counted(count, fault) for fault, count in stats.faults.items() if count]
        if stats.cpu is not None and stats.cpu.harness_share:
            parts.append(f"the harness itself took {stats.cpu.harness_share:.0%} of the CPU time")
        self._line(Text(" · ".join(parts) + "\n", style="dim" if self._fancy else ""))

    def _show_finding(self, finding: Finding, began: int) -> None:
        style = "bold red" if finding.verdict is Verdict.FAIL else "bold yellow"
        self._line("")
        self._line(Text(finding_headline(finding), style=style))
        # Lines below are made to a width already; a terminal that is narrower than the table wraps them.
        width = min(self._console.width, 100) - 3 if self._fancy else 98
        for line in body(finding, began, width):
            self._line(f"  {line}" if line else "")

    def _show_rest(self, rest: Sequence[Finding]) -> None:
        if rest:
            self._line(f"\nAnd {counted(len(rest), 'more finding')}:")
        for finding in rest[:SUMMARIES_MAX]:
            self._console.print(
                Text(f"  {finding_summary(finding)}"),
                no_wrap=True,
                overflow="ellipsis",
                crop=False,
                soft_wrap=not self._fancy,
            )
        if len(rest) > SUMMARIES_MAX:
            self._line(f"  and {len(rest) - SUMMARIES_MAX:,} more: --report json=FILE has them all")

    def _line(self, line: str | Text, end: str = "\n") -> None:
        text = line if isinstance(line, Text) else Text(line)
        self._console.print(text, soft_wrap=not self._fancy, end=end)


def choose(findings: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """The findings to show in full, and the rest: as many different anomalies as can be had, in the given order."""
    seen: set[str] = set()
    first: list[int] = []
    later: list[int] = []
    for place, finding in enumerate(findings):
        (later if finding.anomaly in seen else first).append(place)
        seen.add(finding.anomaly)
    chosen = sorted([*first, *later][:FULL_MAX])
    return [findings[place] for place in chosen], [
        finding for place, finding in enumerate(findings) if place not in chosen
    ]
