"""Configuration: readers of a file that is missing, of one that is not JSON, and of one that is being replaced."""

from __future__ import annotations

from scenarios.world import CONFIG, MISSING, SETTINGS
from stress.api import Agent, Kind, Role, Scenario, Steps, scenario


def configure(agent: Agent) -> Steps:
    """Replace the configuration, again and again."""
    while True:
        yield agent.write(CONFIG, enabled=agent.random.random() < 0.5)


def look_up(agent: Agent) -> Steps:
    """Ask the target's reader for each of the three; it has to cope."""
    while True:
        yield agent.read(CONFIG)
        yield agent.observe(CONFIG)
        yield agent.read(MISSING)
        yield agent.read(SETTINGS)


scenario(
    Scenario(
        name="config",
        about="readers of a file that is missing, of one that is not JSON, and of one that is being replaced",
        files=(CONFIG, MISSING, SETTINGS),
        roles=(
            Role("configure", "writer", configure, needs=frozenset({"write"}), weight=3),
            Role("look up", "reader", look_up, weight=2),
        ),
        checkers=frozenset({"torn", "register", "sessions", "metadata", "leftovers", "progress"}),
        kinds=frozenset({Kind.WRITE, Kind.READ}),
    )
)
