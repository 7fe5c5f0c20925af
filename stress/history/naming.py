"""What processes, versions and times are called: as this harness numbers them, or as the user of a history does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from stress.history.kinds import Language
from stress.history.record import ABSENT, NO_VERSION, Operation, format_version

PER_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Unit of a time → nanoseconds."""


@dataclass(frozen=True, slots=True)
class Naming:
    """The names of one history. The default is that of a run of ours: ``p3``, ``p3.12``, ms since the start barrier
    was opened.
    """

    began: int = 0
    """ns, what the times of a run of ours are told from."""
    unit: str = ""
    """Of the times that a user gave: ``s``, ``ms``, ``us`` or ``ns``. Empty: the history is of a run of ours."""
    processes: Mapping[int, str] = field(default_factory=dict)
    """Process → what the user calls it."""
    versions: Mapping[int, str] = field(default_factory=dict)
    """Version → the value that the user gave."""
    handlers: Mapping[int, int] = field(default_factory=dict)
    """Process that is what a signal handler did → the process whose handler it is."""
    last: int = 0
    """ns, the last time that the user gave: what ends after it has no end."""

    def process(self, process: int) -> str:
        """``p3``, or the user's name."""
        return self.processes.get(process, f"p{process}")

    def who(self, op: Operation) -> str:
        """``p3 (bash)``; in a user's history his name, ``process 3`` where that is a number."""
        name = self.process(op.process)
        if op.language is not Language.UNKNOWN:
            interrupted = self.handlers.get(op.process)
            within = f", a signal handler in {self.process(interrupted)}" if interrupted else ""
            return f"{name} ({op.language.label}{within})"
        return f"process {name}" if name.lstrip("-").isdigit() else name

    def version(self, version: int) -> str:
        """``p3.12`` or a word such as ``initial``; or the value that the user gave."""
        return self.versions.get(version) or format_version(version)

    def seen(self, version: int) -> str:
        """`version`; where there is no file: ``no file``."""
        return "no file" if version == ABSENT and not self.unit else self.version(version)

    def version_or_none(self, version: int) -> str | None:
        """`version`, or None where there is none."""
        return None if version == NO_VERSION else self.version(version)

    @property
    def shown_unit(self) -> str:
        """The unit of `number`."""
        return self.unit or "ms"

    def number(self, at: int) -> str:
        """A time without its unit: ms since the run began; of a user's history the number that was given."""
        if not self.unit:
            return f"{(at - self.began) / 1e6:.3f}"
        if at > self.last:
            return "never"
        return f"{(Decimal(at) / PER_UNIT_NS[self.unit]).normalize():f}"

    def moment(self, at: int) -> str:
        """A time: ``4.100 ms``."""
        number = self.number(at)
        return number if number == "never" else f"{number} {self.shown_unit}"

    def span(self, start: int, end: int) -> str:
        """From when to when: ``4.100–4.310 ms``."""
        since, until = self.number(start), self.number(end)
        return f"{since} {self.shown_unit}–never" if until == "never" else f"{since}–{until} {self.shown_unit}"
