"""The session memory: a log to which every agent appends records of several lines, and which others read meanwhile."""

from __future__ import annotations

from scenarios.world import PROGRESS
from stress.api import Agent, Kind, Role, Scenario, Steps, scenario


def remember(agent: Agent) -> Steps:
    """Append one record after the other."""
    while True:
        yield agent.append(PROGRESS)


def follow(agent: Agent) -> Steps:
    """Read the whole log, as an agent does that takes up where another stopped."""
    while True:
        yield agent.observe(PROGRESS)


scenario(
    Scenario(
        name="progress_log",
        about="every agent appends records to one log, which others read meanwhile",
        files=(PROGRESS,),
        roles=(
            Role("remember", "writer", remember, needs=frozenset({"append"}), weight=4),
            Role("follow", "reader", follow, weight=2),
        ),
        checkers=frozenset({"appends", "metadata", "leftovers", "progress"}),
        kinds=frozenset({Kind.APPEND, Kind.OBSERVE}),
    )
)
