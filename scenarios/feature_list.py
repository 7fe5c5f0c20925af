"""The feature list: its entries are marked as passing, and as failing again, while monitors count those that pass."""

from __future__ import annotations

from scenarios.world import FEATURES, watch
from stress.api import Agent, Edit, Kind, Role, Scenario, Steps, scenario


def mark_features(agent: Agent) -> Steps:
    """Mark one entry after the other; three of four pass."""
    while True:
        entry = agent.random.randrange(len(FEATURES.shape))
        yield agent.update(FEATURES, Edit((entry, "passes"), set=agent.random.random() < 0.75))


scenario(
    Scenario(
        name="feature_list",
        about="entries of a list, behind a symbolic link, are marked as passing while monitors count them",
        files=(FEATURES,),
        roles=(
            Role("mark features", "writer", mark_features, needs=frozenset({"update"}), weight=4),
            Role("count features", "reader", watch(FEATURES), weight=4),
        ),
        checkers=frozenset({"torn", "updates", "register", "sessions", "locks", "metadata", "leftovers", "progress"}),
        kinds=frozenset({Kind.UPDATE, Kind.READ}),
    )
)
