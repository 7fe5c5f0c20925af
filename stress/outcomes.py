"""What campaigns come to: values that their reporters render."""

from __future__ import annotations

from dataclasses import dataclass, field

from stress.exits import EXIT_INTERRUPTED
from stress.result import Result, Verdict


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """What became of one thing that the gate looked at."""

    kind: str
    """``campaign``, ``canary`` or ``record``."""
    name: str
    verdict: Verdict
    """Of the gate: PASS where it came out as expected."""
    said: str
    """In words: what was expected and what was seen."""
    seconds: float = 0.0
    operations: int = 0
    ratio: float | None = None
    """Changes a second, as a share of those of a plain loop of writes."""
    result: Result | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the gate comes to; ``kept`` is the directory of the worst run, which no later run prunes."""

    outcomes: tuple[GateOutcome, ...]
    seconds: float
    budget_s: float
    kept: str = ""
    interrupted: bool = False

    @property
    def verdict(self) -> Verdict:
        """The worst; without anything looked at, unknown."""
        return max((outcome.verdict for outcome in self.outcomes), default=Verdict.UNKNOWN)

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 unknown, 130 interrupted before anything failed."""
        return EXIT_INTERRUPTED if self.interrupted and self.verdict is not Verdict.FAIL else self.verdict.exit_code


@dataclass(frozen=True, slots=True)
class Compared:
    """One target, over all rounds."""

    target: str
    verdict: Verdict
    """The worst of its rounds."""
    anomalies: dict[str, dict[str, int]]
    """Checker → anomaly → in how many rounds it was found. A checker that found nothing is not there."""
    changes_per_s: float
    """Acknowledged operations a second, the median of the rounds."""
    p50_s: float | None
    """Half of the writes, updates and appends take no longer, the median of the rounds."""
    work: tuple[str, ...]
    """The kinds of changes that it was to make: others have other operations."""
    speed: float | None
    """``changes_per_s`` as a ratio to the first target's, the median of the ratios within each round; None: it did
    nothing, or other work.
    """
    latency: float | None
    syncs_per_write: int | None
    """Calls that sync, in one write; None: not known."""
    results: tuple[Result, ...]

    @property
    def leftovers(self) -> bool:
        """Whether temporary files stayed."""
        return any("leftover-temp" in found for found in self.anomalies.values())

    @property
    def mode_kept(self) -> bool:
        """Whether mode, owner and attributes stayed."""
        return not any("metadata-lost" in found for found in self.anomalies.values())
