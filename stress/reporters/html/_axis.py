"""The axis of time that all of a run is drawn on, and where on it the findings stand.

Places are percent of the axis's width, so that the same page serves a telephone and a wide screen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stress.history.events import Event, FaultInjected
from stress.history.kinds import FaultKind
from stress.reporters.html._charts import FAULTS
from stress.reporters.words import one_line
from stress.result import Finding, Verdict

_STEPS_S = (
    *(digit * 10.0**power for power in range(-9, 1) for digit in (1, 2, 5)),
    10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
    *(hours * 3600.0 for hours in (1, 2, 3, 6, 12, 24, 48, 120, 240)),
)  # fmt: skip
_TICKS = 10
_TICKS_NARROW = 4

_SLOTS = 11
"""Numbers of findings that stand beside each other: on 340 pixels each has 30."""
_ROW_COST = 18.0  # percent that a number is moved rather than a row further from its line
CHRONICLE_MAX = 120


@dataclass(frozen=True, slots=True)
class Tick:
    """``narrow``: whether it has a label where the page is narrow."""

    percent: float
    label: str
    narrow: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """When a finding happened. Its number stands at ``label_percent`` in row ``row``, clear of the others."""

    place: int
    anomaly: str
    at: str
    percent: float
    label_percent: float
    row: int
    doubt: bool


@dataclass(frozen=True, slots=True)
class Axis:
    """From when the workers were let go."""

    ticks: list[Tick]
    moments: list[Moment]

    @property
    def rows(self) -> int:
        """Rows of findings' numbers."""
        return 1 + max((moment.row for moment in self.moments), default=-1)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the chronicle; ``place`` is a finding's number, 0 for what is none."""

    at: str
    words: str
    place: int


def axis_of(findings: Sequence[Finding], began: int, length_s: float) -> Axis:
    """``findings`` are numbered from 1 in the order given; those without a focus have no moment."""
    timed = [
        ((finding.focus.ret - began) / 1e9, place, finding)
        for place, finding in enumerate(findings, 1)
        if finding.focus is not None
    ]
    timed.sort(key=lambda each: each[:2])
    taken: set[tuple[int, int]] = set()
    moments = []
    for at_s, place, finding in timed:
        percent = round(min(100.0, max(0.0, 100 * at_s / length_s)), 3) if length_s > 0 else 0.0
        row, slot = _free(percent, taken)
        taken.add((row, slot))
        label, doubt = round(_centre(slot), 3), finding.verdict is not Verdict.FAIL
        moments.append(Moment(place, finding.anomaly, clock(at_s), percent, label, row, doubt))
    return Axis(ticks(length_s), moments)


def _centre(slot: int) -> float:
    return 100 * (slot + 0.5) / _SLOTS


def _free(percent: float, taken: set[tuple[int, int]]) -> tuple[int, int]:
    """The place, (row, slot), that is nearest to the moment and that no other number has."""
    rows = 2 + max((row for row, _ in taken), default=-1)
    return min(
        ((row, slot) for row in range(rows) for slot in range(_SLOTS) if (row, slot) not in taken),
        key=lambda place: abs(_centre(place[1]) - percent) + _ROW_COST * place[0],
    )


def ticks(length_s: float) -> list[Tick]:
    """At round times, about `_TICKS` of them."""
    if not length_s > 0:
        return [Tick(0.0, "0 s", True)]
    step = next((step for step in _STEPS_S if length_s / step <= _TICKS), _STEPS_S[-1] * math.ceil(length_s / 8.64e6))
    count = int(length_s / step * (1 + 1e-9))
    every = math.ceil(count / _TICKS_NARROW) or 1
    return [
        Tick(round(100 * number * step / length_s, 3), clock(number * step), number % every == 0)
        for number in range(count + 1)
    ]


def clock(seconds: float) -> str:
    """A moment of a run: ``0 s``, ``172.6 ms``, ``2.5 s``, ``1:30 min``, ``2:00 h``, ``3 d 4:00 h``."""
    if abs(seconds) < 0.9995:
        return f"{seconds * 1e3:.4g} ms" if seconds else "0 s"
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours // 24} d {hours % 24}:{minutes:02} h" if hours >= 24 else f"{hours}:{minutes:02} h"


def chronicle(findings: Sequence[Finding], events: Sequence[Event], began: int) -> tuple[list[Entry], int]:
    """The run as text, in order of time: every finding, and as many faults as `CHRONICLE_MAX` lines have room for.

    Returns the lines, and how many faults are left out.
    """
    lines = []
    for place, finding in enumerate(findings, 1):
        if finding.focus is not None:
            words = one_line(finding.anomaly + (f" in {finding.file}" if finding.file else ""))[:300]
            lines.append((finding.focus.ret, Entry(clock((finding.focus.ret - began) / 1e9), words, place)))
    faults = [event for event in events if isinstance(event, FaultInjected)]
    room = max(0, CHRONICLE_MAX - len(lines))
    every = -(-len(faults) // room) if room else len(faults) + 1
    shown = faults[:: max(1, every)] if room else []
    lines += [(event.at, Entry(clock((event.at - began) / 1e9), _fault(event), 0)) for event in shown]
    return [entry for _, entry in sorted(lines, key=lambda line: line[0])], len(faults) - len(shown)


def _fault(event: FaultInjected) -> str:
    if event.kind is FaultKind.CLEAN:
        return "the directory was cleaned of lock and temp files"
    lasts = f" for {clock(event.lasts_s)}" if event.lasts_s else ""
    does = FAULTS[event.kind][2] if isinstance(event.kind, FaultKind) else f"was struck by {event.kind}"
    return f"p{event.process} {does}{lasts}"
