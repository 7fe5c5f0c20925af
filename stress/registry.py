"""Plain registries: a name, a thing, and a helpful answer to a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Registry", "UnknownName", "close_names"]

T = TypeVar("T")
_SHOWN_MAX = 32


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
    return f"{hint}; there are: {', '.join(shown)}"


class Registry(Generic[T]):
    """Names and what they stand for. ``what`` is the singular used in messages, such as ``scenario``."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._things: dict[str, T] = {}

    def add(self, name: str, thing: T) -> T:
        """Register ``thing``; raises ValueError if the name is taken."""
        if name in self._things:
            raise ValueError(f"a {self._what} named {name!r} is registered already")
        self._things[name] = thing
        return thing

    def get(self, name: str) -> T:
        """The thing of that name; raises `UnknownName`, which lists the names there are."""
        try:
            return self._things[name]
        except KeyError:
            raise UnknownName(f"no {self._what} is named {name!r}{close_names(name, list(self._things))}") from None

    def __contains__(self, name: str) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._things))

    def __len__(self) -> int:
        return len(self._things)
