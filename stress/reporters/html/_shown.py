"""A finding, made ready for the page: what its section says and draws, each part of it bounded in size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from stress.history.notes import data_of, words_of
from stress.reporters.html._axis import clock
from stress.reporters.html._bytes import BytesShown, bytes_shown
from stress.reporters.html._chain import Chain, chains_shown
from stress.reporters.html._palette import Palette, palette_of
from stress.reporters.html._records import Records, records_shown
from stress.reporters.html._timeline import timeline
from stress.reporters.witness import diagram, witness_cells
from stress.reporters.words import escape_bytes, one_line
from stress.result import Finding, Result

OPERATIONS_MAX = 60
"""Operations of a witness that are shown."""
_DETAIL_SHOWN = 1000  # characters of a line
_DETAILS_MAX = 12  # lines
_NOTE_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Shown:
    """What the section of one finding is made from. ``at``: when it happened, "" where that is not known."""

    place: int
    palette: Palette
    at: str
    about: str
    cause: str
    message: Markup
    details: list[tuple[str, Markup]]
    bytes: BytesShown | None
    records: list[Records]
    chains: tuple[Chain, list[Chain]] | None
    cells: list[list[str]]
    diagram: list[str]
    left_out: int
    timeline: dict[str, Any] | None
    noted: list[tuple[str, str]]


def shown_of(result: Result, finding: Finding, place: int) -> Shown:
    """``place``: its number on the page, from 1."""
    palette = palette_of(finding, result.names)
    ops = sorted(finding.witness, key=lambda op: (op.invoke, op.ret))[:OPERATIONS_MAX]
    focus = finding.focus
    return Shown(
        place=place,
        palette=palette,
        at=clock((focus.ret - result.began) / 1e9) if focus is not None else "",
        about=finding.anomaly.about,
        cause=finding.cause,
        message=palette.words(finding.message[:_DETAIL_SHOWN]),
        details=[(label, palette.words(text[:_DETAIL_SHOWN])) for label, text in finding.detail[:_DETAILS_MAX]],
        bytes=bytes_shown(finding, palette, result.history),
        records=records_shown(finding, palette, result.history),
        chains=chains_shown(finding, palette),
        cells=witness_cells(ops, result.names),
        diagram=diagram(ops, result.names) if ops else [],
        left_out=len(finding.witness) - len(ops),
        timeline=timeline(finding, palette, result.history, result.events),
        noted=[
            (
                result.names.process(op.process),
                f"{one_line(words_of(op.note))[:_NOTE_SHOWN]} {escape_bytes(data_of(op.note)[:_NOTE_SHOWN])}".strip(),
            )
            for op in ops
            if op.note is not None
        ],
    )
