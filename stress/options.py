"""The options of a run, in one table: for the command line, plan files, the gate, `stress.Plan` and `torture`.

An option has the same name everywhere (``kill-every`` where dashes are usual, ``kill_every`` in Python), the same
default, and takes the same values: as they are typed, as TOML has them, or as Python has them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypedDict

from stress.exits import UsageError as UsageError
from stress.history.kinds import is_label
from stress.registry import close_names
from stress.units import format_duration, parse_duration

PROCESSES_MAX = 4096
DURATION_S_MAX = 366 * 86400.0

Mix: TypeAlias = tuple[tuple[str, int], ...]
"""Language → how many writers, such as ``(("bash", 8), ("python", 8))``."""


# What an option's value may be


class Value(Protocol):
    """A kind of values. ``option`` is the option as it is typed, such as ``--writers``."""

    def read(self, option: str, value: Any) -> Any:
        """The value, of what was typed, is in TOML, or was given in Python; raises `UsageError`."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from ``least`` to ``most``."""

    least: int
    most: int
    what: str
    example: str

    def read(self, option: str, value: object) -> int:
        """See `Value`."""
        number = value
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,40}\s*", value):
            number = int(value)
        if isinstance(number, bool) or not isinstance(number, int) or not self.least <= number <= self.most:
            too_much = isinstance(number, int) and number > self.most
            would_do = f"{self.most} or less" if too_much else f"{self.least} or more"
            advice = f"is not {self.what}; give {would_do}, such as {option} {self.example}"
            raise UsageError(option, str(value)[:80], advice)
        return number


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds above zero, or a text with a unit (``200ms``)."""

    example: str
    most_s: float = DURATION_S_MAX

    def read(self, option: str, value: Any) -> float:
        """See `Value`."""
        try:
            seconds = parse_duration(value)
        except (ValueError, OverflowError):
            seconds = 0.0
        if seconds > self.most_s:
            advice = f"is more than {format_duration(self.most_s)}; give less, such as {option} {self.example}"
            raise UsageError(option, str(value)[:80], advice)
        if not seconds > 0:
            advice = "is not a duration above zero; give a number and a unit (ms, s, m, h), such as"
            raise UsageError(option, str(value)[:80], f"{advice} {option} {self.example}")
        return seconds


@dataclass(frozen=True, slots=True)
class Text:
    """A text or a path."""

    empty: str
    """What is wrong with none."""

    def read(self, option: str, value: object) -> str:
        """See `Value`."""
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str):
            raise UsageError(option, str(value), "is not text; put it in quotes")
        if not value or "\0" in value:
            raise UsageError(option, value, self.empty)
        return value


@dataclass(frozen=True, slots=True)
class Names:
    """Names, with commas between them or in a list."""

    example: str

    def read(self, option: str, value: object) -> tuple[str, ...]:
        """See `Value`."""
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name.strip() for name in names):
            raise UsageError(option, str(value), f"is no list of names; write {option} {self.example}")
        return tuple(dict.fromkeys(name.strip() for name in names))


@dataclass(frozen=True, slots=True)
class _Files(Names):
    """Paths, with commas between them or in a list; they are made absolute."""

    def read(self, option: str, value: object) -> tuple[str, ...]:
        return tuple(os.path.abspath(path) for path in Names.read(self, option, value))


@dataclass(frozen=True, slots=True)
class _Nemeses:
    """Names, each with a duration."""

    def read(self, option: str, value: Any) -> tuple[tuple[str, float], ...]:
        try:
            pairs = dict(_pairs(value)).items()
        except (TypeError, ValueError):
            pairs = {"": value}.items()
        if not all(name and every for name, every in pairs):
            raise UsageError(option, str(value), f"is not NAME=DURATION, such as {option} touch=200ms")
        return tuple((name, Duration("touch=200ms").read(option, every)) for name, every in pairs)


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    def read(self, option: str, value: object) -> bool:
        """See `Value`."""
        if not isinstance(value, bool):
            raise UsageError(option, str(value), "is neither true nor false")
        return value


@dataclass(frozen=True, slots=True)
class _Mixture:
    """Languages and numbers."""

    def read(self, option: str, value: Any) -> Mix:
        advice = f"is not a mix; give languages that the target has, and numbers, such as {option} bash=8,python=8"
        shown = str(value)
        try:
            pairs = _pairs(value)
            if not isinstance(value, str):
                shown = ",".join(f"{language}={count}" for language, count in pairs)
            mix = tuple((language, _count(count)) for language, count in pairs)
        except (TypeError, ValueError):
            raise UsageError(option, shown, advice) from None
        if len(dict(mix)) < len(mix):
            raise UsageError(option, shown, "names a language twice")
        if not all(is_label(language) and count >= 0 for language, count in mix):
            raise UsageError(option, shown, advice)
        if not 1 <= sum(count for _, count in mix) <= PROCESSES_MAX:
            raise UsageError(option, shown, f"is no writer at all, or more than {PROCESSES_MAX}")
        return mix


def _pairs(value: Any) -> list[tuple[str, Any]]:
    """Names and what is said of each, of ``one=1,two=2``, a mapping, or pairs; raises TypeError and ValueError for what
    is none of these.
    """
    if isinstance(value, str):
        return [(part.partition("=")[0].strip(), part.partition("=")[2]) for part in value.split(",")]
    return [(str(name).strip(), said) for name, said in (value.items() if isinstance(value, Mapping) else value)]


def arguments(option: str, value: object) -> list[str]:
    """The arguments of a command line that ask for what a `Value` has read."""
    if isinstance(value, bool):
        return [option] if value else []
    text = _typed(value)
    return [f"{option}={text}"] if text.startswith("-") else [option, text]


def _typed(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join("=".join(map(_typed, each)) if isinstance(each, tuple) else each for each in value)
    return format_duration(value) if isinstance(value, float) else str(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"{value!r} is not a number")
    return int(value)


# The table


@dataclass(frozen=True, slots=True)
class Option:
    """One option: the field of `stress.Plan` that it fills, what its value may be, and what its help says."""

    field: str
    value: Value
    metavar: str
    about: str
    """For people: a sentence."""
    default: str
    """For people."""
    none: bool = False
    """Whether None stands for what is not given."""

    def read(self, option: str, value: Any) -> Any:
        """The field's value; raises `UsageError`."""
        return None if value is None and self.none else self.value.read(option, value)


