"""The charts of a run as paths of SVG: what each panel draws, what it says, and what it is called.

A panel's drawing is `WIDTH` by `HEIGHT` units and is stretched to the page's width; all text stands outside of it, in
HTML, so that it keeps its size. Every panel of a run over time has the same axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from stress.history.events import FaultInjected
from stress.history.kinds import FaultKind
from stress.reporters.html._figures import Figures
from stress.reporters.table import NAMES
from stress.units import format_latency, format_rate

WIDTH, HEIGHT = 1000, 100
FAULTS_MAX = 400
"""Faults that are drawn."""
_LANGUAGES = ("python", "bash", "command")
FAULTS = {
    FaultKind.KILL: ("✕", "kills", "was killed"),
    FaultKind.PAUSE: ("‖", "pauses", "was stopped"),
    FaultKind.FILL: ("▦", "full disks", "found the disk full"),
    FaultKind.SIGNAL: ("!", "signals", "got a signal"),
    FaultKind.CLEAN: ("○", "cleanings", ""),
}
"""Fault of the harness → its sign, what several are called, and what became of the process that it struck."""


@dataclass(frozen=True, slots=True)
class Line:
    """``style``: its class on the page. ``path``: the ``d`` of an SVG path. ``label``: "" for one without a key."""

    label: str
    style: str
    path: str


@dataclass(frozen=True, slots=True)
class Panel:
    """``says`` stands beside the title; ``label`` tells in words what the drawing shows."""

    title: str
    says: str
    lines: list[Line]
    label: str
    grid: str = ""


def language_keys(figures: Figures) -> list[tuple[str, str]]:
    """(language, style) of each language that did something."""
    return [(language, _style(language)) for language in dict.fromkeys(each.language for each in figures.series)]


def rate_panels(figures: Figures) -> list[Panel]:
    """Acknowledged operations per second over the run, a panel for each kind of operation."""
    panels = []
    for kind, group in groupby(figures.series, key=lambda series: series.kind):
        series = list(group)
        peak = max((max(each.rate, default=0.0) for each in series), default=0.0)
        told = [
            f"{each.language} {format_rate(sum(each.rate) / max(1, len(each.rate)))} on average, "
            f"{format_rate(max(each.rate, default=0.0))} at the most"
            for each in series
        ]
        lines = [
            Line(each.language, _style(each.language), _path(_across(each.rate), 0.0, peak or 1.0)) for each in series
        ]
        name = NAMES.get(kind, kind)
        panels.append(Panel(name, f"top: {format_rate(peak)}/s", lines, f"{name}, per second: {'; '.join(told)}"))
    return panels


def latency_panels(figures: Figures) -> tuple[list[Panel], str]:
    """Latency over the run, a panel for each kind and language: p50 to p99 as a band, p95 as a line; and the scale,
    which is logarithmic and the same in all of them, in words.
    """
    values = [
        value for series in figures.series for share in ("p50", "p99") for value in series.percentiles[share] if value
    ]
    if not values:
        return [], ""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    grid = "".join(f"M0,{_y(decade, low, high)}H{WIDTH}" for decade in range(low + 1, high))
    panels = []
    for series in figures.series:
        known = {share: [value for value in series.percentiles[share] if value] for share in ("p50", "p95", "p99")}
        if not known["p50"]:
            continue
        p50, p99 = sorted(known["p50"])[len(known["p50"]) // 2], max(known["p99"])
        logs = {share: [math.log10(value) if value else None for value in series.percentiles[share]] for share in known}
        style = _style(series.language)
        name = f"{NAMES.get(series.kind, series.kind)}, {series.language}"
        panels.append(
            Panel(
                name,
                f"p50 about {_latency(p50)}, p99 up to {_latency(p99)}",
                [
                    Line("p50 to p99", f"band {style}", _band(logs["p50"], logs["p99"], low, high)),
                    Line("p95", style, _path(_across(logs["p95"]), low, high)),
                ],
                f"latency of {name}: p50 about {_latency(p50)}, p95 up to {_latency(max(known['p95']))}, "
                f"p99 up to {_latency(p99)}",
                grid,
            )
        )
    return (
        panels,
        f"from {_latency(10**low)} at the bottom to {_latency(10**high)} at the top, tenfold from line to line",
    )


def spread_panels(figures: Figures) -> tuple[list[Panel], list[tuple[float, str]]]:
    """How latencies are distributed, a panel for each kind; and the decades of the common axis, (percent, label)."""
    used = [series for series in figures.series if series.spread]
    if not used:
        return [], []
    low = math.floor(math.log10(min(series.spread_ms[0] for series in used)))
    high = math.ceil(math.log10(max(series.spread_ms[-1] for series in used)))
    high = max(high, low + 1)
    panels = []
    for kind, group in groupby(used, key=lambda series: series.kind):
        those = list(group)
        peak = max(max(series.spread) for series in those)
        lines = []
        for series in those:
            points: list[tuple[float, float | None]] = []
            for edge, following, share in zip(
                series.spread_ms, [*series.spread_ms[1:], series.spread_ms[-1]], series.spread, strict=False
            ):
                points += [(_x(edge, low, high), share), (_x(following, low, high), share)]
            lines.append(Line(series.language, _style(series.language), _path(points, 0.0, peak)))
        name = NAMES.get(kind, kind)
        most = [
            f"{series.language} most often about {_latency(series.spread_ms[series.spread.index(max(series.spread))])}"
            for series in those
        ]
        panels.append(
            Panel(name, f"top: {peak:.1%} of its operations", lines, f"latencies of {name}: {'; '.join(most)}")
        )
    decades = range(low, high + 1)
    return panels, [(round(100 * (at - low) / (high - low), 3), _latency(10**at)) for at in decades]


def fault_panels(faults: Sequence[FaultInjected], began: int, length_s: float) -> tuple[list[Panel], int]:
    """A panel for each kind of the harness's own faults, a bar from its start to its end; and how many are drawn of
    all, `FAULTS_MAX` at the most.
    """
    panels = []
    drawn = faults[:: -(-len(faults) // FAULTS_MAX) or 1]
    for fault, (sign, name, _) in FAULTS.items():
        those = [each for each in drawn if each.kind == fault]
        if not those or not length_s > 0:
            continue
        path = ""
        for each in those:
            x = _clip(WIDTH * (each.at - began) / 1e9 / length_s)
            wide = min(max(1.5, WIDTH * each.lasts_s / length_s), WIDTH - x)
            path += f"M{x:.1f},0h{wide:.1f}v{HEIGHT}h{-wide:.1f}z"
        says = f"{len(those):,}{'' if len(drawn) == len(faults) else ' that are drawn'}"
        panels.append(Panel(f"{sign} {name}", says, [Line("", f"fault {fault}", path)], f"{name}: {says}"))
    return panels, len(drawn)


def _style(language: str) -> str:
    return f"language{_LANGUAGES.index(language)}" if language in _LANGUAGES else "language3"


def _latency(ms: float) -> str:
    return format_latency(ms / 1e3).replace(".00", "").replace(".0 ", " ")


def _across(values: Sequence[float | None]) -> list[tuple[float, float | None]]:
    """The values with the middles of their slices of time."""
    return [(WIDTH * (place + 0.5) / len(values), value) for place, value in enumerate(values)]


def _clip(x: float) -> float:
    return min(float(WIDTH), max(0.0, x))


def _x(ms: float, low: int, high: int) -> float:
    return _clip(WIDTH * (math.log10(ms) - low) / (high - low))


def _y(value: float, low: float, high: float) -> str:
    return f"{HEIGHT - 2 - (HEIGHT - 4) * (value - low) / (high - low):.1f}".removesuffix(".0")


def _path(points: Iterable[tuple[float, float | None]], low: float, high: float) -> str:
    """A line through the points; one that has no value is a gap. A point between two gaps is a short dash."""
    made = ""
    for known, group in groupby(points, key=lambda point: point[1] is not None):
        if not known:
            continue
        run = [(x, _y(value, low, high)) for x, value in group if value is not None]
        if len(run) == 1:
            x, y = run[0]
            made += f"M{_clip(x - 3):.1f},{y}H{_clip(x + 3):.1f}"
        else:
            made += "M" + "L".join(f"{x:.1f},{y}" for x, y in run)
    return made


def _band(lower: Sequence[float | None], upper: Sequence[float | None], low: float, high: float) -> str:
    """The area between two lines."""
    made = ""
    points = [(x, one, two) for (x, one), (_, two) in zip(_across(lower), _across(upper), strict=True)]
    for known, group in groupby(points, key=lambda point: point[1] is not None and point[2] is not None):
        if not known:
            continue
        run = [(x, one, two) for x, one, two in group if one is not None and two is not None]
        if len(run) == 1:
            x, one, two = run[0]
            run = [(_clip(x - 3), one, two), (_clip(x + 3), one, two)]
        there = [f"{x:.1f},{_y(one, low, high)}" for x, one, _ in run]
        back = [f"{x:.1f},{_y(two, low, high)}" for x, _, two in reversed(run)]
        made += "M" + "L".join([*there, *back]) + "z"
    return made
