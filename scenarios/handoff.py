"""The handoff context, overwritten by many and read by many: the least that a shared file has to stand."""

from __future__ import annotations

from scenarios.world import CONTEXT, watch
from stress.api import Agent, Kind, Role, Scenario, Steps, scenario

_STATUSES = ("running", "paused", "handed over")
_NOTES = (CONTEXT.shape["notes"], {"left": ["feature-003"], "blocked_by": "feature-003"}, {"urgent": True})
"""Each has something that others lack: what a writer keeps of the document before, or leaves out, shows."""


def hand_over(agent: Agent) -> Steps:
    """Replace the whole context, again and again."""
    session = 0
    while True:
        session += 1
        own = {"error": "out of tokens"} if agent.random.random() < 0.25 else {}
        notes = agent.random.choice(_NOTES)
        yield agent.write(CONTEXT, status=agent.random.choice(_STATUSES), session_count=session, notes=notes, **own)


scenario(
    Scenario(
        name="handoff",
        about="the handoff context is overwritten as a whole while others read it",
        files=(CONTEXT,),
        roles=(
            Role("hand over", "writer", hand_over, needs=frozenset({"write"}), weight=2),
            Role("take over", "reader", watch(CONTEXT), weight=4),
        ),
        checkers=frozenset({"torn", "register", "sessions", "metadata", "leftovers", "progress"}),
        kinds=frozenset({Kind.WRITE, Kind.READ, Kind.OBSERVE}),
    )
)
