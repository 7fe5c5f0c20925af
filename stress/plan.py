"""The frozen description of a run, to and from a command line, JSON and TOML.

Everything that decides what a run does is in its plan; what is shown and where reports go is not.
"""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import tomllib

from stress.options import DURATION_S_MAX, OPTIONS, PROCESSES_MAX, Mix, Options, UsageError, arguments, option_named
from stress.registry import close_names

__all__ = ["DURATION_S_MAX", "OPTIONS", "PROCESSES_MAX", "Plan", "UsageError"]


@dataclass(frozen=True, slots=True, init=False)
class Plan:
    """What a run is to do: ``Plan("handoff", target=Store, writers=8, duration="3s", kill_every=0.2)``.

    Args:
        scenarios: One name or several (``scenario=`` is the same); none: ``bridge``.
        target: The name of one that there is, the path of a ``.py`` or ``.toml`` file, or an object, a class or a
            module that has the operations as attributes: see `stress.workload.target.Target`.
        options: Those of ``stress run``, with underscores. A duration is a number of seconds or a text with a unit.
            ``mix`` alone says how many writers there are; ``ops`` alone puts no limit on the time.

    Raises `UsageError` for values that can't be. Names are looked up when it is run.
    """

    scenarios: tuple[str, ...] = ("bridge",)
    target: str = "atomicops"
    """A name or a path; of an object, the name by which it is known in this process."""
    writers: int = 16
    readers: int | None = None
    """None: a quarter of the writers, and at least 2."""
    mix: Mix | None = None
    """Writers of each language; None: as evenly as the target allows."""
    duration_s: float | None = 10.0
    """None: until ``ops`` are done. With both, whichever comes first."""
    ops: int | None = None
    """Operations, of all workers together."""
    seed: int = field(default_factory=lambda: secrets.randbelow(1 << 32))
    """Of what the workers decide to do; the operating system's scheduling has none."""
    directory: str | None = None
    """Where the files under test are put, in a new directory; None: where temporary files go."""
    runs: str = ".stress"
    """Where run directories are kept."""
    kill_every_s: float | None = None
    pause_every_s: float | None = None
    pause_for_s: float | None = None
    """How long a pause lasts, of a worker inside a lock if there is one; None: a moment, and any worker."""
    fill_every_s: float | None = None
    signal_every_s: float | None = None
    clean_every_s: float | None = None
    stop_on_first: bool = False
    op_limit_s: float = 30.0
    """An operation that takes longer hangs."""
    check_every_s: float | None = None
    """Judge what was done after each such stage, and go on with fresh files; None: once, at the end."""
    allow: tuple[str, ...] = ()
    """Anomalies that are counted, and not judged."""
    only: tuple[str, ...] = ()
    """Checkers; none: all that the scenarios name."""
    nemesis: tuple[tuple[str, float], ...] = ()
    """Nemeses of others, and the mean seconds between two of their faults, such as ``(("touch", 0.2),)``."""
    load: tuple[str, ...] = ()
    """Python files that are loaded first, for what they register; absolute paths."""
    keep: int = 20
    """Run directories that are kept in ``runs``; the oldest go, but not those in which a stage has found something."""

    def __init__(
        self,
        scenarios: str | Sequence[str] = (),
        target: object = "atomicops",
        *,
        scenario: str | Sequence[str] = (),
        **options: Unpack[Options],
    ) -> None:
        """See the class."""
        fields: dict[str, Any] = {"scenarios": _read_scenarios(scenarios or scenario or "bridge")}
        for name, value in (("target", _target_name(target)), *options.items()):
            option = option_named(name)
            fields[OPTIONS[option].field] = OPTIONS[option].read(f"--{option}", value)
        if fields.get("mix") is not None and "writers" not in fields:
            fields["writers"] = sum(count for _, count in fields["mix"])
        if fields.get("ops") is not None:
            fields.setdefault("duration_s", None)
        for known in dataclasses.fields(self):
            if known.name not in fields:
                made = known.default_factory
                fields[known.name] = known.default if made is dataclasses.MISSING else made()
            object.__setattr__(self, known.name, fields[known.name])
        if self.duration_s is None and self.ops is None:
            raise UsageError("--duration", "the run would have no end; give --duration 10s or --ops 100000")
        if self.mix is not None and (total := sum(count for _, count in self.mix)) != self.writers:
            advice = f"makes {total} writers and --writers says {self.writers}; give one of the two"
            raise UsageError("--mix", arguments("--mix", self.mix)[1], advice)

    def to_json(self) -> dict[str, Any]:
        """As plain values, for a plan.json and for reports."""
        made = dataclasses.asdict(self)
        for name in ("scenarios", "allow", "only", "load"):
            made[name] = list(made[name])
        made["mix"] = None if self.mix is None else dict(self.mix)
        made["nemesis"] = dict(self.nemesis)
        return made

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Plan:
        """The inverse of `to_json`; fields that are not there have their defaults."""
        fields = dict(plain)
        if unknown := sorted(fields.keys() - {known.name for known in dataclasses.fields(cls)}):
            raise UsageError("plan", unknown[0], "is no field of a plan")
        try:
            return cls(**fields)
        except (TypeError, AttributeError) as error:
            raise UsageError("plan", f"could not be read: {error}") from error

    def to_argv(self) -> list[str]:
        """A command line that asks for the same: options at their default are left out, but the seed is there."""
        argv = ["stress", "run", *self.scenarios]
        for option, spec in OPTIONS.items():
            value = getattr(self, spec.field)
            if option == "seed" or value != _default(spec.field, self):
                argv += arguments(f"--{option}", value)
        return argv

    @classmethod
    def from_options(cls, options: Mapping[str, Any], scenarios: Sequence[str] = ()) -> Plan:
        """A plan of options by their names (``kill-every``), values as they are typed or as TOML has them."""
        if "target" in options:
            OPTIONS["target"].read("--target", options["target"])  # here no object will do
        return cls(scenarios, **options)


