"""What a benchmark measured: a table for each case, for people, and a report as JSON, for programs.

::

    schema      1; it goes up when a field changes its meaning or goes away, not when one is added
    benchmark   its name
    machine     {system, processor, cores, python, directory, file_system}
    rounds      how many samples of each
    left_out    [text]: what could not be measured, and what would bring it back
    cases       [{name, floor: series, contenders: [series + {speed, beyond_s}]}]
    sheets      [{name, figures: [{name, value, unit, how}]}]: numbers that nothing was measured against

A series is {name, promises, batch, samples_s, time_s}. ``time_s`` (seconds for a call), ``speed`` (in the floor's: 0.5
takes twice as long) and ``beyond_s`` (seconds longer than the floor) are {q1, median, q3}; the latter two are made
round by round. None of it is a judgement.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stress.bench.measure import Figured, LeftOut, Measured, Series
from stress.reporters.stream import is_watched
from stress.units import format_latency

SCHEMA = 1
PLAIN_WIDTH = 200


class BenchTerminal:
    """Standard output, for people: with bold and dim in a terminal, elsewhere plain lines; each thing as it comes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        stream = stream if stream is not None else sys.stdout
        rich = is_watched(stream)
        self._console = Console(
            file=stream,
            highlight=False,
            emoji=False,
            markup=False,
            force_terminal=rich,
            color_system="auto" if rich else None,
            width=None if rich else PLAIN_WIDTH,
            legacy_windows=False,
        )
        if not self._console.width:  # COLUMNS=0
            self._console.width = 80

    def begin(self, machine: Mapping[str, object]) -> None:
        """Where it is done."""
        self._line(
            f"{machine['processor']}, {machine['cores']} cores; {machine['system']}; Python {machine['python']}; "
            f"{machine['file_system']} at {machine['directory']}"
        )

    def explain(self, rounds: int) -> None:
        """How to read the tables of cases."""
        self._line(
            f"Medians of {rounds} interleaved rounds. speed: in the floor's speed, 0.50 takes twice as long; "
            "quartiles: of that; beyond: how much longer than the floor."
        )

    def show(self, came: Measured | Figured | LeftOut) -> None:
        """One case or sheet, or what was left out."""
        self._line("")
        if isinstance(came, LeftOut):
            self._line(came.why)
            return
        self._line(came.name, "bold")
        made = _cases(came) if isinstance(came, Measured) else _figures(came)
        with self._console.capture() as capture:
            self._console.print(made, crop=False)
        for line in capture.get().splitlines():
            self._console.file.write(line.rstrip() + "\n")
        self._console.file.flush()

    def _line(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style=style), soft_wrap=True)


def _table() -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    made.add_column("", no_wrap=True, min_width=30)
    return made


def _cases(came: Measured) -> Table:
    made = _table()
    for name in ("time", "speed", "quartiles", "beyond"):
        made.add_column(name, justify="right", no_wrap=True, min_width=9)
    made.add_column("promises", style="dim", overflow="fold")
    made.add_row(f"{came.floor.name} (floor)", *_cells(came.floor, None), came.floor.promises)
    for series in came.contenders:
        made.add_row(series.name, *_cells(series, came.floor), series.promises)
    return made


def _figures(came: Figured) -> Table:
    made = _table()
    made.add_column("figure", justify="right", no_wrap=True, min_width=12)
    made.add_column("unit", no_wrap=True)
    made.add_column("how", style="dim", overflow="fold")
    for figure in came.figures:
        made.add_row(figure.name, _number(figure.value), figure.unit, figure.how)
    return made


def _number(value: float) -> str:
    """Three digits of it, and all of those in front of the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _cells(series: Series, floor: Series | None) -> tuple[str, str, str, str]:
    time = format_latency(series.time_s.median)
    if floor is None:
        return time, "", "", ""
    speed, beyond_s = series.speed(floor), series.beyond_s(floor).median
    sign = "−" if beyond_s < 0 else "+"
    return time, _ratio(speed.median), f"{_ratio(speed.q1)}…{_ratio(speed.q3)}", sign + format_latency(abs(beyond_s))


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:,.0f}"


def as_json(
    name: str,
    machine: Mapping[str, object],
    rounds: int,
    came: Sequence[Measured | Figured],
    left_out: Sequence[LeftOut],
) -> str:
    """The report's text."""
    report = {
        "schema": SCHEMA,
        "benchmark": name,
        "machine": dict(machine),
        "rounds": rounds,
        "left_out": [one.why for one in left_out],
        "cases": [
            {
                "name": case.name,
                "floor": _series(case.floor, None),
                "contenders": [_series(series, case.floor) for series in case.contenders],
            }
            for case in came
            if isinstance(case, Measured)
        ],
        "sheets": [dataclasses.asdict(sheet) for sheet in came if isinstance(sheet, Figured)],
    }
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def _series(series: Series, floor: Series | None) -> dict[str, object]:
    spreads = {"time_s": series.time_s}
    if floor is not None:
        spreads |= {"speed": series.speed(floor), "beyond_s": series.beyond_s(floor)}
    return dataclasses.asdict(series) | {name: dataclasses.asdict(spread) for name, spread in spreads.items()}
