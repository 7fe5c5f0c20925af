"""The world of a run: the chosen scenarios as one, their files laid out in a directory, and looked at when all is
over.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stress.history.history import FileFacts, FinalFile
from stress.history.record import ABSENT, GARBAGE, INITIAL, NO_VERSION, Format, Kind, Recovery
from stress.history.skipped import Part, Skipped
from stress.host.users import COLLEAGUES
from stress.workload.catalog import SCENARIOS
from stress.workload.payload import document_of, examine_bytes, log_record
from stress.workload.scenario import FULL, Role, Scenario, SharedFile, Size
from stress.workload.target import Target

__all__ = ["Attributes", "World", "belonging", "compose", "inspect", "lay_out", "watched"]

XATTR, XATTR_VALUE = "user.stress", b"kept"
"""Set on every shared file where the file system has extended attributes; helpers must keep it."""

_BACKUP = re.compile(r"\.bak$")


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

    def roles(self, part: str, supported: frozenset[str]) -> list[tuple[int, Role]]:
        """The roles of ``part`` that need no more than the operations ``supported``, each with its scenario's index."""
        return [
            (index, role)
            for index, scenario in enumerate(self.scenarios)
            for role in scenario.roles
            if role.part == part and role.needs <= supported
        ]


def compose(
    names: Sequence[str], supported: frozenset[str], size: Size = FULL, *, observe: bool = True
) -> tuple[World, list[Skipped]]:
    """The world of these scenarios in this size for a target that has the operations ``supported``, and what had
    to be left out. ``observe``: see `stress.workload.target.Target.observe`.
    """
    scenarios: list[Scenario] = []
    skipped: list[Skipped] = []
    wanted = [part for name in names for part in (SCENARIOS.get(name).parts or (name,))]
    for name in dict.fromkeys(wanted):
        scenario = SCENARIOS.get(name).sized(size)
        if missing := sorted(scenario.needs - supported):
            skipped.append(Skipped(Part.SCENARIO, name, f"the target has no {' and no '.join(missing)}"))
        else:
            if "read" not in supported:  # then readers open the file themselves
                kinds: set[Kind] = {Kind.OBSERVE if kind is Kind.READ else kind for kind in scenario.kinds}
                scenario = replace(scenario, kinds=frozenset(kinds))
            elif not observe:
                kinds = {Kind.READ if kind is Kind.OBSERVE else kind for kind in scenario.kinds}
                scenario = replace(scenario, kinds=frozenset(kinds))
            scenarios.append(scenario)
    files: dict[str, SharedFile] = {}
    facts: dict[str, FileFacts] = {}
    for scenario in scenarios:
        for file in scenario.files:
            checkers = scenario.checkers if file.checkers is None else file.checkers
            if file.path not in files:
                files[file.path] = file
                facts[file.path] = _facts(file, scenario, checkers)
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
    return FileFacts(
        path=file.path,
        scenario=scenario.name,
        form=Format(file.form),
        initial=initial,
        checkers=checkers,
        mode=file.mode,
        shared=scenario.colleagues,
        link=file.link,
        recovery=None if file.recovery is None else Recovery(file.recovery),
        recovered=file.recovered,
        corrupt=file.corrupt,
    )


def lay_out(world: World, directory: Path) -> None:
    """Make every shared file as it has to be at the start; ``directory`` is empty."""
    for file, facts in zip(world.files, world.facts, strict=True):
        path = directory / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.link is not None:
            path.symlink_to(file.link)
            path = path.parent / file.link
            path.parent.mkdir(parents=True, exist_ok=True)
        for other in file.beside:
            (directory / other.path).write_bytes(other.content)
            os.utime(directory / other.path, (other.mtime_s, other.mtime_s))
        if file.absent:
            continue
        path.write_bytes(_first_bytes(file))
        path.chmod(file.mode)
        if hasattr(os, "setxattr") and "metadata" in facts.checkers:
            try:
                os.setxattr(path, XATTR, XATTR_VALUE)
            except OSError:
                pass  # no extended attributes here; `inspect` then asks for none
    if world.colleagues:
        first = COLLEAGUES[0]
        for folder, _, names in os.walk(directory):
            os.chown(folder, 0, first.gid)
            os.chmod(folder, 0o2775)  # what is made in it is the group's
            for name in names:
                os.chown(os.path.join(folder, name), first.uid, first.gid, follow_symlinks=False)


def _first_bytes(file: SharedFile) -> bytes:
    if file.content is not None:
        return file.content
    if file.form == "log":
        return log_record(INITIAL, 40).encode("ascii")
    import json

    return json.dumps(document_of(INITIAL, 64, file.shape)).encode("utf-8")


def _laid_out(world: World) -> frozenset[str]:
    links = {str(Path(file.path).parent / file.link) for file in world.files if file.link}
    beside = {other.path for file in world.files for other in file.beside}
    return frozenset(links | beside | {file.path for file in world.files})


