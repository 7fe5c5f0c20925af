"""What others bring: modules and packages that a distribution announces as entry points, and files given with --load.

The groups are in `GROUPS`. Whatever the group, a module registers what it has when it is imported, with
`stress.api.scenario`, ``checker``, ``target``, ``reporter`` and ``nemesis``. Of a package all modules are imported, and
its folders ``targets`` and ``benchmarks`` count. The harness's own scenarios come this way too.

An announced package is taken from where its distribution is installed. A project of a user's may have a folder of the
same name, and the current directory often comes first on the path.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from stress import registry
from stress.files import why_unreadable
from stress.options import UsageError

TARGETS = "stress.targets"
"""The group whose entry points are targets themselves: each is loaded when its name is asked for."""
GROUPS = ("stress.scenarios", "stress.checkers", "stress.reporters", "stress.nemeses")
"""The groups whose entry points are modules and packages that register what they have."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A plug-in that could not be loaded, and is left out."""

    name: str
    """Of the entry point, with the distribution that announces it."""
    why: str

    def __str__(self) -> str:
        return f"the plug-in {self.name} is left out: {self.why}"


_broken: list[Broken] = []
_hidden: dict[str, dict[str, ModuleType]] = {}
"""Modules of announced packages whose name means something else to everybody else."""


@dataclass(frozen=True, slots=True)
class Package:
    """An announced package, loaded."""

    name: str
    folder: Path
    origin: str
    spec: ModuleSpec | None
    """Where its top-level package is installed; None: nobody knows."""

    @contextmanager
    def first(self) -> Iterator[None]:
        """While this lasts, ``import`` finds the package where it is installed, whoever comes first on the path."""
        with _first(self.name.partition(".")[0], self.spec), registry.registered_by(self.origin):
            yield

    def modules(self, folder: str = "") -> Iterator[ModuleType]:
        """Import the modules of the package, or of one of its folders; not those that begin with an underscore."""
        with self.first():
            name = f"{self.name}.{folder}" if folder else self.name
            if importlib.util.find_spec(name) is None:
                return
            for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
                if not module.ispkg and not module.name.startswith("_"):
                    yield importlib.import_module(f"{name}.{module.name}")


@functools.cache
def load() -> tuple[Package, ...]:
    """Import, once, all that is announced, and return the packages. What can't be loaded is left out: see `broken`."""
    packages: list[Package] = []
    for group in GROUPS:
        for entry in importlib.metadata.entry_points(group=group):
            origin = origin_of(entry)
            try:
                packages.extend(_loaded(entry, origin))
            except (Exception, SystemExit) as error:
                _broken.append(Broken(f"{entry.name!r} ({origin})", reason(error)))
    return tuple(packages)


@functools.cache
def targets() -> dict[str, importlib.metadata.EntryPoint]:
    """Name → entry point of each target that is announced; a name that is announced twice is the first one's."""
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=TARGETS):
        found.setdefault(entry.name, entry)
    return found


def load_again(path: str) -> None:
    """`load_file` for a run that is over: where it can't be done that is told, and nothing else stops."""
    try:
        load_file(path)
    except UsageError as error:
        _broken.append(Broken(repr(path), str(error)))


def broken() -> tuple[Broken, ...]:
    """What could not be loaded, of all that has been asked for in this process."""
    return tuple(_broken)


def owner(path: Path) -> Package | None:
    """The announced package that the file is in."""
    return next((package for package in load() if package.folder in path.parents), None)


def load_file(path: str) -> None:
    """Import the file of a user's, once, for what it registers; raises `UsageError`, which says what is wrong."""
    real = os.path.realpath(path)
    name = f"stress_loaded_{re.sub(r'[^0-9A-Za-z]', '_', real)}"
    if name in sys.modules:
        return
    if why := why_unreadable(real):
        raise UsageError("--load", f"{path!r}: {why}; give one that registers a scenario, a checker, …")
    if not real.endswith(".py"):
        raise UsageError("--load", path, "is no Python file; give one that registers a scenario, a checker, …")
    load()  # a name that is taken is an error of the file's, not of what was there before it
    spec = importlib.util.spec_from_file_location(name, real)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    if os.path.dirname(real) not in sys.path:
        sys.path.insert(0, os.path.dirname(real))  # as for a script, its neighbours can be imported
    try:
        with registry.registered_by(path):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UsageError("--load", path, f"could not be imported: {reason(error, real)}") from error


def origin_of(entry: importlib.metadata.EntryPoint) -> str:
    """The distribution that announces an entry point, with its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


def reason(error: BaseException, path: str | None = None) -> str:
    """An error of somebody's module in a line, with the line of the file (of ``path``) that raised it last."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    where = next((frame for frame in reversed(frames) if path in (None, frame.filename)), None)
    said = f"{type(error).__name__}: {error}"
    at = f" ({where.filename}, line {where.lineno})" if where and where.filename != __file__ else ""
    return re.sub(r"\s+", " ", said).strip() + at


def _loaded(entry: importlib.metadata.EntryPoint, origin: str) -> Iterator[Package]:
    top = entry.module.partition(".")[0]
    spec = _installed(entry.dist, top)
    before = registry.registrations()
    with _first(top, spec), registry.registered_by(origin):
        thing = entry.load()
    file = str(getattr(thing, "__file__", None) or getattr(thing, "__path__", None) or thing)
    if isinstance(thing, ModuleType) and hasattr(thing, "__path__"):
        package = Package(thing.__name__, Path(next(iter(thing.__path__))).resolve(), origin, spec)
        for _ in package.modules():
            pass
        yield package
    if registry.registrations() == before and not Path(file).parent.joinpath("targets").is_dir():
        raise LookupError(f"it has nothing to register; what was loaded is {file}")


def _installed(distribution: importlib.metadata.Distribution | None, top: str) -> ModuleSpec | None:
    """Where a distribution's package is: beside its metadata, or, in an editable installation, where its .pth leads."""
    if distribution is None:
        return None
    folders = [str(distribution.locate_file(""))]
    for file in distribution.files or ():
        if file.suffix == ".pth" and (path := Path(str(distribution.locate_file(file)))).is_file():
            folders += [line for line in path.read_text("utf-8").splitlines() if os.path.isdir(line)]
    return PathFinder.find_spec(top, folders)


@contextmanager
def _first(top: str, spec: ModuleSpec | None) -> Iterator[None]:
    if spec is None or _meant(top) == spec.origin:
        yield
        return
    theirs, finder = _taken_out(top), _Finder(spec)
    sys.modules.update(_hidden.get(top, {}))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _hidden[top] = _taken_out(top)
        sys.modules.update(theirs)


def _meant(top: str) -> str | None:
    """The file that ``import top`` finds now, without importing it."""
    try:
        found = importlib.util.find_spec(top)
    except ValueError:  # a module that somebody made by hand
        return None
    return found.origin if found is not None else None


def _taken_out(top: str) -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == top or name.startswith(f"{top}.")]
    return {name: sys.modules.pop(name) for name in names}


class _Finder:
    """Finds one package at its place."""

    def __init__(self, spec: ModuleSpec) -> None:
        self._spec = spec

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """As `importlib.abc.MetaPathFinder` has it."""
        if name != self._spec.name or self._spec.origin is None:
            return None
        places = self._spec.submodule_search_locations
        return importlib.util.spec_from_file_location(name, self._spec.origin, submodule_search_locations=places)
