"""The frozen description of a run, to and from a command line, JSON and TOML.

Everything that decides what a run does is in its plan; what is shown and where reports go is not.
"""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib

from stress.history.record import is_label
from stress.registry import close_names
from stress.units import format_duration, parse_duration

__all__ = ["OPTIONS", "Plan", "UsageError"]

DEFAULT_WRITERS = 16
DEFAULT_DURATION_S = 10.0
PROCESSES_MAX = 4096
KEPT_RUNS = 20
DURATION_S_MAX = 366 * 86400.0


class UsageError(ValueError):
    """Something was asked for that can't be had: a person's mistake, not ours. Its text is one line. Exit code 2."""

    def __init__(self, option: str, value: str, advice: str = "") -> None:
        """``option`` as it is typed; the ``value`` that was given with it, and what is wrong with it and what would
        do, which goes on from the value (``is not a duration; give …``). Without ``advice``, ``value`` is all of that.
        """
        self.option = option
        self.value = value
        self.advice = advice
        said = f"{value!r} {advice}" if advice else value
        super().__init__(re.sub(r"\s+", " ", f"{option}: {said}").strip())


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do. Raises `UsageError` for values that can't be; names are looked up by the engine."""

    scenarios: tuple[str, ...] = ("bridge",)
    target: str = "atomicops"
    """The name of one that there is, or the path of a ``.py`` or ``.toml`` file."""
    writers: int = DEFAULT_WRITERS
    readers: int | None = None
    """None: a quarter of the writers, and at least 2."""
    mix: tuple[tuple[str, int], ...] | None = None
    """Writers of each language, such as ``(("bash", 8), ("python", 8))``; None: as evenly as the target allows."""
    duration_s: float | None = DEFAULT_DURATION_S
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
    keep: int = KEPT_RUNS
    """Run directories that are kept in ``runs``; the oldest go, but not those in which a stage has found something."""

    def __post_init__(self) -> None:
        """Look at every value."""
        if isinstance(self.scenarios, str):
            raise UsageError("SCENARIO", self.scenarios, "is one text, not a tuple of names")
        for name in self.scenarios:
            if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
                raise UsageError("SCENARIO", str(name), "is not a scenario's name; `stress list scenarios` gives them")
        if not self.scenarios:
            raise UsageError("SCENARIO", "give at least one; `stress list scenarios` gives their names")
        if not self.target:
            raise UsageError("--target", "", "names nothing; `stress list targets` gives the names that there are")
        _whole("--writers", self.writers, 1, PROCESSES_MAX, "a number of processes", "--writers 16")
        if self.readers is not None:
            _whole("--readers", self.readers, 0, PROCESSES_MAX, "a number of processes", "--readers 4")
        _check_mix(self.mix, self.writers)
        if self.ops is not None:
            _whole("--ops", self.ops, 1, 1 << 40, "a number of operations", "--ops 100000")
        _whole("--keep", self.keep, 2, 1 << 20, "a number of run directories", "--keep 20")
        _whole("--seed", self.seed, 0, (1 << 64) - 1, "a seed", "--seed 7")
        if self.duration_s is None and self.ops is None:
            raise UsageError("--duration", "the run would have no end; give --duration 10s or --ops 100000")
        for option, seconds in (
            ("--duration", self.duration_s),
            ("--kill-every", self.kill_every_s),
            ("--pause-every", self.pause_every_s),
            ("--pause-for", self.pause_for_s),
            ("--fill-every", self.fill_every_s),
            ("--signal-every", self.signal_every_s),
            ("--clean-every", self.clean_every_s),
            ("--op-limit", self.op_limit_s),
            ("--check-every", self.check_every_s),
        ):
            if seconds is not None and not _lasts(seconds):
                raise UsageError(option, str(seconds), _DURATION_ADVICE.format(option, _EXAMPLES[option]))
        for option, path in (("--dir", self.directory), ("--runs", self.runs)):
            if path == "" or "\0" in (path or ""):
                raise UsageError(option, path or "", "is not a path; give a directory")

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
            for name in ("scenarios", "allow", "only", "load"):
                if name in fields:
                    fields[name] = tuple(fields[name])
            if "nemesis" in fields:
                fields["nemesis"] = tuple(fields["nemesis"].items())
            if fields.get("mix") is not None:
                fields["mix"] = tuple((language, count) for language, count in fields["mix"].items())
            return cls(**fields)
        except (TypeError, AttributeError) as error:
            raise UsageError("plan", f"could not be read: {error}") from error

    def to_argv(self) -> list[str]:
        """A command line that asks for the same: options at their default are left out, but the seed is there."""
        argv = ["stress", "run", *self.scenarios]
        for option, spec in OPTIONS.items():
            value = getattr(self, spec.field)
            if option == "seed" or value != _default(spec.field, self):
                argv += spec.show(f"--{option}", value)
        return argv

    @classmethod
    def from_options(cls, options: Mapping[str, Any], scenarios: tuple[str, ...] = ()) -> Plan:
        """A plan of options by their names (``kill-every``), values as they are typed or as TOML has them.

        ``--mix`` alone says how many writers there are; ``--ops`` alone puts no limit on the time. Raises
        `UsageError` for the first that won't do.
        """
        fields: dict[str, Any] = {"scenarios": scenarios} if scenarios else {}
        for option, value in options.items():
            fields[OPTIONS[option].field] = OPTIONS[option].read(f"--{option}", value)
        if "mix" in fields and "writers" not in fields:
            fields["writers"] = sum(count for _, count in fields["mix"])
            if not 1 <= fields["writers"] <= PROCESSES_MAX:
                raise UsageError(
                    "--mix", _show_mix(fields["mix"]), f"is no writer at all, or more than {PROCESSES_MAX}"
                )
        if "ops" in fields and "duration_s" not in fields:
            fields["duration_s"] = None
        return cls(**fields)

    @classmethod
    def from_toml(cls, path: str) -> Plan:
        """A plan in a file: keys are the options' names, and ``scenarios`` is a list."""
        options, scenarios = read_toml(path)
        return cls.from_options(options, scenarios)


