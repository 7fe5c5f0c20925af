"""What was left out of a run, why, and what would bring it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """What of a run can be left out."""

    SCENARIO = "scenario"
    WORKERS = "workers"
    """All workers of a language, or some of their operations."""
    CHECKER = "checker"
    PLUGIN = "plug-in"
    """Of somebody's, that could not be loaded."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was left out of a run, and why."""

    part: Part
    name: str
    """The scenario's, the checker's or the plug-in's name, or the label of the workers' language."""
    why: str
    """In words, without a capital and a full stop."""
    cure: str = ""
    """What would bring it back, such as ``apt-get install jq``."""
    operations: tuple[str, ...] = ()
    """Of `Part.WORKERS`: the operations that they can't do; none: they take no part."""

    @property
    def what(self) -> str:
        """``scenario resume``, ``bash workers``, ``bash update, append``."""
        if self.part is Part.WORKERS:
            return f"{self.name} {', '.join(self.operations) or 'workers'}"
        return f"{self.part} {self.name}"

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f"; {self.cure}" if self.cure else "")

    def to_plain(self) -> dict[str, object]:
        """As values of JSON."""
        return {
            "part": str(self.part),
            "name": self.name,
            "operations": list(self.operations),
            "why": self.why,
            "cure": self.cure,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, object]) -> Skipped:
        """The inverse of `to_plain`; raises KeyError and ValueError for what is none."""
        operations = plain["operations"]
        assert isinstance(operations, Sequence)
        return cls(
            Part(str(plain["part"])),
            str(plain["name"]),
            str(plain["why"]),
            str(plain["cure"]),
            tuple(map(str, operations)),
        )
