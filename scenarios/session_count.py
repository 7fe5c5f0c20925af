"""The session counter in the handoff context: read, changed and written back by Bash and Python against each other."""

from __future__ import annotations

from scenarios.world import CONTEXT, alternate, watch
from stress.api import Agent, Edit, Kind, Role, Scenario, Steps, scenario


def count(agent: Agent) -> Steps:
    """Add one session; now and then by the three lines of the guide inside the file's lock, and look at the outcome."""
    while True:
        edits = (
            Edit(("session_count",), add=1),
            Edit(("last_update",), set=f"2024-01-11T15:{agent.random.randrange(60):02}:00Z"),
        )
        yield agent.update(CONTEXT, *edits, locked=agent.random.random() < 0.25)
        if agent.random.random() < 0.25:
            yield alternate(agent, CONTEXT)


scenario(
    Scenario(
        name="session_count",
        about="the session counter is read, raised and written back by Bash and Python against each other",
        files=(CONTEXT,),
        roles=(
            Role("count", "writer", count, needs=frozenset({"update"}), weight=4),
            Role("watch the count", "reader", watch(CONTEXT), weight=2),
        ),
        checkers=frozenset({"torn", "updates", "register", "sessions", "locks", "metadata", "leftovers", "progress"}),
        kinds=frozenset({Kind.UPDATE, Kind.READ}),
    )
)
