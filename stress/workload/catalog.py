"""The registry of scenarios, filled by what is announced and loaded: see `stress.plugins`.

The harness imports no scenario by name. Targets that ship with a package of scenarios are files in its ``targets``
folder.
"""

from __future__ import annotations

from pathlib import Path

from stress import plugins
from stress.options import UsageError
from stress.registry import Registry
from stress.workload.scenario import Scenario

SCENARIOS: Registry[Scenario] = Registry("scenario")


def scenario(made: Scenario) -> Scenario:
    """Register a scenario under its own name; raises ValueError if that is taken."""
    return SCENARIOS.add(made.name, made)


def load() -> None:
    """Load what is announced; raises `UsageError` where there is no scenario then, which says what was loaded."""
    packages = plugins.load()
    if len(SCENARIOS) == 0:
        loaded = [f"{package.name} was loaded from {package.folder}, and has none" for package in packages]
        why = "; ".join([*map(str, plugins.broken()), *loaded]) or "no installed distribution announces any"
        raise UsageError("SCENARIO", f"there is no scenario: {why}; do: pip install --force-reinstall atomicops-stress")


def target_folders() -> tuple[Path, ...]:
    """The folders in which targets that ship with scenarios are files."""
    return tuple(package.folder / "targets" for package in plugins.load())
