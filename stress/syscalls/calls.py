"""Values that the engine and its schedulers share: a call, what it touches, a step, and who picks the next one.

Nobody changes them. They are not frozen, as it would take several times as long to make some at each step.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stress.syscalls.source import Source


@dataclass(unsafe_hash=True, slots=True)
class Access:
    """Something that a call reads or changes.

    Attributes:
        what: ``("inode", id)``, ``("entry", directory id, name)``, ``("lock", inode id, kind)`` or ``("life", agent)``,
            the processes of an agent. Ids are canonical: the same in every replay of a schedule.
        writes: Whether the call may change it.
    """

    what: tuple[Hashable, ...]
    writes: bool


@dataclass(unsafe_hash=True, slots=True)
class Call:
    """A file syscall that a task is about to do: a scheduling point.

    Attributes:
        agent: Index of the process tree.
        task: Logical id of the thread in its tree, in the order of spawning.
        name: Of the syscall, such as ``renameat2``.
        text: For people, such as ``rename .x.json.tmp → x.json``; without random parts.
        accesses: What it touches. Two calls of different agents depend on each other if they share a `Access.what`
            that one of them writes.
        spins: Whether it polls: a try-lock of a lock that is held, or a sleep. Done again and again it makes no
            progress before another agent does something.
        lock: What it does with the lock among its accesses: ``waits`` for it (and is not enabled while it is held),
            ``tries`` to take it, ``frees`` it (an unlock, a close or an exit); empty where it touches none.
    """

    agent: int
    task: int
    name: str
    text: str
    accesses: tuple[Access, ...]
    spins: bool = False
    lock: str = ""


@dataclass(unsafe_hash=True, slots=True)
class Step:
    """A call that was done. A trace is a tuple of steps.

    Attributes:
        index: Of the step in its execution, from 0.
        call: What was done.
        result: What it returned, or −errno; None where that is not known.
        edge: Whether an operation began with it (``begins``), or was over after it (``ends``), or ``both``: what was
            over before what began is a part of what an execution means. Empty where nobody tells; filled in later.
    """

    index: int
    call: Call
    result: int | None = None
    edge: str = field(default="", compare=False)


class Abandoned(Exception):
    """Raised by `Scheduler.pick`: the rest of this execution is not wanted. The engine ends the processes."""


class Diverged(Abandoned):
    """The execution is not the one that the schedule was recorded from.

    Attributes:
        index: Of the step at which it went another way.
        expected: What was to be done there.
        found: What was there instead.
    """

    def __init__(self, index: int, expected: str, found: str) -> None:
        super().__init__(f"step {index + 1}: expected {expected}; found {found}")
        self.index, self.expected, self.found = index, expected, found


class Scheduler(Protocol):
    """An oracle that decides the order of the calls (after shuttle's trait of the same name).

    Attributes:
        source: Of the execution that was begun last: every random number that is drawn for its programs.
    """

    source: Source

    def begin(self) -> bool:
        """Start a new execution; False if none is left."""

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """Choose the next call: an index into ``enabled``, which has at most one call an agent.

        Raises `Abandoned` where the rest of the execution is not wanted.
        """

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """Learn what became of the execution, and which calls still wait for a lock."""
