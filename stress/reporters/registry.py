"""The registry of reports that go to files. A reporter says its own kind; adding one is adding a file to this package.

A reporter is a pure function from a result to the text of its file. Where that goes is `stress.reporters.destinations`.
"""

from __future__ import annotations

from collections.abc import Callable

from stress import plugins
from stress.registry import Registry
from stress.result import Result

Reporter = Callable[[Result], str]
"""From a result to the text of a file."""

REPORTERS: Registry[Reporter] = Registry("kind of report", "stress.reporters")


def reporter(kind: str) -> Callable[[Reporter], Reporter]:
    """Register the decorated function for ``--report KIND=FILE``; raises ValueError if that is taken."""
    return lambda function: REPORTERS.add(kind, function)


def load() -> Registry[Reporter]:
    """Import every reporter of this package and what is announced (`stress.plugins`), once, and return the registry."""
    REPORTERS.complete()
    plugins.load()
    return REPORTERS
