"""A scheduling point: a call that waits for its turn, and what the supervisor has to do about it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from stress.syscalls import locks
from stress.syscalls.calls import Access


@dataclass(slots=True)
class Point:
    """A scheduling point, as a call and what the supervisor has to do about it.

    Attributes:
        text: For people.
        accesses: What it touches.
        result: What it will return, where that is known beforehand.
        answer: What to return in the kernel's place; None to let the kernel do it.
        lock: The request of a lock, if it is one.
        effect: What it does with the lock: ``waits``, ``tries``, ``frees`` or nothing.
        creates: Path of the inode that it creates.
        writes: Path of the file whose content it changes.
        shows: Path whose mode it may have changed.
        looks: Path of what it tells the times of.
        touches: What it accesses.
        disturbs: What it may change, and its lock: of that others' points say something else afterwards.
        changes: Whether it may change a file or a directory.
        changes_entry: Whether it may change an entry of a directory.
    """

    text: str
    accesses: tuple[Access, ...] = ()
    result: int | None = None
    answer: int | None = None
    lock: locks.Request | None = None
    effect: str = ""
    creates: str = ""
    writes: str = ""
    shows: str = ""
    looks: str = ""
    touches: frozenset[tuple[Hashable, ...]] = field(init=False)
    disturbs: frozenset[tuple[Hashable, ...]] = field(init=False)
    changes: bool = field(init=False)
    changes_entry: bool = field(init=False)

    def __post_init__(self) -> None:
        """See what it changes."""
        self.touches = frozenset([access.what for access in self.accesses])
        disturbed = [access.what for access in self.accesses if access.writes or access.what[0] == "lock"]
        self.disturbs = frozenset(disturbed)
        kinds = {what[0] for what in disturbed}
        self.changes, self.changes_entry = not kinds <= {"lock"}, "entry" in kinds


def of_process(agent: int, point: Point | None = None, sent: str = "") -> Point:
    """The point of a call that asks whether a process of another agent is there, or sends it a signal.

    Args:
        point: What it is besides.
        sent: The signal.
    """
    life = Access(("life", agent), bool(sent))
    if point is not None:
        return replace(point, accesses=(*point.accesses, life))
    return Point(f"send {sent} to agent {agent + 1}" if sent else f"ask for a process of agent {agent + 1}", (life,))
