"""What was left out of a run, why, and what would bring it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


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
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Skipped:
        """The inverse of `to_plain`; raises KeyError, TypeError and ValueError for what is none."""
        return cls(**{**plain, "part": Part(plain["part"]), "operations": tuple(plain["operations"])})
