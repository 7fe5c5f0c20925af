"""Who and what takes part in a run: a plan with its names looked up."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from stress.execution.assignment import WorkerSpec
from stress.execution.nemesis import Inject
from stress.history.record import Language
from stress.history.skipped import Skipped
from stress.plan import Plan
from stress.workload.target import Target
from stress.workload.world import World


@dataclass(frozen=True)
class Cast:
    """Made by `stress.resolve.resolve`, anew where it is needed; never pickled."""

    plan: Plan
    target: Target
    world: World
    workers: tuple[WorkerSpec, ...]
    skipped: tuple[Skipped, ...]
    faults: Mapping[str, float]
    """Nemesis → mean seconds between its faults."""
    pause_s: float | None
    """How long a pause lasts; None: a moment."""
    nemeses: Mapping[str, Inject]
    """Those of others, by name; they are in ``faults`` too."""
    lone_locks: frozenset[Language] = frozenset()
    """Where the target's ``lock`` can't be entered twice: no update is done inside it."""

    @functools.cached_property
    def files(self) -> dict[str, tuple[int, str]]:
        """Path → (index, format) of each shared file."""
        return {facts.path: (index, facts.form) for index, facts in enumerate(self.world.facts)}
