"""All of it at once, as real agents do it: the default. Each agent turns from one of its roles to another."""

from __future__ import annotations

from stress.api import Scenario, scenario

scenario(
    Scenario(
        name="bridge",
        about="all of the others at once, as real agents do it (the default)",
        files=(),
        roles=(),
        checkers=frozenset(),
        parts=("handoff", "session_count", "progress_log", "feature_list", "completion", "backups", "resume", "config"),
    )
)
