"""Warm workers of a target: what its module remembers from one operation to the next is put back between schedules."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from stress.workload import catalog
from stress.workload.target import Target


def stays_warm(target: Target) -> bool:
    """Whether one process may do the target's operations in schedule after schedule.

    A target that ships with the scenarios remembers nothing but in its module's globals. Another may have a connection
    or a cache that nobody here knows of: its processes are new in each schedule, unless its module has a function
    ``forget`` that makes it as good as new.
    """
    ships = target.path.parent in catalog.target_folders()
    return target.forgets or (isinstance(target.module, ModuleType) and (ships or hasattr(target.module, "forget")))


class Remembered:
    """The globals of a module, and what is in those that are lists, dictionaries and sets."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._globals = module, dict(vars(module))
        self._contents: list[tuple[Any, Any]] = [
            (value, value.copy())
            for name, value in self._globals.items()
            if type(value) in (dict, list, set) and name != "__builtins__"
        ]

    def put_back(self) -> None:
        """Make them what they were, and let the module do the rest (``forget``)."""
        names = vars(self._module)
        for name in names.keys() - self._globals.keys():
            del names[name]
        names.update(self._globals)
        for container, content in self._contents:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)
        forget = self._globals.get("forget")
        if forget is not None:
            forget()
