"""The description of an exploration, to and from JSON."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stress.anomalies import ANOMALIES
from stress.history.kinds import is_label
from stress.options import UsageError
from stress.registry import close_names
from stress.units import parse_duration

SCHEDULERS = ("mix", "random", "pct", "dpor", "exhaustive")
SEARCHES = ("dpor", "exhaustive")
"""Those that come to an end."""
AGENTS = "agents"
"""``mode`` of a schedule that was kept, where it is one of agents of one's own."""
DEFAULT_SCHEDULES = 1000
_PROCESSES_MAX = 16


@dataclass(frozen=True, slots=True)
class ExplorePlan:
    """What is to be explored. Raises `UsageError` for values that can't be.

    Attributes:
        scenarios: Names; each is explored by itself.
        target: As in `stress.plan.Plan`.
        processes: Of each execution; of three or more the last reads.
        ops: Operations of each process; None for one and two in turn (see `ops_of`).
        languages: Of the processes, in turn; empty for Python alone, and then all languages of the target in turn.
        scheduler: One of `SCHEDULERS`.
        depth: Of the bugs that PCT is to find; of an exhaustive search, the preemptions.
        schedules: Executions of each scenario at most; None for no limit.
        duration_s: Seconds for all of it; None for no limit.
        until: Probability, 0 to 1, with which one given bug of that depth must have been found; None: no such end.
        seed: Of the schedulers, and of what the processes do.
        jobs: Processes that explore, each on a CPU; 0: one for each CPU there is.
        directory: Where the files are; None: in memory.
        keep_going: Whether to count failing schedules, and not to stop at the first.
        allow: Anomalies that are not to be judged.
    """

    scenarios: tuple[str, ...] = ("session_count",)
    target: str = "atomicops"
    processes: int = 3
    ops: int | None = None
    languages: tuple[str, ...] = ()
    scheduler: str = "mix"
    depth: int = 3
    schedules: int | None = DEFAULT_SCHEDULES
    duration_s: float | None = None
    until: float | None = None
    seed: int = field(default_factory=lambda: secrets.randbelow(1 << 32))
    jobs: int = 0
    directory: str | None = None
    keep_going: bool = False
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Look at every value."""
        _whole("--processes", self.processes, 1, _PROCESSES_MAX, "a number of processes", "3")
        _whole("--ops", 1 if self.ops is None else self.ops, 1, 100, "a number of operations of each process", "2")
        _whole("--depth", self.depth, 0 if self.scheduler == "exhaustive" else 1, 20, "a depth", "3")
        _whole("--seed", self.seed, 0, (1 << 64) - 1, "a seed", "7")
        _whole("--jobs", self.jobs, 0, 256, "a number of jobs", "2")
        if self.schedules is not None:
            _whole("--schedules", self.schedules, 1, 1 << 40, "a number of schedules", "1000")
        if self.scheduler not in SCHEDULERS:
            advice = f"is no scheduler{close_names(self.scheduler, list(SCHEDULERS))}"
            raise UsageError("--scheduler", self.scheduler, advice)
        for language in self.languages:
            if not is_label(language):
                raise UsageError("--languages", language, "is no language; give one that the target has, such as bash")
        for anomaly in self.allow:
            if anomaly not in ANOMALIES:
                raise UsageError("--allow", anomaly, f"is no anomaly{close_names(anomaly, list(ANOMALIES))}")
        if self.until is not None and not 0 < self.until < 1:
            raise UsageError("--until", str(self.until), "is no probability below 100%; give one such as --until 99.9%")
        if self.until is not None and self.scheduler not in ("pct", "mix"):
            raise UsageError("--until", f"{self.until:.4g}", f"means nothing to --scheduler {self.scheduler}; use pct")

    def ops_of(self, round: int) -> int:
        """Operations of each process in a round: many a bug takes two of one process. Searches have one round."""
        return self.ops or (2 if round % 2 and self.scheduler not in SEARCHES else 1)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], scenarios: tuple[str, ...] = ()) -> ExplorePlan:
        """A plan of options by their names, values as they are typed or as TOML has them; raises `UsageError`.

        ``duration``, ``until`` and a scheduler that comes to an end put no limit on the schedules.
        """
        fields: dict[str, Any] = {"scenarios": scenarios} if scenarios else {}
        for option, value in options.items():
            if option not in OPTIONS:
                raise UsageError(f"--{option}", str(value), f"is no option{close_names(option, list(OPTIONS))}")
            name, read = OPTIONS[option]
            fields[name] = read(f"--{option}", value)
        searches = fields.get("scheduler") in SEARCHES
        if "schedules" not in fields and ("duration_s" in fields or "until" in fields or searches):
            fields["schedules"] = None
        if fields.get("scheduler") == "exhaustive":
            fields.setdefault("depth", 2)
        return cls(**fields)

    def to_json(self) -> dict[str, Any]:
        """As plain values; ``mode`` tells it from the plan of a run."""
        return {"mode": "explore", **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ExplorePlan:
        """The inverse of `to_json`; raises `UsageError`."""
        names = {known.name for known in dataclasses.fields(cls)}
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in plain.items() if name in names
        }
        try:
            return cls(**fields)
        except TypeError as error:
            raise UsageError("plan", f"could not be read: {error}") from error


def _whole(option: str, value: object, least: int, most: int, what: str, example: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(option, str(value)[:80], f"is not {what} from {least} to {most}; such as {option} {example}")
    return value


def _read_whole(option: str, value: object) -> int:
    try:
        return int(value) if isinstance(value, str) else _whole(option, value, 0, 1 << 64, "a number", "3")
    except ValueError:
        raise UsageError(option, str(value)[:80], f"is no whole number; give one such as {option} 3") from None


def _read_duration(option: str, value: Any) -> float:
    try:
        seconds = parse_duration(value)
    except (ValueError, OverflowError, TypeError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(option, str(value)[:80], f"is not a duration above zero; give one such as {option} 60s")
    return seconds


def _read_share(option: str, value: object) -> float:
    try:
        return float(str(value).rstrip("%")) / 100
    except ValueError:
        raise UsageError(option, str(value)[:80], "is no percentage; give one such as 99.9%") from None


def _read_text(option: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(option, str(value), "is not text")
    return value


def _read_names(option: str, value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        raise UsageError(option, str(value), "is no list of names, separated by commas")
    return tuple(part.strip() for part in parts)


OPTIONS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "target": ("target", _read_text),
    "processes": ("processes", _read_whole),
    "ops": ("ops", _read_whole),
    "languages": ("languages", _read_names),
    "scheduler": ("scheduler", _read_text),
    "depth": ("depth", _read_whole),
    "schedules": ("schedules", _read_whole),
    "duration": ("duration_s", _read_duration),
    "until": ("until", _read_share),
    "seed": ("seed", _read_whole),
    "jobs": ("jobs", _read_whole),
    "dir": ("directory", _read_text),
    "allow": ("allow", _read_names),
    "keep_going": ("keep_going", lambda option, value: bool(value)),
}
"""Option name → the field that it fills, and how its value is read."""
