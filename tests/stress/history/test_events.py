"""Events are read as they were written, each line once while a run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from stress.history.events import (
    BarrierOpened,
    Ended,
    Event,
    EventFollower,
    FaultInjected,
    Interrupted,
    LeftBehind,
    MetadataSeen,
    Reaped,
    Started,
    Stopped,
    Swept,
    event_line,
    read_events,
)
from stress.history.kinds import End, FaultKind, Language, WorkerRole

EVENTS: list[Event] = [
    Started(1, 3, 0, Language.BASH, WorkerRole.READER, 77),
    BarrierOpened(2, 2),
    *(FaultInjected(3, kind, 3, 0.25) for kind in FaultKind),
    Ended(4, 3, End.DIED, 4, "exit status 7: no"),
    Stopped(5, 5, 0.5),
    Reaped(6, 1.5),
    MetadataSeen(5, 0, 0o600, 0, 50, 3),
    LeftBehind(6, ".tmp.1", 4),
    Swept(7, None),
    Interrupted(8),
]


def test_events_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("".join(map(event_line, EVENTS)))
    assert read_events(tmp_path) == EVENTS
    assert {type(event) for event in EVENTS} == set(get_args(Event))


def test_a_line_is_read_once_and_not_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower, path = EventFollower(tmp_path), tmp_path / "events.jsonl"
    assert list(follower.poll()) == []
    lines = [event_line(event) for event in EVENTS]
    path.write_text(lines[0] + lines[1][:-5])
    assert list(follower.poll()) == EVENTS[:1]
    assert list(follower.poll()) == []
    parsed: list[bytes] = []

    def loads(line: bytes) -> object:
        parsed.append(line)
        return json.JSONDecoder().decode(line.decode())

    monkeypatch.setattr("stress.history.events.json.loads", loads)
    path.write_text("".join(lines))
    assert list(follower.poll()) == EVENTS[1:]
    assert len(parsed) == len(EVENTS) - 1, "what was read before is not parsed again"
