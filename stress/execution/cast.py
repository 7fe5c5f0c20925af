"""Who and what takes part in a run: a plan with its names looked up, and its workers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stress.execution.nemesis import Inject
from stress.history.kinds import Language, WorkerRole
from stress.history.skipped import Skipped
from stress.host.users import COLLEAGUES, User
from stress.plan import Plan
from stress.workload.scenario import Role
from stress.workload.target import Target
from stress.workload.world import World


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker, before it is started. A process that replaces a killed one has the same."""

    worker: int
    language: Language
    role: WorkerRole
    writers: int
    """How many writers there are in all."""
    supported: frozenset[str]
    """The operations that its language's side has, and that can be done here: what it may ask of the target."""
    roles: tuple[tuple[int, Role], ...]
    user: User | None = None
    """Whose process it is to be; None: that of who runs the tool."""


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

    def count(self, role: WorkerRole) -> int:
        """How many workers are for that."""
        return sum(spec.role is role for spec in self.workers)

    @functools.cached_property
    def files(self) -> dict[str, tuple[int, str]]:
        """Path → (index, format) of each shared file."""
        return {facts.path: (index, facts.form) for index, facts in enumerate(self.world.facts)}


def assign_workers(
    world: World,
    supported: Mapping[Language, frozenset[str]],
    *,
    writers: int,
    readers: int,
    mix: Mapping[Language, int] | None,
) -> list[WorkerSpec]:
    """``writers`` and ``readers``, shared out evenly among the languages that have something to do.

    ``supported``: the operations that each language's side has. ``mix`` fixes how many writers each language
    gets; readers are of the languages that have writers.
    """
    specs: list[WorkerSpec] = []
    for role, count in ((WorkerRole.WRITER, writers), (WorkerRole.READER, readers)):
        roles = {language: tuple(world.roles(role, operations)) for language, operations in supported.items()}
        fit = [language for language in supported if roles[language] and (mix is None or mix.get(language))]
        if role is WorkerRole.WRITER and mix is not None:
            chosen: Sequence[Language] = [
                language for language, share in mix.items() for _ in range(share) if language in fit
            ]
        else:
            chosen = [fit[number % len(fit)] for number in range(count)] if fit else []
        users: Sequence[User | None] = COLLEAGUES if world.colleagues else (None,)
        turns = {language: itertools.cycle(users) for language in fit}
        for language in chosen:
            user = next(turns[language])
            specs.append(WorkerSpec(len(specs), language, role, writers, supported[language], roles[language], user))
    return specs
