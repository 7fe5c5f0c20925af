"""What happened in a run besides its operations: processes that start and end, the start barrier, faults.

A line of JSON for each, in ``events.jsonl`` of the run directory: ``{"event": NAME, "at": NS, …}``, the other fields
those of its class. Times are ``CLOCK_MONOTONIC`` ns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeAlias

from stress.history.kinds import End, FaultKind, Language, WorkerRole


@dataclass(frozen=True, slots=True)
class Started:
    """A process was started."""

    at: int
    process: int
    worker: int
    language: Language
    role: WorkerRole
    pid: int = 0
    within: int = 0
    """The process whose signal handler it is; 0: it is one of its own."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process, and all that it had started, had been reaped."""

    at: int
    process: int
    end: End
    reaped: int
    status: str = ""
    """Of one that died: its exit status and its last words."""


@dataclass(frozen=True, slots=True)
class BarrierOpened:
    """The start barrier let the first workers through, at ``began``."""

    at: int
    began: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The workers were told to stop, at ``ended``."""

    at: int
    ended: int
    cpu_s: float = 0.0
    """CPU time of the supervisor since the barrier was opened."""


@dataclass(frozen=True, slots=True)
class Reaped:
    """The last worker was gone."""

    at: int
    children_cpu_s: float
    """CPU time of all workers and of what they had started."""


@dataclass(frozen=True, slots=True)
class FaultInjected:
    """The nemesis injected a fault into a process."""

    at: int
    kind: FaultKind | str
    """A text is the name of a nemesis of somebody's."""
    process: int
    lasts_s: float = 0.0


@dataclass(frozen=True, slots=True)
class MetadataSeen:
    """While the workers worked a shared file had another mode, owner or group than before, first at ``at``."""

    at: int
    file: int
    mode: int
    owner: int
    group: int
    count: int
    """How often it was seen so."""


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Before the target's sweep: a file that is no shared file, backup or declared residue."""

    at: int
    path: str
    changed: int
    """When it was last changed, `CLOCK_MONOTONIC` ns."""


@dataclass(frozen=True, slots=True)
class Swept:
    """The target's sweep was called."""

    at: int
    status: int | None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The run was cut short by a signal."""

    at: int
    cause: str = ""
    """In words, where it was not one to the tool itself."""


Event: TypeAlias = (
    Started | Ended | BarrierOpened | Stopped | Reaped | FaultInjected | MetadataSeen | LeftBehind | Swept | Interrupted
)

_NAMES: dict[type[Event], str] = {
    Started: "started",
    Ended: "ended",
    BarrierOpened: "gate",
    Stopped: "stop",
    Reaped: "reaped",
    MetadataSeen: "metadata",
    LeftBehind: "left",
    Swept: "swept",
    Interrupted: "interrupted",
}
_OTHER = "fault"
_FAULTS = frozenset(map(str, FaultKind))
_CLASSES = {name: kind for kind, name in _NAMES.items()}


def event_line(event: Event) -> str:
    """The line of ``events.jsonl`` for an event, with its newline."""
    plain: dict[str, object] = {"event": _NAMES.get(type(event))}
    if isinstance(event, FaultInjected):
        own = isinstance(event.kind, FaultKind)
        plain = {"event": str(event.kind)} if own else {"event": _OTHER, "name": event.kind}
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name != "kind":
            plain[field.name] = value.label if isinstance(value, Language) else value
    return json.dumps(plain) + "\n"


def _event(plain: Mapping[str, object]) -> Event:
    values: dict[str, object] = dict(plain)
    name = str(values.pop("event"))
    if name in _FAULTS:
        return FaultInjected(kind=FaultKind(name), **values)  # type: ignore[arg-type]
    if name == _OTHER:
        return FaultInjected(kind=str(values.pop("name")), **values)  # type: ignore[arg-type]
    for field, kind in (("role", WorkerRole), ("end", End)):
        if field in values:
            values[field] = kind(str(values[field]))
    if "language" in values:
        values["language"] = Language.named(str(values["language"]))
    return _CLASSES[name](**values)  # type: ignore[arg-type]


class EventFollower:
    """Reads ``events.jsonl`` of a run under way: each line once."""

    def __init__(self, run: Path) -> None:
        self._path = run / "events.jsonl"
        self._at = 0

    def poll(self) -> Iterator[Event]:
        """The events that were added since the last time; a line that is not whole yet waits for the next."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return
        for line in lines:
            if not line.endswith(b"\n"):
                return
            self._at += len(line)
            yield _event(json.loads(line))


def read_events(run: Path) -> list[Event]:
    """All events of a run; raises OSError but for a file that is not there, and ValueError or KeyError for one that is
    none.
    """
    return list(EventFollower(run).poll())