def belonging(world: World) -> Callable[[str], bool]:
    """Whether what is at a path, relative to the directory, is part of the scenarios: a shared file, what was laid
    beside one, a backup, or a folder of these. What a recovery leaves beside its file is evidence, and belongs too.
    """
    ours = _laid_out(world)
    folders = {str(folder) for path in ours for folder in Path(path).parents}
    evidence = {str(Path(file.path).parent) for file in world.files if file.recovery is not None}
    return lambda path: (
        path in ours or path in folders or _BACKUP.search(path) is not None or str(Path(path).parent) in evidence
    )


def inspect(
    world: World, directory: Path, target: Target, attributes: Attributes
) -> tuple[tuple[FinalFile, ...], dict[str, tuple[int, str]], tuple[str, ...]]:
    """What is there when every process has ended: the shared files, the backups (path → version, SHA-256), the
    leftovers.
    """
    ours = _laid_out(world)
    backups: dict[str, tuple[int, str]] = {}
    leftovers: list[str] = []
    neighbours: dict[str, list[Path]] = {}
    for folder, _, base_names in os.walk(directory):
        for base_name in base_names:
            path = Path(folder, base_name)
            relative = str(path.relative_to(directory))
            neighbours.setdefault(os.path.relpath(folder, directory), []).append(path)
            if _BACKUP.search(base_name) and path.is_file():
                content = path.read_bytes()
                backups[relative] = (examine_bytes(content).version, hashlib.sha256(content).hexdigest())
            elif relative not in ours and not target.is_residue(base_name):
                leftovers.append(relative)
    final = tuple(
        _final(directory, file, facts, neighbours.get(str(Path(file.path).parent), []), attributes)
        for file, facts in zip(world.files, world.facts, strict=True)
    )
    return final, backups, tuple(sorted(leftovers))


@dataclass(frozen=True)
class Attributes:
    """What the files that are there have besides their bytes, as they were laid out."""

    xattrs: frozenset[str]
    """The paths of those on which the extended attribute could be set."""
    owners: Mapping[str, frozenset[tuple[int, int]]]
    """Path → the users and groups to whom it may belong; a folder may give its group to what is made in it."""

    @classmethod
    def of(cls, world: World, directory: Path) -> Attributes:
        """Those of the files in ``directory``."""
        has_xattrs = hasattr(os, "getxattr")
        xattrs = [file.path for file in world.files if has_xattrs and _xattr(directory / file.path) == XATTR_VALUE]
        colleagues = frozenset((user.uid, user.gid) for user in COLLEAGUES)
        owners = {}
        for file in world.files:
            if (directory / file.path).exists():
                status = (directory / file.path).stat()
                owners[file.path] = colleagues if world.colleagues else frozenset({(status.st_uid, status.st_gid)})
        return cls(frozenset(xattrs), owners)


def watched(world: World, directory: Path) -> dict[int, tuple[str, int, frozenset[tuple[int, int]]]]:
    """The files whose metadata is judged: index → path, mode, and the users and groups to whom it may belong."""
    owners = Attributes.of(world, directory).owners
    return {
        index: (facts.path, facts.mode, owners[facts.path])
        for index, facts in enumerate(world.facts)
        if "metadata" in facts.checkers and facts.path in owners
    }


def _xattr(path: Path) -> bytes | None:
    try:
        return os.getxattr(path, XATTR)
    except OSError:
        return None


def _final(
    directory: Path, file: SharedFile, facts: FileFacts, neighbours: list[Path], attributes: Attributes
) -> FinalFile:
    path = directory / file.path
    kept = not facts.corrupt or any(facts.corrupt == other.read_bytes() for other in neighbours if other.is_file())
    link = str(path.readlink()) if path.is_symlink() else None
    if not path.exists():
        return FinalFile(exists=False, version=ABSENT, link=link, evidence_kept=kept)
    content = path.read_bytes()
    status = path.stat()
    owners = attributes.owners.get(file.path, {(status.st_uid, status.st_gid)})
    seen = examine_bytes(content) if file.form in ("object", "list") else None
    version = NO_VERSION if seen is None else seen.version
    return FinalFile(
        exists=True,
        version=version,
        parent=NO_VERSION if seen is None else seen.parent,
        content=content if file.form == "log" or version == GARBAGE else b"",
        mode=stat.S_IMODE(status.st_mode),
        link=link,
        xattrs_lost=(XATTR,) if file.path in attributes.xattrs and _xattr(path) != XATTR_VALUE else (),
        owner_changed=(status.st_uid, status.st_gid) not in owners,
        evidence_kept=kept,
    )


def required_kinds(world: World) -> tuple[frozenset[Kind], ...]:
    """For each scenario: the kinds of operation without which it has proved nothing."""
    return tuple(scenario.kinds for scenario in world.scenarios)