def read_toml(path: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The options and the scenarios in the plan file ``path``; raises `UsageError`."""
    try:
        content = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise UsageError("--plan", path, f"could not be read: {error.strerror}; give a TOML file") from error
    except ValueError as error:  # not TOML, not UTF-8, or no path
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


# Options: how a value is read and shown. One table, for the command line and for TOML.

_DURATION_ADVICE = "is not a duration above zero; give a number and a unit (ms, s, m, h), such as {} {}"
_EXAMPLES = {
    "--duration": "30s",
    "--kill-every": "200ms",
    "--pause-every": "500ms",
    "--pause-for": "6s",
    "--fill-every": "200ms",
    "--signal-every": "100ms",
    "--clean-every": "500ms",
    "--op-limit": "30s",
    "--check-every": "10m",
    "--nemesis": "touch=200ms",
}
_NAMES = {"--load": "mine.py", "--allow": "metadata-lost,leftover-temp", "--only": "torn,updates"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option: the field it fills, how its value is read (option, value), and how it is shown as arguments."""

    field: str
    read: Callable[[str, Any], Any]
    show: Callable[[str, Any], list[str]]


def _whole(option: str, value: object, least: int, most: int, what: str, example: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        range_ = f"{most} or less" if isinstance(value, int) and value > most else f"{least} or more"
        raise UsageError(option, str(value)[:80], f"is not {what}; give {range_}, such as {example}")
    return value


def _read_whole(option: str, value: object, least: int, most: int, what: str, example: str) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = value
    return _whole(option, number, least, most, what, example)


def _lasts(seconds: object) -> bool:
    return (
        isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds <= DURATION_S_MAX
    )  # which NaN is not


def _whole_option(name: str, least: int, most: int, what: str, example: str) -> Option:
    return Option(name, lambda option, value: _read_whole(option, value, least, most, what, example), _show_text)


def _read_duration(option: str, value: Any) -> float:
    try:
        seconds = parse_duration(value)
    except (ValueError, OverflowError):
        seconds = 0.0
    if not _lasts(seconds):
        raise UsageError(option, str(value)[:80], _DURATION_ADVICE.format(option, _EXAMPLES[option]))
    return seconds


def _read_text(option: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(option, str(value), "is not text; put it in quotes")
    return value


def _read_names(option: str, value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name.strip() for name in names):
        raise UsageError(option, str(value), f"is no list of names; write {option} {_NAMES[option]}")
    return tuple(dict.fromkeys(name.strip() for name in names))


def _read_flag(option: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(option, str(value), "is neither true nor false")
    return value


_MIX_ADVICE = "is not a mix; give languages that the target has, and numbers, such as --mix bash=8,python=8"


def _read_mix(option: str, value: Any) -> tuple[tuple[str, int], ...]:
    if isinstance(value, Mapping):
        pairs = [(str(language), count) for language, count in value.items()]
    elif isinstance(value, str):
        pairs = [(part.partition("=")[0].strip(), part.partition("=")[2]) for part in value.split(",")]
    else:
        raise UsageError(option, str(value), _MIX_ADVICE)
    try:
        mix = tuple((language, _count(count)) for language, count in pairs)
    except (TypeError, ValueError):
        raise UsageError(option, _mix_text(value), _MIX_ADVICE) from None
    if not all(is_label(language) for language, _ in mix) or any(count < 0 for _, count in mix):
        raise UsageError(option, _mix_text(value), _MIX_ADVICE)
    if len({language for language, _ in mix}) < len(mix):
        raise UsageError(option, _mix_text(value), _MIX_ADVICE)
    return mix


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"{value!r} is not a number")
    return int(value)


def _mix_text(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(f"{language}={count}" for language, count in value.items())


def _check_mix(mix: tuple[tuple[str, int], ...] | None, writers: int) -> None:
    if mix is None:
        return
    _read_mix("--mix", dict(mix))
    shown = _show_mix(mix)
    if len(dict(mix)) < len(mix):
        raise UsageError("--mix", shown, "names a language twice")
    if sum(count for _, count in mix) != writers:
        total = sum(count for _, count in mix)
        raise UsageError("--mix", shown, f"makes {total} writers and --writers says {writers}; give one of the two")


def _show_mix(mix: tuple[tuple[str, int], ...]) -> str:
    return ",".join(f"{language}={count}" for language, count in mix)


def _show_text(option: str, value: object) -> list[str]:
    text = str(value)
    return [f"{option}={text}"] if text.startswith("-") else [option, text]


def _read_nemesis(option: str, value: Any) -> tuple[tuple[str, float], ...]:
    pairs = value if isinstance(value, Mapping) else dict(part.partition("=")[::2] for part in str(value).split(","))
    for name, every in pairs.items():
        if not name or not every:
            raise UsageError(option, str(value), "is not NAME=DURATION, such as --nemesis touch=200ms")
    return tuple((name.strip(), _read_duration(option, every)) for name, every in pairs.items())


def _show_nemesis(option: str, nemesis: tuple[tuple[str, float], ...]) -> list[str]:
    return [option, ",".join(f"{name}={format_duration(seconds)}" for name, seconds in nemesis)]


def _read_files(option: str, value: Any) -> tuple[str, ...]:
    return tuple(os.path.abspath(path) for path in _read_names(option, value))


def _names_option(name: str) -> Option:
    return Option(name, _read_names, lambda option, names: [option, ",".join(names)])


def _duration(name: str) -> Option:
    return Option(name, _read_duration, lambda option, seconds: [option, format_duration(seconds)])


def _default(name: str, plan: Plan) -> object:
    if name == "writers" and plan.mix is not None:
        return plan.writers  # --mix says it
    if name == "duration_s" and plan.ops is not None:
        return None
    known = next(known for known in dataclasses.fields(Plan) if known.name == name)
    return None if known.default is dataclasses.MISSING else known.default


OPTIONS: dict[str, Option] = {
    "target": Option("target", _read_text, _show_text),
    "writers": _whole_option("writers", 1, PROCESSES_MAX, "a number of processes", "--writers 16"),
    "readers": _whole_option("readers", 0, PROCESSES_MAX, "a number of processes", "--readers 4"),
    "mix": Option("mix", _read_mix, lambda option, mix: [option, _show_mix(mix)]),
    "duration": _duration("duration_s"),
    "ops": _whole_option("ops", 1, 1 << 40, "a number of operations", "--ops 100000"),
    "seed": _whole_option("seed", 0, (1 << 64) - 1, "a seed", "--seed 7"),
    "dir": Option("directory", _read_text, _show_text),
    "runs": Option("runs", _read_text, _show_text),
    "kill-every": _duration("kill_every_s"),
    "pause-every": _duration("pause_every_s"),
    "pause-for": _duration("pause_for_s"),
    "fill-every": _duration("fill_every_s"),
    "signal-every": _duration("signal_every_s"),
    "clean-every": _duration("clean_every_s"),
    "stop-on-first": Option("stop_on_first", _read_flag, lambda option, value: [option]),
    "op-limit": _duration("op_limit_s"),
    "check-every": _duration("check_every_s"),
    "allow": _names_option("allow"),
    "only": _names_option("only"),
    "nemesis": Option("nemesis", _read_nemesis, _show_nemesis),
    "load": Option("load", _read_files, lambda option, files: [option, ",".join(files)]),
    "keep": _whole_option("keep", 2, 1 << 20, "a number of run directories", "--keep 20"),
}
"""Option name, without its dashes → `Option`. The options of ``stress run`` that belong to a plan."""
