"""What calls touch, as `Access`es: entries on the way, the entry itself, modes, and what a status tells."""

from __future__ import annotations

from stress.syscalls.calls import Access
from stress.syscalls.names import Place
from stress.syscalls.tables import Watched

ROOT = frozenset({("entry", "..", "."), ("inode", "."), ("links", "."), ("mode", ".")})
"""The shared directory itself. That it is opened, entered or looked at is no point: shells do nothing else."""


def way(place: Place) -> tuple[Access, ...]:
    """The entries on the way to a place are read, and the modes of their directories: who may not pass sees nothing."""
    entries = tuple(Access(("entry", *entry), False) for entry in place.entries)
    return (*entries, *(Access(("mode", id), False) for id in dict.fromkeys(id for id, _ in place.entries)))


def reads(place: Place) -> tuple[Access, ...]:
    """The entry is looked up."""
    if place.parent is None:
        return way(place)
    return (*way(place), Access(("entry", place.parent, place.name), False), *_passes(place.parent))


def changes(place: Place) -> tuple[Access, ...]:
    """The entry is made, replaced or removed. Changes of different entries commute, but not with a listing."""
    if place.parent is None:
        return way(place)
    entry = Access(("entry", place.parent, place.name), True)
    return (*way(place), entry, Access(("listing", place.parent), False), *_passes(place.parent))


def _passes(directory: str) -> tuple[Access, ...]:
    """The mode of a directory allows an entry to be looked up, or changed, or does not."""
    return () if directory == ".." else (Access(("mode", directory), False),)


def attributes(row: Watched, id: str) -> tuple[Access, ...]:
    """Times are set; or the mode, the owner or an extended attribute, which say who may open it, or pass."""
    times = Access(("inode", id), True)
    return (times,) if "utim" in row.name else (times, Access(("mode", id), True))


def links(place: Place) -> tuple[Access, ...]:
    """The number of the inode's names changes."""
    return (Access(("links", place.id), True), Access(("mode", place.id), False)) if place.id is not None else ()


def status(id: str) -> tuple[Access, ...]:
    """What stat tells: content's size and times, mode, number of names. (Not so the size and times of a directory.)"""
    return Access(("inode", id), False), Access(("links", id), False)
