"""Two updates from one version, as the chains that they should have made and that they did make."""

from __future__ import annotations

from stress.history.kinds import Kind
from stress.history.record import INITIAL
from stress.reporters.html._palette import Palette
from stress.result import Finding

Chain = list[tuple[str, str]]
"""Versions, each made from the one before it: (version, colour)."""


def chains_shown(finding: Finding, palette: Palette) -> tuple[Chain, list[Chain]] | None:
    """The chain that was to be expected and the ones that were seen; None where the witness has no such updates."""
    focus = finding.focus
    if focus is None or focus.kind is not Kind.UPDATE or focus.parent < INITIAL:
        return None
    rivals = [op for op in finding.witness if op.kind is Kind.UPDATE and op.parent == focus.parent and op != focus]
    if not rivals:
        return None
    first, second, parent = (_link(version, palette) for version in (focus.version, rivals[0].version, focus.parent))
    return [parent, first, second], [[parent, first], [parent, second]]


def _link(version: int, palette: Palette) -> tuple[str, str]:
    name = palette.names.version(version)
    return name, palette.colour(name)
