"""Resuming after corruption: many state files, most of them broken before the run, and several recoverers at each.

A recoverer must put back the newest backup that is valid, which may not be the newest; leave alone what is valid;
refuse where no backup is; and destroy no corrupt bytes, which may be all that is left of somebody's work. Some go on
with what was recovered, while others still recover it: what they write is no backup's to take back.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

from scenarios.world import CONTEXT, alternate, watch
from stress.api import (
    Agent,
    Beside,
    Edit,
    Kind,
    Outcome,
    Role,
    Scenario,
    SharedFile,
    Steps,
    document_of,
    scenario,
    version_of,
)

SLOTS = 150
_CASES = ("gone on with", "newest corrupt", "file valid", "none valid", "newest valid", "newest corrupt")
_CHECKERS = frozenset({"recovery", "leftovers", "progress"})
_NOON = 1704985200  # seconds since the epoch, of the oldest backup


def _document(version: int) -> bytes:
    shape = {**CONTEXT.shape, "session_count": version & 0xFFFF}
    return json.dumps(document_of(version, 300 + version % 97, shape)).encode("ascii")


def _broken(slot: int, version: int) -> bytes:
    """One of the ways in which files come back broken; no two slots have the same bytes."""
    whole = _document(version)
    ways = (
        whole[: len(whole) // 2],  # cut off
        whole[: len(whole) // 3] + whole,  # two writers in one file
        whole + whole[-40:],  # the rest of a longer one
        b"\0" * (300 + slot),  # after a power loss: the length had reached the disk, the content had not
    )
    return ways[slot // len(_CASES) % len(ways)]


def _slot(number: int) -> SharedFile:
    path = f"resume-{number:03}/.claude/handoff-context.json"
    case = _CASES[number % len(_CASES)]
    first = number * 8 + 1  # versions of process 0, eight for each slot
    backups = [version_of(0, first + age) for age in range(3)]  # oldest first
    contents = [_document(version) for version in backups]
    if case == "newest corrupt":
        contents[-1] = contents[-1][:-50]
    elif case == "none valid":
        contents = [content[: 90 + age] for age, content in enumerate(contents)]
    beside = tuple(
        Beside(f"{path}.{_NOON + 3600 * age}.bak", content, _NOON + 3600 * age) for age, content in enumerate(contents)
    )
    current = version_of(0, first + 4)
    corrupt = b"" if case == "file valid" else _broken(number, current)
    recovery, recovered, checkers = {
        "gone on with": ("restore", backups[-1], _CHECKERS | {"updates"}),
        "newest valid": ("restore", backups[-1], _CHECKERS),
        "newest corrupt": ("restore", backups[-2], _CHECKERS),
        "file valid": ("keep", current, _CHECKERS | {"torn", "register", "sessions"}),
        "none valid": ("refuse", CONTEXT.recovered, _CHECKERS),
    }[case]
    return SharedFile(
        path,
        shape=CONTEXT.shape,
        content=corrupt or _document(current),
        beside=beside,
        recovery=recovery,
        recovered=recovered,
        corrupt=corrupt,
        checkers=checkers,
    )


def resume(*files: SharedFile) -> Callable[[Agent], Steps]:
    """Recover each file in turn, and read what was recovered; from the second time on there is nothing to do."""

    def steps(agent: Agent) -> Steps:
        for file in itertools.cycle(files):
            answer = yield agent.recover(file)
            if answer.outcome is Outcome.OK and file.recovery != "refuse":
                yield alternate(agent, file)

    return steps


def go_on(*files: SharedFile) -> Callable[[Agent], Steps]:
    """Recover each file in turn, and count a session in it."""

    def steps(agent: Agent) -> Steps:
        for file in itertools.cycle(files):
            if (yield agent.recover(file)).outcome is Outcome.OK:
                yield agent.update(file, Edit(("session_count",), add=1))

    return steps


_FILES = tuple(_slot(number) for number in range(SLOTS))
_GONE_ON = [file for file in _FILES if "updates" in (file.checkers or ())]

scenario(
    Scenario(
        name="resume",
        about="files that were corrupted before the run are recovered from backups by several at once",
        files=_FILES,
        roles=(
            Role("resume", "writer", resume(*_FILES), needs=frozenset({"recover"}), weight=8),
            Role("go on", "writer", go_on(*_GONE_ON), needs=frozenset({"recover", "update"}), weight=4, optional=True),
            Role("read what was never broken", "reader", watch(*(f for f in _FILES if f.recovery == "keep"))),
        ),
        checkers=_CHECKERS | {"updates"},
        kinds=frozenset({Kind.RECOVER, Kind.READ}),
    )
)
