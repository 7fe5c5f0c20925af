"""Which colour a version has in what is shown of one finding: in its timeline, its words and its bytes alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from stress.history.kinds import CHANGES
from stress.history.naming import Naming
from stress.history.notes import data_of
from stress.history.record import INITIAL
from stress.reporters.words import plain_text
from stress.result import Finding
from stress.workload.payload import writers_in

COLOURS = 6
"""Colours for versions: the page's classes ``v0`` to ``v5``."""
BAD = "bad"
NEUTRAL = "other"

_VERSION = re.compile(r"\bp\d+\.\d+\b")


@dataclass(frozen=True, slots=True)
class Palette:
    """Version, as text → the name of its colour."""

    colours: dict[str, str]
    names: Naming

    def colour(self, version: str) -> str:
        """The name of a version's colour; `NEUTRAL` for one that the finding is not about."""
        return self.colours.get(version, NEUTRAL)

    def words(self, text: str) -> Markup:
        """``text``, made safe, with the versions in their colours."""
        made, at = Markup(""), 0
        text = plain_text(text)
        if self.names.unit:  # a user's versions may be any text: only what is nothing else is taken for one
            colour = self.colours.get(text)
            return escape(text) if colour is None else Markup('<b class="version {}">{}</b>').format(colour, text)
        for match in _VERSION.finditer(text):
            colour = self.colour(match[0])
            made += escape(text[at : match.start()])
            made += Markup('<b class="version {}">{}</b>').format(colour, match[0])
            at = match.end()
        return made + escape(text[at:])


def palette_of(finding: Finding, names: Naming) -> Palette:
    """The version that is wrong is red; others that the witness is about have a colour each, as long as there are any.

    Red is the version that the finding's own operation made, if it makes one: the update or append that was lost.
    """
    focus = finding.focus
    bad = names.version(focus.version) if focus is not None and focus.kind in CHANGES else ""
    colours = {bad: BAD} if bad else {}
    for version in _told(finding, names):
        if version not in colours and len(colours) - bool(bad) < COLOURS:
            colours[version] = f"v{len(colours) - bool(bad)}"
    return Palette(colours, names)


def _told(finding: Finding, names: Naming) -> Iterable[str]:
    yield from (names.version(op.version) for op in finding.witness if op.kind in CHANGES and op.version >= INITIAL)
    for op in finding.witness if finding.focus is None else [finding.focus]:
        yield from (name for name, _, _ in writers_in(data_of(op.note)[: 1 << 20]))
    yield from (names.version(op.version) for op in finding.witness if op.version > INITIAL)
    yield from (names.version(op.parent) for op in finding.witness if op.parent > INITIAL)
