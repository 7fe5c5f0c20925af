"""The world of a run: the chosen scenarios as one, and the files that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from stress.history.history import FileFacts
from stress.history.kinds import Kind
from stress.history.record import ABSENT, INITIAL
from stress.history.skipped import Part, Skipped
from stress.workload.catalog import SCENARIOS
from stress.workload.payload import examine_bytes
from stress.workload.scenario import Role, Scenario, SharedFile


@dataclass(frozen=True)
class World:
    """Scenarios put together. Files of one path are one file; their checkers are united."""

    scenarios: tuple[Scenario, ...]
    files: tuple[SharedFile, ...]
    facts: tuple[FileFacts, ...]
    """One for each of ``files``."""

    @property
    def colleagues(self) -> bool:
        """Whether the workers are two users of one group."""
        return any(scenario.colleagues for scenario in self.scenarios)

    @property
    def checkers(self) -> dict[str, frozenset[str]]:
        """Scenario → the checkers that judge its files."""
        return {
            scenario.name: scenario.checkers.union(*(file.checkers or () for file in scenario.files))
            for scenario in self.scenarios
        }

    @property
    def laid_out(self) -> frozenset[str]:
        """The paths of the shared files, of what their links lead to, and of what lies beside them from the start."""
        links = {str(PurePath(file.path).parent / file.link) for file in self.files if file.link}
        beside = {other.path for file in self.files for other in file.beside}
        return frozenset(links | beside | {file.path for file in self.files})

    def roles(self, worker_role: str, supported: frozenset[str]) -> list[tuple[int, Role]]:
        """What workers of that role can do with the operations ``supported``, each with its scenario's index."""
        return [
            (index, role)
            for index, scenario in enumerate(self.scenarios)
            for role in scenario.roles
            if role.worker_role == worker_role and role.needs <= supported
        ]


def compose(names: Sequence[str], supported: frozenset[str], *, observe: bool = True) -> tuple[World, list[Skipped]]:
    """The world of these scenarios for a target that has the operations ``supported``, and what had to be left out.
    ``observe``: see `stress.workload.target.Target.observe`.
    """
    scenarios: list[Scenario] = []
    skipped: list[Skipped] = []
    wanted = [part for name in names for part in (SCENARIOS.get(name).parts or (name,))]
    for name in dict.fromkeys(wanted):
        scenario = SCENARIOS.get(name)
        if missing := sorted(scenario.needs - supported):
            skipped.append(Skipped(Part.SCENARIO, name, f"the target has no {' and no '.join(missing)}"))
        else:
            documents = any(file.form != "log" for file in scenario.files)  # outsiders open a log as ever
            other = {Kind.OBSERVE: Kind.READ} if documents and not observe else {}
            if "read" not in supported:  # then readers open the file themselves
                other = {Kind.READ: Kind.OBSERVE}
            kinds = frozenset(other.get(kind, kind) for kind in scenario.kinds)
            scenarios.append(replace(scenario, kinds=kinds))
    files: dict[str, SharedFile] = {}
    facts: dict[str, FileFacts] = {}
    for scenario in scenarios:
        for file in scenario.files:
            checkers = scenario.checkers if file.checkers is None else file.checkers
            if file.path not in files:
                files[file.path] = file
                facts[file.path] = replace(_facts(file, scenario, checkers), elsewhere=not observe)
            elif replace(files[file.path], checkers=None) != replace(file, checkers=None):
                raise ValueError(
                    f"scenario {scenario.name} describes {file.path} otherwise than {facts[file.path].scenario}"
                )
            else:
                facts[file.path] = replace(facts[file.path], checkers=facts[file.path].checkers | checkers)
    return World(tuple(scenarios), tuple(files.values()), tuple(facts.values())), skipped


def _facts(file: SharedFile, scenario: Scenario, checkers: frozenset[str]) -> FileFacts:
    if file.absent:
        initial = ABSENT
    elif file.content is None:
        initial = INITIAL
    else:
        initial = examine_bytes(file.content).version
    same = {name: getattr(file, name) for name in ("path", "form", "mode", "link", "recovery", "recovered", "corrupt")}
    return FileFacts(**same, scenario=scenario.name, initial=initial, checkers=checkers, shared=scenario.colleagues)


def required_kinds(world: World) -> tuple[frozenset[Kind], ...]:
    """For each scenario: the kinds of operation without which it has proved nothing."""
    return tuple(scenario.kinds for scenario in world.scenarios)
