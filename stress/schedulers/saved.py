"""The file of a failing schedule, ``….schedule.json``: all that it takes to execute it again, and what to expect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stress.schedulers.execution import Execution
from stress.schedulers.replay import Replay

SUFFIX = ".schedule.json"
_FORMAT = "stress-schedule"
_VERSION = 1
_COUNTS = "a list of numbers from 0"


class ScheduleError(ValueError):
    """The file is no schedule, or not one of this version: one line for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class SavedSchedule:
    """A schedule and its surroundings.

    Attributes:
        plan: What was executed, as JSON has it; only who made the plan knows what it means.
        steps: (agent, text of the call) of each step. The agents are the decisions.
        draws: Random numbers that were drawn.
        names: Of the agents, for people.
        finding: What went wrong, in a sentence.
        critical: The steps that it needs, in a sentence; empty where none were found.
        marked: Indices of those steps.
        versions: Interpreters and tools → their versions.
        hashes: Files that were executed → SHA-256 of their content, in hex.
    """

    plan: Mapping[str, Any]
    steps: tuple[tuple[int, str], ...]
    draws: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    finding: str = ""
    critical: str = ""
    marked: tuple[int, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, execution: Execution, plan: Mapping[str, Any], **more: Any) -> SavedSchedule:
        """The schedule of an execution; ``more`` are attributes of this class."""
        steps = tuple((step.call.agent, step.call.text) for step in execution.trace)
        return cls(plan, steps, execution.draws, **more)

    @property
    def decisions(self) -> tuple[int, ...]:
        """The agent of each step."""
        return tuple(agent for agent, _ in self.steps)

    def replay(self) -> Replay:
        """The scheduler that executes it again."""
        return Replay(self.decisions, [text for _, text in self.steps], self.draws)

    def differences(self, versions: Mapping[str, str], hashes: Mapping[str, str]) -> list[str]:
        """What is not as it was: why a replay may go another way. A line each."""
        lines = [
            f"{name} was {was}, and is {versions.get(name, 'missing')}"
            for name, was in sorted(self.versions.items())
            if versions.get(name) != was
        ]
        changed = [name for name, was in sorted(self.hashes.items()) if hashes.get(name) != was]
        return lines + [f"{name} {'has changed' if name in hashes else 'is missing'}" for name in changed]

    def to_json(self) -> str:
        """The text of the file: a line a step."""
        head: dict[str, Any] = {
            "format": _FORMAT, "version": _VERSION, "finding": self.finding, "critical": self.critical,
            "marked": self.marked, "plan": self.plan, "names": self.names, "versions": self.versions,
            "hashes": self.hashes, "draws": self.draws,
        }  # fmt: skip
        lines = [f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
        steps = ",\n".join(f"  {json.dumps(step, ensure_ascii=False)}" for step in self.steps)
        return "{\n" + ",\n".join(lines) + ',\n "steps": [\n' + steps + "\n ]\n}\n"

    @classmethod
    def from_json(cls, text: str, where: str = "the schedule") -> SavedSchedule:
        """Read ``text``; ``where`` names the file in what is raised: `ScheduleError`."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ScheduleError(f"{where}: is no JSON ({error}); was it written to the end?") from None
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise ScheduleError(f"{where}: is no schedule; `stress explore` writes these, as NAME{SUFFIX}")
        if data.get("version") != _VERSION:
            raise ScheduleError(
                f"{where}: is a schedule of format {data.get('version')}, and this stress reads {_VERSION}; "
                "replay it with the stress that wrote it"
            )
        take = _Fields(data, where)
        return cls(
            plan=take("plan", "an object", lambda value: isinstance(value, dict)),
            steps=tuple((agent, text) for agent, text in take("steps", "a list of [agent, call]", _are_steps)),
            draws=tuple(take("draws", _COUNTS, _are_counts)),
            names=tuple(take("names", "a list of strings", lambda value: _all_are(value, _is_text))),
            finding=take("finding", "a string", _is_text),
            critical=take("critical", "a string", _is_text),
            marked=tuple(take("marked", _COUNTS, _are_counts)) if "marked" in data else (),
            versions=take("versions", "an object of strings", _is_table),
            hashes=take("hashes", "an object of strings", _is_table),
        )


class _Fields:
    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self._data, self._where = data, where

    def __call__(self, name: str, what: str, fits: Any) -> Any:
        if name not in self._data:
            raise ScheduleError(f"{self._where}: has no {name!r}")
        if not fits(self._data[name]):
            raise ScheduleError(f"{self._where}: {name!r} must be {what}")
        return self._data[name]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _all_are(value: object, fits: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(map(fits, value))


def _are_counts(value: object) -> bool:
    return _all_are(value, _is_count)


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and _all_are(list(value.values()), _is_text)


def _are_steps(value: object) -> bool:
    return _all_are(
        value, lambda step: isinstance(step, list) and len(step) == 2 and _is_count(step[0]) and _is_text(step[1])
    )