def read_toml(path: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The options and the scenarios in the plan file ``path``; raises `UsageError`."""
    try:
        content = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise UsageError("--plan", path, f"could not be read: {error.strerror}; give a TOML file") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or no path; too deep
        raise UsageError("--plan", path, f"is not TOML: {error}") from error
    scenarios = content.pop("scenarios", [])
    if isinstance(scenarios, str):
        scenarios = [scenarios]
    if not isinstance(scenarios, list) or not all(isinstance(name, str) for name in scenarios):
        raise UsageError("--plan", path, 'has no list of names as scenarios; write scenarios = ["handoff"]')
    for key in content:
        if key not in OPTIONS:
            raise UsageError("--plan", path, f"has an unknown key {key!r}{close_names(key, ['scenarios', *OPTIONS])}")
    return content, tuple(scenarios)


def readers_of(writers: int, readers: int | None) -> int:
    """How many readers there are where ``readers`` are asked for; None: a quarter of the writers, and at least 2."""
    return max(2, writers // 4) if readers is None else readers


def _read_scenarios(names: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        names = (names,)
    if not isinstance(names, (list, tuple)):
        raise UsageError("SCENARIO", str(names), "is neither a name nor a list of names")
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
            raise UsageError("SCENARIO", str(name), "is not a scenario's name; `stress list scenarios` gives them")
    return tuple(names)


def _target_name(target: object) -> str:
    if isinstance(target, (str, os.PathLike)):
        return os.fspath(target)
    from stress.workload.target import TargetError, adopt

    try:
        return adopt(target)
    except TargetError as error:
        raise UsageError("--target", str(error)) from None


def _default(name: str, plan: Plan) -> object:
    if name == "writers" and plan.mix is not None:
        return plan.writers  # --mix says it
    if name == "duration_s" and plan.ops is not None:
        return None
    return next(known.default for known in dataclasses.fields(Plan) if known.name == name)
