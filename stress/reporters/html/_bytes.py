"""The bytes that were seen beside those that were to be expected, with whose they are, and where they go wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from stress.history.history import History
from stress.history.kinds import CHANGES, Kind
from stress.history.record import NO_VERSION, Operation
from stress.reporters.html._palette import Palette
from stress.reporters.words import escape_bytes
from stress.result import Finding, Owner
from stress.units import counted
from stress.workload.payload import document_of

AROUND = 160
"""Bytes that are shown on each side of the place where it goes wrong."""


@dataclass(frozen=True, slots=True)
class Strip:
    """A bar of bytes, to scale. Each part is its colour, its share of the width in percent, and what it is."""

    caption: str
    parts: list[tuple[str, float, str]]
    break_percent: float | None = None


@dataclass(frozen=True, slots=True)
class BytesShown:
    """What the page shows of a read that saw no whole document."""

    seen: Strip
    expected: list[Strip]
    text: Markup
    """The bytes around the break, each in the colour of whose it is."""
    wanted: list[tuple[str, str]]
    """What the expected documents begin and end with: (version, bytes)."""


def bytes_shown(finding: Finding, palette: Palette, history: History | None = None) -> BytesShown | None:
    """What was seen, and what the whole documents would have been, whose lengths ``history`` may tell. None where no
    bytes were kept.
    """
    if finding.evidence is None:
        return None
    content, at, parts = finding.evidence.content, finding.evidence.offset, finding.evidence.owners
    writes = _writers(finding, parts)
    lengths = [_length(op, history, parts) for op in writes]
    longest = max([len(content), *(length for length, _ in lengths)])
    seen = Strip(
        f"seen: {counted(len(content), 'byte')}",
        [
            (
                palette.colour(_name(part.version, palette)),
                _percent(part.stop - part.start, longest),
                _what(part, palette),
            )
            for part in parts
        ],
        _percent(at, longest),
    )
    expected = []
    for op, (length, exact) in zip(writes, lengths, strict=True):
        name = palette.names.version(op.version)
        caption = f"all of {name}, {'' if exact else 'at least '}{counted(length, 'byte')}"
        expected.append(Strip(caption, [(palette.colour(name), _percent(length, longest), f"{name}, whole")]))
    names = [palette.names.version(op.version) for op in writes]
    return BytesShown(
        seen=seen,
        expected=expected,
        text=_around(content, parts, at, palette),
        wanted=[(name, f'{{"stress": {{"version": "{name}", … , "stress_end": "{name}"}}') for name in names],
    )


def _length(op: Operation, history: History | None, parts: Sequence[Owner]) -> tuple[int, bool]:
    """How many bytes the document of a write has, and whether that is exact: somebody saw it whole. Else the least that
    it can be, as what a write notes is the length of the padding alone.
    """
    if history is not None:
        rows, ops = history.rows(op.file, Kind.READ, Kind.OBSERVE), history.ops
        sizes = ops["size"][rows[ops["version"][rows] == op.version]]
        if (sizes > 0).any():
            return int(sizes.max()), True
    shown = [part.stop - part.start for part in parts if part.version == op.version]
    return max([len(json.dumps(document_of(op.version, max(0, op.size), {}))), *shown]), False


def _percent(part: int, whole: int) -> float:
    return round(100 * part / max(1, whole), 3)


def _name(version: int, palette: Palette) -> str:
    return "" if version == NO_VERSION else palette.names.version(version)


def _what(part: Owner, palette: Palette) -> str:
    return f"{_name(part.version, palette) or 'nobody’s name'}: bytes {part.start:,}–{part.stop:,}"


def _writers(finding: Finding, parts: Sequence[Owner]) -> list[Operation]:
    """The writes of the witness whose bytes were seen, or all of them where none show."""
    writes = [op for op in finding.witness if op.kind in CHANGES and op.version > 0]
    owners = {part.version for part in parts}
    return [op for op in writes if op.version in owners] or writes


def _around(content: bytes, parts: Sequence[Owner], at: int, palette: Palette) -> Markup:
    start, stop = max(0, at - AROUND), min(len(content), at + AROUND)
    made = Markup("… ") if start else Markup("")
    borders = sorted({start, stop, at, *(part.start for part in parts if start < part.start < stop)})
    for a, b in pairwise(borders):
        if a == at:
            made += _mark(at, _says(content, parts, at, palette))
        owner = next((_name(part.version, palette) for part in parts if part.start <= a < part.stop), "")
        made += Markup('<span class="version {}">{}</span>').format(palette.colour(owner), escape_bytes(content[a:b]))
    if at == stop:
        made += _mark(at, _says(content, parts, at, palette))
    return made + (Markup(" …") if stop < len(content) else Markup(""))


def _says(content: bytes, parts: Sequence[Owner], at: int, palette: Palette) -> str:
    """What is wrong from there on."""
    if at == len(content):
        return "it ends here"
    before, after = (
        next((_name(p.version, palette) for p in parts if p.start <= x < p.stop), "") for x in (at - 1, at)
    )
    return f"from here on it is {after}" if after and after != before else "wrong from here on"


def _mark(at: int, says: str) -> Markup:
    return Markup('<mark class="break">▲ byte {}: {}</mark>').format(f"{at:,}", says)
