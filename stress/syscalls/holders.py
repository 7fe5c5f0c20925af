"""Who holds which lock, so that a close, an exit or an exec that gives one back is a scheduling point."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from stress.syscalls import locks
from stress.syscalls.agents import Agent
from stress.syscalls.calls import Access
from stress.syscalls.point import Point
from stress.syscalls.tasks import Process, Task

_CLOSE_RANGE_CLOEXEC = 4


@dataclass(frozen=True, slots=True)
class Holder:
    """A lock that is held: by a process that has a descriptor of the open file.

    Attributes:
        kind: As of a `locks.Request`.
    """

    access: Access
    kind: str
    text: str
    process: Process
    descriptor: int
    inode: tuple[int, int]


class Holders:
    """The locks of all agents in an execution.

    Args:
        tasks: The live threads of an agent.
    """

    def __init__(self, tasks: Callable[[Agent], Sequence[Task]]) -> None:
        self._tasks = tasks
        self._held: list[Holder] = []

    def begin(self) -> None:
        """A new execution: nothing is held."""
        self._held.clear()

    def do(self, task: Task, point: Point) -> None:
        """A call that takes a lock, or frees one, is about to be done."""
        request = point.lock
        if request is None:
            self._held = self._after(task)[1]
            return
        access, process, inode = point.accesses[0], task.process, _inode(request.pid, request.descriptor)
        if point.effect == "frees" and not request.is_whole:
            return
        self._held = [
            holder for holder in self._held if not (holder.process is process and holder.access.what == access.what)
        ]
        if point.effect != "frees" and inode is not None:
            text = point.text.rpartition(" ")[2]
            self._held.append(Holder(Access(access.what, True), request.kind, text, process, request.descriptor, inode))
            process.shares = True  # so that its closes are looked at, also where the lock lies elsewhere

    def has(self, process: Process) -> bool:
        """Whether the process holds a lock."""
        return any(holder.process is process for holder in self._held)

    def forget_dead(self) -> None:
        """What a process held that was killed is free, or another's that has the open file too."""
        if any(holder.process.is_dead for holder in self._held):
            held = [self._copy(holder) if holder.process.is_dead else holder for holder in self._held]
            self._held = [holder for holder in held if holder is not None]

    def release(self, task: Task) -> Point | None:
        """The point of a call that gives locks back without saying so; None if it does not.

        A lock is given back with the last descriptor of its open file, wherever that is.
        """
        if task.row is None or not any(holder.process is task.process for holder in self._held):
            return None
        released, held = self._after(task)
        if not released:
            self._held = held
            return None
        names = ", ".join(dict.fromkeys(holder.text for holder in released))
        what = {"close": "close", "exit": "exit", "exec": "execute"}[task.row.verb]
        accesses = tuple(dict.fromkeys(holder.access for holder in released))
        return Point(f"{what} (frees lock {names})", accesses, effect="frees")

    def _after(self, task: Task) -> tuple[list[Holder], list[Holder]]:
        """The locks that a call gives back, and those that are held after it."""
        released: list[Holder] = []
        held: list[Holder] = []
        for holder in self._held:
            if holder.process is not task.process or not _closes(task, holder):
                held.append(holder)
            elif (copy := self._copy(holder, task)) is not None:
                held.append(copy)
            elif locks.are_held(holder.process.pid, holder.descriptor, holder.kind):
                released.append(holder)
        return released, held

    def _copy(self, holder: Holder, closing: Task | None = None) -> Holder | None:
        """The same lock by another descriptor of the open file, that the call does not close; None if there is none."""
        if holder.kind == "posix":
            return None
        for process in dict.fromkeys(task.process for task in self._tasks(holder.process.agent)):
            for descriptor in _descriptors(process.pid):
                copy = replace(holder, process=process, descriptor=descriptor)
                if closing is not None and process is closing.process and _closes(closing, copy):
                    continue
                if _inode(process.pid, descriptor) == holder.inode and locks.are_held(
                    process.pid, descriptor, holder.kind
                ):
                    process.shares = True
                    return copy
        return None


def _closes(task: Task, holder: Holder) -> bool:
    """Whether a call of the holder's process closes the holder's descriptor, or gives the lock back without that."""
    assert task.row is not None
    name, verb, args = task.row.name, task.row.verb, task.args
    if name == "exit":
        return False  # of a thread
    if name == "close_range":
        return args[0] <= holder.descriptor <= args[1] and not args[2] & _CLOSE_RANGE_CLOEXEC
    if verb == "close":
        descriptor = args[task.row.descriptor] & 0xFFFFFFFF
        return descriptor == holder.descriptor or (
            holder.kind == "posix" and _inode(task.process.pid, descriptor) == holder.inode
        )
    return verb != "exec" or _closes_on_exec(task.process.pid, holder.descriptor)


def _descriptors(pid: int) -> list[int]:
    try:
        return sorted(map(int, os.listdir(f"/proc/{pid}/fd")))
    except OSError:
        return []


def _inode(pid: int, descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.stat(f"/proc/{pid}/fd/{descriptor}")
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _closes_on_exec(pid: int, descriptor: int) -> bool:
    try:
        with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii") as file:
            return any(line.startswith("flags:") and int(line.split()[1], 8) & os.O_CLOEXEC for line in file)
    except OSError:  # it is closed
        return True
