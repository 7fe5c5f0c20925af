"""Two users of one group, one folder: agents of two people hand over to each other. It needs root, to be both."""

from __future__ import annotations

from scenarios.world import alternate
from stress.api import Agent, Edit, Kind, Role, Scenario, SharedFile, Steps, scenario

TEAM = SharedFile("team/handoff.json", shape={"status": "running", "session_count": 0}, mode=0o664)
"""What the group shares. One of the two has a umask of 077."""


def take_turns(agent: Agent) -> Steps:
    """Count up, which needs what the other has left; now and then replace it all."""
    while True:
        for _ in range(3):
            yield agent.update(TEAM, Edit(("session_count",), add=1))
        if agent.random.random() < 0.3:
            yield agent.write(TEAM)


def look(agent: Agent) -> Steps:
    """Read it, both ways."""
    while True:
        yield alternate(agent, TEAM)


scenario(
    Scenario(
        name="strangers",
        about="two users of one group share a folder and update a file in it (needs root)",
        files=(TEAM,),
        roles=(
            Role("take turns", "writer", take_turns, needs=frozenset({"write", "update"})),
            Role("look", "reader", look),
        ),
        checkers=frozenset({"updates", "torn", "register", "sessions", "locks", "metadata", "leftovers", "progress"}),
        kinds=frozenset({Kind.WRITE, Kind.UPDATE}),
        colleagues=True,
    )
)
