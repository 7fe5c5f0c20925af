"""Findings, made ready for the page: the list of them, and what the section of each says and draws, bounded in size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stress.history.notes import data_of, words_of
from stress.reporters.html._axis import clock
from stress.reporters.html._bytes import bytes_shown
from stress.reporters.html._chain import chains_shown
from stress.reporters.html._palette import palette_of
from stress.reporters.html._records import records_shown
from stress.reporters.html._timeline import timeline
from stress.reporters.witness import diagram, witness_cells
from stress.reporters.words import escape_bytes, one_line
from stress.result import Finding, Result

ANOMALIES_MAX = 60
OPERATIONS_MAX = 60
"""Operations of a witness that are shown."""
_DETAIL_SHOWN = 1000  # characters of a line
_DETAILS_MAX = 12  # lines
_NOTE_SHOWN = 400


def shown_of(result: Result, finding: Finding, place: int) -> dict[str, Any]:
    """What ``page/finding.html`` makes the section of one finding from.

    ``place``: its number on the page, from 1; ``at``: when it happened, "" where that is not known.
    """
    palette = palette_of(finding, result.names)
    ops = sorted(finding.witness, key=lambda op: (op.invoke, op.ret))[:OPERATIONS_MAX]
    focus = finding.focus
    return {
        "place": place,
        "palette": palette,
        "at": clock((focus.ret - result.began) / 1e9) if focus is not None else "",
        "about": finding.anomaly.about,
        "cause": finding.cause,
        "message": palette.words(finding.message[:_DETAIL_SHOWN]),
        "details": [(label, palette.words(text[:_DETAIL_SHOWN])) for label, text in finding.detail[:_DETAILS_MAX]],
        "bytes": bytes_shown(finding, palette, result.history),
        "records": records_shown(finding, palette, result.history),
        "chains": chains_shown(finding, palette),
        "cells": witness_cells(ops, result.names),
        "diagram": diagram(ops, result.names) if ops else [],
        "left_out": len(finding.witness) - len(ops),
        "timeline": timeline(finding, palette, result.history, result.events),
        "noted": [
            (
                result.names.process(op.process),
                f"{one_line(words_of(op.note))[:_NOTE_SHOWN]} {escape_bytes(data_of(op.note)[:_NOTE_SHOWN])}".strip(),
            )
            for op in ops
            if op.note is not None
        ],
    }


def index_of(findings: Sequence[Finding], shown: int) -> list[dict[str, object]]:
    """Each anomaly once, in the order in which they first come: how often it was seen, (number, file) of each finding
    that is shown, and how many are not. ``findings`` are numbered from 1; the first ``shown`` are on the page.
    """
    groups: dict[str, list[tuple[int, Finding]]] = {}
    for place, finding in enumerate(findings, 1):
        groups.setdefault(finding.anomaly, []).append((place, finding))
    return [
        {
            "anomaly": anomaly[:80],
            "about": group[0][1].anomaly.about,
            "count": sum(finding.count for _, finding in group),
            "places": [(place, finding.file[:200]) for place, finding in group if place <= shown],
            "left_out": sum(place > shown for place, _ in group),
        }
        for anomaly, group in list(groups.items())[:ANOMALIES_MAX]
    ]
