"""Plain registries: a name, a thing, who brought it, and a helpful answer to a name that is not there."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
_SHOWN_MAX = 32

BUILT_IN = ""
"""Who brought what comes with the harness."""

_bringer = [BUILT_IN]
_count = [0]


class UnknownName(LookupError):
    """A name that nothing was registered under; the message lists those that there are."""


def close_names(name: str, there_are: list[str]) -> str:
    """The rest of a sentence on a name that does not exist: a near one, and those that there are, the nearest of
    many.
    """
    close = difflib.get_close_matches(name, there_are, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    shown = sorted(there_are)
    if len(shown) > _SHOWN_MAX:
        shown = sorted(difflib.get_close_matches(name, there_are, n=_SHOWN_MAX, cutoff=0.0))
        return f"{hint}; among the {len(there_are)} that there are: {', '.join(shown)}"
    return f"{hint}; there are: {', '.join(shown)}" if shown else "; there are none"


@contextmanager
def registered_by(origin: str) -> Iterator[None]:
    """What is registered while this lasts is ``origin``'s: a distribution, or a file as the user wrote it."""
    _bringer.append(origin)
    try:
        yield
    finally:
        _bringer.pop()


def registrations() -> int:
    """How many things have been registered in this process, anywhere."""
    return _count[0]


class Registry(Generic[T]):
    """Names and what they stand for. ``what`` is the singular used in messages, such as ``scenario``."""

    def __init__(self, what: str, package: str = "") -> None:
        """``package``: where those that come with the harness are, a module each; they have their names first."""
        self._what = what
        self._package = package
        self._things: dict[str, T] = {}
        self._origins: dict[str, str] = {}

    def add(self, name: str, thing: T) -> T:
        """Register ``thing``; raises ValueError if the name is taken."""
        if _bringer[-1] != BUILT_IN:
            self.complete()
        if name in self._things:
            by = f", by {origin}" if (origin := self.origin(name)) else ""
            raise ValueError(f"a {self._what} named {name!r} is registered already{by}")
        self._things[name] = thing
        self._origins[name] = _bringer[-1]
        _count[0] += 1
        return thing

    def complete(self) -> None:
        """Import, once, what comes with the harness."""
        package, self._package = self._package, ""
        if package:
            with registered_by(BUILT_IN):
                for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                    importlib.import_module(f"{package}.{module.name}")

    def get(self, name: str) -> T:
        """The thing of that name; raises `UnknownName`, which lists the names there are."""
        try:
            return self._things[name]
        except KeyError:
            raise UnknownName(f"no {self._what} is named {name!r}{close_names(name, list(self._things))}") from None

    def origin(self, name: str) -> str:
        """Who brought the thing of that name: a distribution, a file given with ``--load``, or `BUILT_IN`."""
        return self._origins.get(name, BUILT_IN)

    def __contains__(self, name: str) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._things))

    def __len__(self) -> int:
        return len(self._things)
