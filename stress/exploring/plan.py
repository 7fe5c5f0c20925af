"""The description of an exploration, to and from JSON."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stress import options
from stress.anomalies import ANOMALIES
from stress.history.kinds import is_label
from stress.options import Duration, Flag, Option, Text, UsageError, Whole
from stress.registry import close_names

SCHEDULERS = ("mix", "random", "pct", "dpor", "exhaustive")
SEARCHES = ("dpor", "exhaustive")
"""Those that come to an end."""
AGENTS = "agents"
"""``mode`` of a schedule that was kept, where it is one of agents of one's own."""
DEFAULT_SCHEDULES = 1000


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
        for name, option in OPTIONS.items():
            if name != "until":  # which is typed as a percentage
                object.__setattr__(self, option.field, option.read(f"--{name}", getattr(self, option.field)))
        if self.scheduler not in SCHEDULERS:
            advice = f"is no scheduler{close_names(self.scheduler, list(SCHEDULERS))}"
            raise UsageError("--scheduler", self.scheduler, advice)
        if self.depth == 0 and self.scheduler != "exhaustive":
            raise UsageError("--depth", "0", "is not a depth; give 1 or more, such as --depth 3")
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
    def from_options(cls, given: Mapping[str, Any], scenarios: tuple[str, ...] = ()) -> ExplorePlan:
        """A plan of options by their names, values as they are typed or as TOML has them; raises `UsageError`.

        ``duration``, ``until`` and a scheduler that comes to an end put no limit on the schedules.
        """
        fields: dict[str, Any] = {"scenarios": scenarios} if scenarios else {}
        for option, value in given.items():
            if option not in OPTIONS:
                raise UsageError(f"--{option}", str(value), f"is no option{close_names(option, list(OPTIONS))}")
            fields[OPTIONS[option].field] = OPTIONS[option].read(f"--{option}", value)
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


class _Languages:
    """Labels of languages, in turn: one may be there more than once."""

    def read(self, option: str, value: object) -> tuple[str, ...]:
        labels = value.split(",") if isinstance(value, str) else value
        if not isinstance(labels, (list, tuple)) or not all(is_label(str(each)) for each in labels):
            advice = f"is no list of languages; give those that the target has, such as {option} bash,python"
            raise UsageError(option, str(value), advice)
        return tuple(labels)


class _Percentage:
    """A percentage; it becomes a share of 1."""

    def read(self, option: str, value: object) -> float:
        try:
            return float(str(value).rstrip("%")) / 100
        except ValueError:
            raise UsageError(option, str(value)[:80], "is no percentage; give one such as 99.9%") from None


OPTIONS: dict[str, Option] = {
    "target": replace(options.OPTIONS["target"], about="What to test, as for `stress run`."),
    "processes": Option(
        "processes",
        Whole(1, 16, "a number of processes", "3"),
        "N",
        "Number of processes; of three or more, the last one reads.",
        "3",
    ),
    "ops": Option(
        "ops",
        Whole(1, 100, "a number of operations of each process", "2"),
        "N",
        "Operations of each process.",
        "1 and 2 in turn; dpor, exhaustive 1",
        none=True,
    ),
    "languages": Option(
        "languages",
        _Languages(),
        "LANGUAGE,...",
        "Languages of the processes, dealt in turn.",
        "each of the target's by itself, and all in turn",
    ),
    "scheduler": Option(
        "scheduler",
        Text("names nothing; see below"),
        "NAME",
        "Scheduler, which decides which process runs next: see below.",
        "mix",
    ),
    "depth": Option(
        "depth",
        Whole(0, 20, "a depth", "3"),
        "N",
        "Depth of the bugs to find; with exhaustive, most preemptions.",
        "3; exhaustive 2",
    ),
    "schedules": Option(
        "schedules",
        Whole(1, 1 << 40, "a number of schedules", "1000"),
        "N",
        "Most schedules to run of each scenario.",
        f"{DEFAULT_SCHEDULES}; no limit with --duration, --until, dpor and exhaustive",
        none=True,
    ),
    "duration": Option("duration_s", Duration("60s"), "DURATION", "Time limit.", "no limit", none=True),
    "until": Option(
        "until",
        _Percentage(),
        "PERCENT",
        "Go on until a bug of that depth would be found with this probability.",
        "no goal",
    ),
    "seed": replace(
        options.OPTIONS["seed"], about="Seed of the schedulers and of the operations.", default="a new one"
    ),
    "jobs": Option(
        "jobs",
        Whole(0, 256, "a number of jobs", "2"),
        "N",
        "Schedules to run at once, each on a CPU of its own.",
        "one for each CPU",
    ),
    "dir": replace(options.OPTIONS["dir"], about="Where to put the files under test.", default="in memory"),
    "keep-going": Option("keep_going", Flag(), "", "Count failing schedules; do not stop at the first.", "no"),
    "allow": replace(options.OPTIONS["allow"], about="Count these anomalies, and do not judge them."),
}
"""Option name, without its dashes → `Option`, as in `stress.options`."""
