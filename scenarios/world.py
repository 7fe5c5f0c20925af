"""The files that the two kinds of agents share, by the names that their users know, and what readers of them do.

Several scenarios can be about one file: it is described once, here, so that together they meet in it.
"""

from __future__ import annotations

from collections.abc import Callable

from stress.api import ABSENT, Agent, Answer, Outcome, Request, SharedFile, Steps

_SAID = ' It\'s 100 % "done": \\ $HOME `ls` * & <b>, Grüße,\t“weiter” → 日本 \n'

CONTEXT = SharedFile(
    ".claude/handoff-context.json",
    shape={
        "status": "running",
        "session_count": 0,
        "features_completed": [],
        "last_update": "2024-01-11T15:00:00Z",
        # What encoders, templates and shells are apt to drop or to change.
        "notes": {"blocked_by": None, "urgent": False, "left": [], "said": _SAID},
        "spent": {"tokens": 987_654_321_098, "dollars": 0.1234567},
    },
    mode=0o640,  # not what a new file gets, so that a helper which loses the mode is seen
)
"""What one agent hands over to the next."""

FEATURES = SharedFile(
    "feature_list.json",
    form="list",
    shape=[
        {"id": f"feature-{number:03}", "description": f"The user can do thing {number}", "passes": False}
        for number in range(24)
    ],
    link="state/feature_list.json",
)
"""What is to be built and what passes already; kept elsewhere, and reached through a symbolic link."""

PROGRESS = SharedFile("claude-progress.txt", form="log")
"""The session memory, to which every session appends a record of several lines."""

CONFIG = SharedFile(".claude/config.json", shape={"enabled": True, "model": "claude-sonnet-4-5-20250929"})

MISSING = SharedFile(".claude/missing.json", absent=True)
"""Nobody ever makes it."""

SETTINGS = SharedFile(
    ".claude/sdk-bridge.local.md",
    form="other",
    content=b"---\nenabled: true\nmodel: claude-sonnet-4-5-20250929\n---\n\n# Settings of this project\n",
    checkers=frozenset({"leftovers", "progress"}),
)
"""Markdown, which readers of JSON are given all the same."""


def alternate(agent: Agent, file: SharedFile) -> Request:
    """One look at a document: by the target's own reader, or as an outsider."""
    return agent.read(file) if agent.random.random() < 0.5 else agent.observe(file)


def watch(*files: SharedFile) -> Callable[[Agent], Steps]:
    """The steps of a reader that looks at each of the documents, both ways, for ever."""

    def steps(agent: Agent) -> Steps:
        while True:
            for file in files:
                yield agent.read(file)
                yield agent.observe(file)

    return steps


def is_there(answer: Answer) -> bool:
    """Whether a look at a document has found a file."""
    return answer.outcome is Outcome.OK and answer.version != ABSENT
