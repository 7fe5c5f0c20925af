"""The registry of scenarios, filled by whatever packages announce themselves under ``stress.scenarios``.

The harness imports no scenario by name: a package names itself in its ``pyproject.toml`` as an entry point of that
group, and its modules call `scenario` when they are imported. Targets that ship with such a package are files in its
``targets`` folder.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from stress.registry import Registry
from stress.workload.scenario import FULL, Scenario, Size

__all__ = ["SCENARIOS", "load", "scenario", "target_folders"]

SCENARIOS: Registry[Scenario] = Registry("scenario")


def scenario(made: Scenario | Callable[[Size], Scenario]) -> Scenario:
    """Register a scenario, or a function that makes it in any size, under its own name; raises ValueError if that is
    taken.
    """
    if not isinstance(made, Scenario):
        made = replace(made(FULL), make=made)
    return SCENARIOS.add(made.name, made)


@functools.cache
def load() -> tuple[Path, ...]:
    """Import every announced package and its modules, once; returns the packages' folders."""
    folders: list[Path] = []
    for entry in importlib.metadata.entry_points(group="stress.scenarios"):
        package = entry.load()
        folders.extend(Path(folder) for folder in package.__path__)
        for module in pkgutil.iter_modules(package.__path__):
            if not module.ispkg:
                importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(folders)


def target_folders() -> tuple[Path, ...]:
    """The folders in which targets that ship with scenarios are files."""
    return tuple(folder / "targets" for folder in load())