def _every(fault: str, example: str, about: str) -> Option:
    return Option(f"{fault}_every_s", Duration(example), "DURATION", about, "never", none=True)


_NO_PATH = "is not a path; give a directory"

OPTIONS: dict[str, Option] = {
    "target": Option(
        "target",
        Text("names nothing; `stress list targets` gives the names that there are"),
        "NAME|FILE",
        "What to test: a name from `stress list targets`, or your own .py or .toml file.",
        "atomicops",
    ),
    "writers": Option(
        "writers", Whole(1, PROCESSES_MAX, "a number of processes", "16"), "N", "Writing processes.", "16"
    ),
    "readers": Option(
        "readers",
        Whole(0, PROCESSES_MAX, "a number of processes", "4"),
        "N",
        "Reading processes.",
        "a quarter of the writers, at least 2",
        none=True,
    ),
    "mix": Option(
        "mix",
        _Mixture(),
        "LANGUAGE=N,...",
        "Writers of each language: bash, python, command, or the label of a worker of your own.",
        "as evenly as the target allows",
        none=True,
    ),
    "duration": Option(
        "duration_s", Duration("30s"), "DURATION", "How long the workers work.", "10s; with --ops, no limit", none=True
    ),
    "ops": Option(
        "ops",
        Whole(1, 1 << 40, "a number of operations", "100000"),
        "N",
        "Stop after that many operations of all workers together.",
        "no limit",
        none=True,
    ),
    "seed": Option(
        "seed",
        Whole(0, (1 << 64) - 1, "a seed", "7"),
        "N",
        "Seed of what the workers decide to do.",
        "a new one for each run",
    ),
    "dir": Option(
        "directory",
        Text(_NO_PATH),
        "DIRECTORY",
        "Where to put the files under test: the file system that is tested.",
        "where temporary files go",
        none=True,
    ),
    "runs": Option("runs", Text(_NO_PATH), "DIRECTORY", "Where to keep run directories.", ".stress"),
    "kill-every": _every("kill", "200ms", "SIGKILL a random worker about this often, and start another."),
    "pause-every": _every("pause", "500ms", "Stop a random worker for a moment about this often."),
    "pause-for": Option(
        "pause_for_s",
        Duration("6s"),
        "DURATION",
        "How long a pause lasts, of a worker inside a lock if there is one: longer than a lease, such as 6s.",
        "a moment, of any worker",
        none=True,
    ),
    "fill-every": _every("fill", "200ms", "Have a random worker's disk full for a moment about this often."),
    "signal-every": _every(
        "signal",
        "100ms",
        "Interrupt a random worker about this often: Ctrl-C, or in Python a handler that does the operation once more.",
    ),
    "clean-every": _every(
        "clean", "500ms", "Remove what is not part of the scenario about this often: lock and temp files."
    ),
    "stop-on-first": Option("stop_on_first", Flag(), "", "End the run at the first violation.", "no"),
    "op-limit": Option(
        "op_limit_s", Duration("30s"), "DURATION", "An operation that takes longer than this hangs.", "30s"
    ),
    "check-every": Option(
        "check_every_s",
        Duration("10m"),
        "DURATION",
        "Judge in stages of that length, each with fresh files, and go on: for hours and days.",
        "at the end",
        none=True,
    ),
    "allow": Option(
        "allow",
        Names("metadata-lost,leftover-temp"),
        "ANOMALY,...",
        "Count these anomalies, and do not judge them; the verdict repeats it.",
        "none",
    ),
    "only": Option(
        "only", Names("torn,updates"), "CHECKER,...", "Run only these checkers.", "those that the scenarios name"
    ),
    "nemesis": Option(
        "nemesis",
        _Nemeses(),
        "NAME=DURATION,...",
        "Apply these nemeses of your own or of plugins about this often.",
        "none",
    ),
    "load": Option(
        "load",
        _Files("mine.py"),
        "FILE.py,...",
        "Load Python files first, for the scenarios, targets, checkers, … that they register.",
        "none",
    ),
    "keep": Option(
        "keep",
        Whole(2, 1 << 20, "a number of run directories", "20"),
        "N",
        "Run directories to keep; the oldest go, not those in which this run found something.",
        "20",
    ),
}
"""Option name, without its dashes → `Option`."""

