"""What a person sees: the run while it goes on, then each anomaly with its witness, what was done, and the verdict.

In a terminal with colour and a live table; elsewhere (a pipe, ``CI=true``, a dumb terminal) as plain lines, coloured
where FORCE_COLOR is set. NO_COLOR takes the colours away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from stress.history.kinds import FaultKind
from stress.history.naming import Naming
from stress.host.provenance import in_a_line
from stress.plan import Plan
from stress.reporters.groups import Told, told
from stress.reporters.live import LineView, LiveView, View
from stress.reporters.stream import is_watched
from stress.reporters.table import columns_of, table
from stress.reporters.witness import told_lines
from stress.reporters.words import commands, schedule_lines, verdict_label, verdict_words
from stress.result import Result, Verdict
from stress.units import counted

_STYLES = {"PASS": "bold green", "FAIL": "bold red", "UNKNOWN": "bold yellow", "INTERRUPTED": "bold yellow"}


class Terminal:
    """Standard output, for people. ``quiet``: the verdict and the findings only."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        stream = stream if stream is not None else sys.stdout
        rich = is_watched(stream)
        # FORCE_COLOR is for CI systems whose logs have colours. NO_COLOR is looked at by the console, and wins.
        coloured = bool(os.environ.get("FORCE_COLOR")) and not os.environ.get("NO_COLOR")
        self._console = Console(
            file=stream,
            highlight=False,
            emoji=False,
            markup=False,
            force_terminal=rich or coloured,
            color_system="auto" if rich else "standard" if coloured else None,
            legacy_windows=False,
        )
        self._fancy = rich and not self._console.is_dumb_terminal
        if not self._console.width:  # COLUMNS=0: nobody knows it, and nothing would be shown
            self._console.width = 80
        if not self._fancy:  # its lines are not wrapped; a table that is squeezed for COLUMNS=20 shows no figures
            self._console.width = max(self._console.width, 100)
        self._quiet = quiet

    def view(self, plan: Plan) -> View:
        """What to show while ``plan`` runs."""
        if self._quiet:
            return View()
        return LiveView(self._console, plan) if self._fancy else LineView(self._line, plan)

    def show(self, result: Result, reports: Sequence[str] = ()) -> None:
        """The result; ``reports`` are the files that were written."""
        for each in told(result.findings):
            self._show_anomaly(each, result.names)
        if result.exploration is not None:
            for line in schedule_lines(result.exploration, quiet=self._quiet):
                self._line(line, copied=True)
        if not self._quiet and result.exploration is None:
            self._show_figures(result)
            if reports:
                self._line(f"Reports: {', '.join(reports)}\n", copied=True)
        label = verdict_label(result)
        self._line(Text.assemble((label, _STYLES[label]), " — ", verdict_words(result)))
        if result.verdict is not Verdict.PASS or not self._quiet:
            for does, command in commands(result):
                self._line(Text.assemble(f"{does}: ", (command, "bold")), copied=True)

    def _show_figures(self, result: Result) -> None:
        stats = result.stats
        if columns := columns_of(stats.kinds, stats.per_s):
            self._console.print(table(columns, self._console.width if self._fancy else None), crop=False)
            self._line("")
        parts = [f"{stats.mean_in_flight:.1f} operations in flight on average"]
        parts += [
            counted(count, fault) if isinstance(fault, FaultKind) else f"{fault} ×{count}"
            for fault, count in stats.faults.items()
            if count
        ]
        if stats.cpu is not None and stats.cpu.harness_share:
            parts.append(f"the harness itself took {stats.cpu.harness_share:.0%} of the CPU time")
        made = f"{in_a_line(result.provenance)}\n" if result.provenance else ""
        self._line(Text(" · ".join(parts) + f"\n{made}", style="dim" if self._fancy else ""))

    def _show_anomaly(self, each: Told, names: Naming) -> None:
        style = "bold red" if each.first.best.verdict is Verdict.FAIL else "bold yellow"
        # Lines below the headline are made to a width already; a terminal that is narrower than the table wraps them.
        width = min(self._console.width, 100) - 1 if self._fancy else 100
        first, *lines = told_lines(each, names, width)
        self._line(Text(first, style=style))
        for line in lines:
            self._line(line)
        self._line("")

    def _line(self, line: str | Text, *, copied: bool = False) -> None:
        """``copied``: it holds a command or a path, which the terminal alone wraps: it is copied as one line."""
        text = line if isinstance(line, Text) else Text(line)
        self._console.print(text, soft_wrap=copied or not self._fancy)
