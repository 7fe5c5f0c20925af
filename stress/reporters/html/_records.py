"""The records of a log around those that a finding is about: as a reader saw them, and as they were at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stress.history.history import History
from stress.history.kinds import Format, Kind, Outcome
from stress.history.record import INITIAL, Operation
from stress.reporters.html._palette import BAD, Palette
from stress.result import Finding
from stress.workload.log_replay import content_seen, records_of

READS_MAX = 20_000
"""Reads of one process that are gone through, to put together what it saw."""
_BEFORE, _AFTER, _LENGTH = 2, 4, 14


@dataclass(frozen=True, slots=True)
class Records:
    """Some of a log's records: (version, colour, whether it is there), and how many are left out around them."""

    caption: str
    before: int
    records: list[tuple[str, str, bool]]
    after: int


def records_shown(finding: Finding, palette: Palette, history: History | None) -> list[Records]:
    """Empty where the finding is not about records that were appended to a log."""
    if history is None or not finding.witness or history.files[finding.witness[0].file].form is not Format.LOG:
        return []
    wanted = [op for op in finding.witness if op.kind is Kind.APPEND and op.version > INITIAL]
    if not wanted:
        return []
    made = []
    focus = finding.focus
    if focus is not None and (saw := _seen(focus, history)) is not None:
        before = [op for op in wanted if op.ret < focus.invoke]  # of the others nobody knows whether it had to see them
        made.append(_around(f"What {palette.names.process(focus.process)} saw of the log", saw, before, palette))
    if history.final:
        content = history.final[finding.witness[0].file].content
        made.append(_around("The log when all had ended", records_of(content).versions, wanted, palette))
    return made


def _seen(read: Operation, history: History) -> list[int] | None:
    """The records that a read found; None where it is none, or where what it saw was not kept."""
    if read.kind not in (Kind.READ, Kind.OBSERVE):
        return None
    ops = history.ops
    rows = history.rows(read.file, Kind.READ, Kind.OBSERVE, outcome=Outcome.OK)
    rows = rows[(ops["process"][rows] == read.process) & (ops["invoke"][rows] <= read.invoke)]
    if not 0 < len(rows) <= READS_MAX:
        return None
    content = content_seen(history, int(rows[-1]))
    return None if content is None else records_of(content).versions


def _around(caption: str, there: Sequence[int], wanted: Sequence[Operation], palette: Palette) -> Records:
    """The records around the first that is wanted, or the last ones; those that are missing stand before it."""
    place = {version: at for at, version in enumerate(there)}
    found = sorted(place[op.version] for op in wanted if op.version in place)
    missing = [palette.names.version(op.version) for op in wanted if op.version not in place]
    centre = found[0] if found else len(there)
    start = max(0, centre - _BEFORE)
    stop = min(len(there), start + _LENGTH, (found[-1] if found else centre) + _AFTER)
    names = [palette.names.version(version) for version in there[start:stop]]
    shown = [(name, palette.colour(name), True) for name in names]
    at = centre - start
    return Records(
        caption, start, [*shown[:at], *((name, BAD, False) for name in missing), *shown[at:]], len(there) - stop
    )