_BY_NAME = {
    **{option.field: name for name, option in OPTIONS.items()},
    **{name.replace("-", "_"): name for name in OPTIONS},
    **{name: name for name in OPTIONS},
}


def option_named(name: str) -> str:
    """The option of that name, which may be written with underscores or be the plan's field; raises `UsageError`."""
    if name not in _BY_NAME:
        known = [known.replace("-", "_") for known in OPTIONS]
        raise UsageError(name, f"is no option of a run{close_names(name, ['scenarios', *known])}")
    return _BY_NAME[name]


class Options(TypedDict, total=False):
    """`OPTIONS` as keyword arguments of Python, but for the target; the names with a unit are the plan's fields."""

    writers: int | str
    readers: int | str | None
    mix: str | Mapping[str, int] | Mix | None
    duration: float | str | None
    duration_s: float | None
    ops: int | str | None
    seed: int | str
    dir: str | os.PathLike[str] | None
    directory: str | os.PathLike[str] | None
    runs: str | os.PathLike[str]
    kill_every: float | str | None
    kill_every_s: float | None
    pause_every: float | str | None
    pause_every_s: float | None
    pause_for: float | str | None
    pause_for_s: float | None
    fill_every: float | str | None
    fill_every_s: float | None
    signal_every: float | str | None
    signal_every_s: float | None
    clean_every: float | str | None
    clean_every_s: float | None
    stop_on_first: bool
    op_limit: float | str
    op_limit_s: float
    check_every: float | str | None
    check_every_s: float | None
    allow: str | Sequence[str]
    only: str | Sequence[str]
    nemesis: str | Mapping[str, float | str] | tuple[tuple[str, float], ...]
    load: str | Sequence[str]
    keep: int | str
