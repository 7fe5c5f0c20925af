"""Resolving: every name in a plan is looked up here, once, and what it stands for is passed on as values.

This is the only reader of the registries. What is misspelt is refused before anything is made, with the name that was
probably meant.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from stress import plugins
from stress.anomalies import ANOMALIES
from stress.checkers import registry
from stress.checkers.registry import Checker
from stress.execution.cast import Cast, assign_workers
from stress.execution.drivers import shell
from stress.execution.nemesis import FAULTS, NEMESES, Inject
from stress.history.kinds import Language, WorkerRole
from stress.history.skipped import Part, Skipped
from stress.host.interrupts import temporary_directory
from stress.host.users import why_not
from stress.plan import Plan, UsageError, readers_of
from stress.registry import UnknownName, close_names
from stress.units import parse_duration
from stress.workload import catalog
from stress.workload.target import Target, TargetError
from stress.workload.target import load as load_target
from stress.workload.world import compose

_PACKAGES = {"flock": "util-linux"}
"""Program → the package that has it, where that is called otherwise (Debian and most others)."""

PAUSES_AT_ONCE = 4
"""How many workers are paused at a time where it is said how long a pause lasts, and not how often one comes."""
_PAUSE_FOR = "pause_for"

ALWAYS = frozenset({"vacuity"})
"""The checkers that look at every history, whatever its files name."""


def resolve(plan: Plan) -> Cast:
    """Look up all that ``plan`` names.

    Raises `UsageError` for what is not there, or can't do what is asked.
    """
    target = looked_up(plan)
    for constant, names in (("ALLOW", target.allow), ("EXPECTS", target.expects)):
        judging_named(names, (), (f"{constant} of the target {target.name}", ""))
    try:
        supported, skipped = abilities(target)
    except TargetError as error:
        raise UsageError("--target", str(error)) from error
    operations = frozenset().union(*supported.values())
    names, left_out = _without_colleagues(plan.scenarios, plan.directory or tempfile.gettempdir(), target.files)
    world, lacking = compose(names, operations, observe=target.observe)
    left_out += lacking
    for facts in world.facts:
        try:
            checkers_named(facts.checkers)
        except UnknownName as error:
            raise UsageError("SCENARIO", facts.scenario, f"names a checker that is not there: {error}") from error
    sides = {language.label: language for language in supported}
    for label, _ in plan.mix or ():
        if label not in sides:
            raise UsageError("--mix", label, f"is no side of the target {target.name}{close_names(label, list(sides))}")
    mix = None if plan.mix is None else {sides[label]: count for label, count in plan.mix}
    readers = readers_of(plan.writers, plan.readers)
    workers = assign_workers(world, supported, writers=plan.writers, readers=readers, mix=mix)
    for language in supported if world.scenarios else ():
        if not any(spec.language is language for spec in workers) and (mix is None or language in mix):
            able = any(world.roles(role, supported[language]) for role in WorkerRole)
            why = (
                "there are too few workers" if able else f"the target's {language.label} side can do none of the roles"
            )
            left_out.append(Skipped(Part.WORKERS, language.label, why, "give more --writers" if able else ""))
    return Cast(
        plan=plan,
        target=target,
        world=world,
        workers=tuple(workers),
        skipped=tuple(skipped + left_out + [Skipped(Part.PLUGIN, each.name, each.why) for each in plugins.broken()]),
        faults=_faults(plan, target) | dict(plan.nemesis),
        nemeses=nemeses_named(dict(plan.nemesis)),
        pause_s=_pause_s(plan, target),
    )


def looked_up(plan: Plan) -> Target:
    """Load the files of the user's that ``plan`` names, for what they register, and its target; and see that there are
    scenarios, anomalies and checkers of the names that it has. Raises `UsageError`.
    """
    for file in plan.load:
        plugins.load_file(file)
    scenarios_named(plan.scenarios)
    target = target_named(plan.target)
    judging_named(plan.allow, plan.only)
    return target


def nemeses_named(names: Iterable[str]) -> dict[str, Inject]:
    """The nemeses of these names; raises `UsageError`, which lists those there are."""
    plugins.load()
    try:
        return {name: NEMESES.get(name) for name in names}
    except UnknownName as error:
        raise UsageError("--nemesis", str(error)) from error


def _without_colleagues(
    names: tuple[str, ...], directory: str, files: Sequence[Path]
) -> tuple[tuple[str, ...], list[Skipped]]:
    """The scenarios that can be had here: for those of two users one has to be root, and they go alone."""
    theirs = [name for name in names if catalog.SCENARIOS.get(name).colleagues]
    if theirs and len(names) > 1:
        raise UsageError("SCENARIO", theirs[0], "is about two users, and goes alone; give it a run of its own")
    if theirs and (why := why_not(directory, files)):
        return (), [Skipped(Part.SCENARIO, theirs[0], why, "run it as root, with a --dir such as /tmp")]
    return names, []


def scenarios_named(names: Iterable[str]) -> None:
    """See that there are scenarios of these names; raises `UsageError`."""
    catalog.load()
    for name in names:
        try:
            catalog.SCENARIOS.get(name)
        except UnknownName as error:
            raise UsageError("SCENARIO", str(error)) from error


def judging_named(allow: Iterable[str], only: Iterable[str], options: tuple[str, str] = ("--allow", "--only")) -> None:
    """See that there are anomalies of the names in ``allow`` and checkers of those in ``only``, as the two ``options``
    say; raises `UsageError`.
    """
    catalog.load()
    option = options[0]
    try:
        for name in allow:
            ANOMALIES.get(name)
        option = options[1]
        checkers_named(only)
    except UnknownName as error:
        raise UsageError(option, str(error)) from error


def target_named(name: str) -> Target:
    """The target of that name; raises `UsageError`."""
    catalog.load()
    try:
        return load_target(name)
    except TargetError as error:
        raise UsageError("--target", str(error)) from error


def checkers_named(names: Iterable[str]) -> dict[str, Checker]:
    """The checkers of these names, by name; raises `UnknownName`, which lists those there are."""
    known = registry.load()
    return {name: known.get(name) for name in sorted(names)}


def known_checkers() -> frozenset[str]:
    """The names of the checkers that there are."""
    return frozenset(registry.load())


def _faults(plan: Plan, target: Target) -> dict[str, float]:
    faults = {name: seconds for name in FAULTS if (seconds := getattr(plan, f"{name}_every_s")) is not None}
    for option, seconds in _asked_for(target).items():
        if option != _PAUSE_FOR:
            faults.setdefault(option.removesuffix("_every"), seconds)
    if (pause_s := _pause_s(plan, target)) is not None:
        faults.setdefault("pause", pause_s / PAUSES_AT_ONCE)
    return faults


def _pause_s(plan: Plan, target: Target) -> float | None:
    return _asked_for(target).get(_PAUSE_FOR) if plan.pause_for_s is None else plan.pause_for_s


def _asked_for(target: Target) -> dict[str, float]:
    """The faults that the target says it needs, in seconds."""
    where, known = f"FAULTS of the target {target.name}", [*(f"{name}_every" for name in FAULTS), _PAUSE_FOR]
    for option in target.faults:
        if option not in known:
            raise UsageError(where, str(option), f"is no fault{close_names(str(option), known)}")
    try:
        return {option: parse_duration(text) for option, text in target.faults.items()}
    except ValueError as error:
        raise UsageError(where, str(error)) from error


def abilities(target: Target) -> tuple[dict[Language, frozenset[str]], list[Skipped]]:
    """The operations of each language's side that can be done here, and what can't be."""
    supported: dict[Language, frozenset[str]] = {}
    skipped: list[Skipped] = []
    if target.operations:
        supported[Language.PYTHON] = target.operations
    language = shell.language_of(target)
    with temporary_directory("stress-probe-") as folder:
        source = shell.write_commands(target, Path(folder))
        if source is None and target.worker:
            pass  # a side that nobody has announced
        elif source is None:
            why = f"the target {target.name} has no {target.path.with_suffix('.bash').name}"
            if ":" in target.name:  # an object: there is no file that could lie beside it
                why = "the target is an object of Python's"
            skipped.append(Skipped(Part.WORKERS, Language.BASH.label, why))
        elif shutil.which("bash") is None:
            skipped.append(Skipped(Part.WORKERS, language.label, "bash is missing", "apt-get install bash"))
        else:
            operations, needs = shell.probe(source, shell.environment())
            for program, needing in needs.items():
                if shutil.which(program) is None and (lacking := sorted(operations & needing)):
                    cure = f"apt-get install {_PACKAGES.get(program, program)}"
                    skipped.append(Skipped(Part.WORKERS, language.label, f"{program} is missing", cure, tuple(lacking)))
                    operations -= needing
            if operations:
                supported[language] = operations
    if target.worker:
        language = Language.named(target.language)
        if shutil.which(target.worker[0]) is None:
            if not supported:
                raise TargetError(f"{str(target.path)!r}: its worker needs {target.worker[0]}, which is not there")
            skipped.append(Skipped(Part.WORKERS, language.label, f"{target.worker[0]} is missing"))
        elif operations := shell.ask_worker(target):
            supported[language] = operations
    return supported, skipped
