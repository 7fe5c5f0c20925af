"""The registry of checkers. A checker says its own name; adding one is adding a file to this package."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stress import plugins
from stress.history.history import History
from stress.registry import Registry
from stress.result import Finding

Checker = Callable[[History], Iterable[Finding]]
"""A pure function from a history to what is wrong with it."""

CHECKERS: Registry[Checker] = Registry("checker", "stress.checkers")


def checker(name: str) -> Callable[[Checker], Checker]:
    """Register the decorated function as the checker ``name``; raises ValueError if that is taken."""
    return lambda function: CHECKERS.add(name, function)


def load() -> Registry[Checker]:
    """Import every checker of this package and what is announced (`stress.plugins`), once, and return the registry."""
    CHECKERS.complete()
    plugins.load()
    return CHECKERS
