"""The timeline of a witness: its operations, those that went on around them, and which version each had from which.

Times are whole nanoseconds from the first moment that is drawn, so that a browser's numbers hold them exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stress.history.events import Event, FaultInjected
from stress.history.history import History
from stress.history.kinds import CHANGES, Kind, Outcome
from stress.history.naming import Naming
from stress.history.notes import words_of
from stress.history.record import ABSENT, GARBAGE, NO_VERSION, Operation
from stress.reporters.html._palette import BAD, Palette
from stress.reporters.links import links, version_shown
from stress.reporters.table import NAMES
from stress.reporters.words import one_line
from stress.result import Finding

NEIGHBOURS_MAX = 120
"""Other operations on the file that are drawn."""
LANES_MAX = 16
WITNESS_MAX = 60
"""Operations of a witness that are drawn."""
_MARGIN = 0.2  # of the witness's length, before it and after it
_NOTE_SHOWN = 200

_OUTCOMES = {Outcome.OK: "ok", Outcome.FAIL: "failed", Outcome.INFO: "unknown", Outcome.OPEN: "unknown"}


def timeline(
    finding: Finding, palette: Palette, history: History | None, events: Sequence[Event]
) -> dict[str, object] | None:
    """What the page's ``timeline.js`` draws; None where the finding has no witness."""
    witness = list(finding.witness[:WITNESS_MAX])
    if not witness:
        return None
    first, last = min(op.invoke for op in witness), max(op.ret for op in witness)
    margin = max(1000, int((last - first) * _MARGIN))
    start, stop = first - margin, last + margin
    others, hidden = _neighbours(finding, history, start, stop) if history is not None else ([], 0)
    about = {} if history is None else {facts.process: facts.about for facts in history.processes}
    own = list(dict.fromkeys(op.process for op in witness))
    processes = own + sorted({op.process for op in others} - {*own})
    languages = {op.process: op.language.label for op in [*others, *witness]}
    lanes = {process: place for place, process in enumerate(processes[: max(LANES_MAX, len(own))])}
    drawn = [op for op in others if op.process in lanes]
    return {
        "from": (start - (0 if history is None else history.began)) / 1e6,
        "length": stop - start,
        "lanes": [
            {"name": palette.names.process(process), "about": about.get(process, languages[process])}
            for process in lanes
        ],
        "operations": [_of_witness(op, finding, palette, lanes, start) for op in witness],
        "own_lanes": len(own),
        "others": [_faint(op, palette.names, lanes, start) for op in drawn],
        "links": _links(finding, witness),
        "marks": _marks(events, lanes, start, stop),
        "hidden": hidden + len(others) - len(drawn),
    }


def _neighbours(finding: Finding, history: History, start: int, stop: int) -> tuple[list[Operation], int]:
    """Operations on the file between two moments, those of the witness's processes and the nearest to what the finding
    is about first; and how many more there are.
    """
    file = finding.witness[0].file
    rows = history.rows(file)
    ops = history.ops
    # Rows are in order of invocation; what began long before may still be under way.
    rows = rows[: int(np.searchsorted(ops["invoke"][rows], stop, side="right"))]
    rows = rows[ops["return"][rows] >= start]
    of_witness = np.zeros(len(rows), np.bool_)
    for op in finding.witness:
        of_witness |= (ops["process"][rows] == op.process) & (ops["invoke"][rows] == op.invoke)
    rows = rows[~of_witness]
    centre = finding.focus if finding.focus is not None else finding.witness[-1]
    away = np.maximum(ops["invoke"][rows] - centre.ret, centre.invoke - ops["return"][rows]).clip(0)
    changes = np.isin(ops["kind"][rows], list(CHANGES))
    taking_part = np.isin(ops["process"][rows], [op.process for op in finding.witness])
    order = np.lexsort((away, ~(taking_part | changes)))
    chosen: NDArray[np.intp] = np.sort(rows[order[:NEIGHBOURS_MAX]])
    # Without the notes: nobody reads hundreds of them.
    return [history.without_note(row) for row in chosen.tolist()], len(rows) - len(chosen)


def _of_witness(
    op: Operation, finding: Finding, palette: Palette, lanes: Mapping[int, int], start: int
) -> dict[str, object]:
    focus = op == finding.focus
    drawn = _drawn(dataclasses.replace(op, version=version_shown(op, finding)), focus, palette, lanes, start)
    if focus and op.version in (GARBAGE, NO_VERSION) and op.kind not in CHANGES:
        drawn["label"] = finding.anomaly.replace("-", " ")
    return drawn


def _drawn(op: Operation, focus: bool, palette: Palette, lanes: Mapping[int, int], start: int) -> dict[str, object]:
    held = [op.held_from - start, op.held_to - start] if op.held_from > 0 and op.held_to >= op.held_from else None
    version = palette.names.version(op.version) if op.version != NO_VERSION else ""
    return {
        "lane": lanes[op.process],
        "a": op.invoke - start,
        "b": op.ret - start,
        "kind": NAMES.get(op.kind.label, op.kind.label),
        "reads": op.kind not in CHANGES,
        "label": _label(op, version, palette),
        "colour": BAD if focus else palette.colour(version),
        "focus": focus,
        "outcome": _OUTCOMES[op.outcome],
        "size": op.size if op.kind not in CHANGES else -1,  # a change notes the length of its padding alone
        "held": held,
        "note": one_line(words_of(op.note))[:_NOTE_SHOWN],
    }


def _faint(op: Operation, names: Naming, lanes: Mapping[int, int], start: int) -> list[object]:
    """One of the others: lane, start, end, label, outcome, size, reads, as in `_drawn`. A list, for there are many."""
    of_witness = _drawn(op, False, Palette({}, names), lanes, start)
    return [of_witness[key] for key in ("lane", "a", "b", "label", "outcome", "size", "reads")]


def _label(op: Operation, version: str, palette: Palette) -> str:
    """``update p7.9 from p1.12``, ``read saw p3.4``: what a bar says."""
    name = NAMES.get(op.kind.label, op.kind.label)
    if op.kind in CHANGES:
        parent = (
            f" from {palette.names.version(op.parent)}" if op.kind is Kind.UPDATE and op.parent != NO_VERSION else ""
        )
        return f"{name} {version}{parent}".strip()
    saw = {GARBAGE: "garbage", ABSENT: "no document"}.get(op.version, version)
    return f"{name} saw {saw}" if saw else name


def _links(finding: Finding, witness: Sequence[Operation]) -> list[list[int]]:
    """Pairs of places in the witness that an arrow joins."""
    places = {(op.process, op.invoke): place for place, op in enumerate(witness)}
    pairs = [((one.process, one.invoke), (two.process, two.invoke)) for one, two in links(finding)]
    return [[places[one], places[two]] for one, two in pairs if one in places and two in places]


def _marks(events: Sequence[Event], lanes: Mapping[int, int], start: int, stop: int) -> list[dict[str, object]]:
    return [
        {
            "fault": str(event.kind),
            "lane": lanes[event.process],
            "a": event.at - start,
            "b": event.at + int(event.lasts_s * 1e9) - start,
        }
        for event in events
        if isinstance(event, FaultInjected) and event.process in lanes and start <= event.at <= stop
    ][:NEIGHBOURS_MAX]
