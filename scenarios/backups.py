"""Backups of the handoff context, made before each change: by many agents, several in one second."""

from __future__ import annotations

from scenarios.world import CONTEXT, alternate
from stress.api import Agent, Kind, Role, Scenario, Steps, scenario

ENOUGH = 2400
"""Backups after which the agents of a run make no more, all of them together."""


def change_safely(agent: Agent) -> Steps:
    """Back the context up, then replace it; in the end without a backup."""
    for _ in range(max(4, min(150, ENOUGH // agent.writers))):
        yield agent.backup(CONTEXT)
        yield agent.write(CONTEXT)
    while True:
        yield agent.write(CONTEXT)


def inspect(agent: Agent) -> Steps:
    """Look at the newest backup, as somebody does who may need it; now and then at the context itself."""
    while True:
        for _ in range(6):
            yield agent.observe_backup(CONTEXT)
        yield alternate(agent, CONTEXT)


scenario(
    Scenario(
        name="backups",
        about="the handoff context is backed up before each change, several times a second, and backups are read",
        files=(CONTEXT,),
        roles=(
            Role("change safely", "writer", change_safely, needs=frozenset({"backup", "write"}), weight=4),
            Role("inspect", "reader", inspect, weight=12),
        ),
        checkers=frozenset({"backups", "torn", "register", "sessions", "metadata", "leftovers", "progress"}),
        kinds=frozenset({Kind.BACKUP, Kind.WRITE, Kind.OBSERVE_BACKUP}),
    )
)
