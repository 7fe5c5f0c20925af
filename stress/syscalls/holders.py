"""Who holds which lock, so that a close, an exit or an exec that gives one back is a scheduling point."""

from __future__ import annotations

import os
from dataclasses import dataclass

from stress.syscalls.calls import Access
from stress.syscalls.decoding import Point
from stress.syscalls.names import Names
from stress.syscalls.tasks import Process, Task


@dataclass(frozen=True, slots=True)
class Holder:
    """A lock that is held: by the process highest in the tree that has the descriptor of the open file."""

    access: Access
    text: str
    process: Process
    descriptor: int
    inode: tuple[int, int]


class Holders:
    """The locks of all agents in an execution."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._held: list[Holder] = []

    def begin(self) -> None:
        """A new execution: nothing is held."""
        self._held.clear()

    def do(self, task: Task, point: Point) -> None:
        """A call that takes a lock, or frees one, is about to be done."""
        request = point.lock
        if request is None:
            released = self._released(task)
            self._held = [holder for holder in self._held if holder not in released]
            return
        (access,) = point.accesses
        process, inode = task.process, _inode(request.pid, request.descriptor)
        while request.kind != "posix" and process.parent and _inode(process.parent.pid, request.descriptor) == inode:
            process = process.parent
        self._held = [
            holder for holder in self._held if not (holder.process is process and holder.access.what == access.what)
        ]
        if point.effect != "frees" and inode is not None:
            text = point.text.rpartition(" ")[2]
            self._held.append(Holder(Access(access.what, True), text, process, request.descriptor, inode))

    def forget_dead(self) -> None:
        """What a process held that was killed is free."""
        self._held = [holder for holder in self._held if not holder.process.is_dead]

    def release(self, task: Task) -> Point | None:
        """The point of a call that gives locks back without saying so; None if it does not."""
        released = self._released(task)
        if not released:
            return None
        assert task.row is not None
        names = ", ".join(dict.fromkeys(holder.text for holder in released))
        what = {"close": "close", "exit": "exit", "exec": "execute"}[task.row.verb]
        accesses = tuple(dict.fromkeys(holder.access for holder in released))
        return Point(f"{what} (frees lock {names})", accesses, effect="frees")

    def _released(self, task: Task) -> list[Holder]:
        own = [holder for holder in self._held if holder.process is task.process] if self._held else []
        if not own or task.row is None:
            return []
        if task.row.name == "exit":
            return []  # of a thread
        if task.row.name == "close_range":
            return [holder for holder in own if task.args[0] <= holder.descriptor <= task.args[1]]
        if task.row.verb == "close":
            descriptor = task.args[task.row.descriptor] & 0xFFFFFFFF
            inode = _inode(task.process.pid, descriptor)
            return [
                holder
                for holder in own
                if (inode == holder.inode if holder.access.what[2] == "record" else descriptor == holder.descriptor)
            ]
        if task.row.verb == "exec":
            return [holder for holder in own if _closes_on_exec(task.process.pid, holder.descriptor)]
        return own


def _inode(pid: int, descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.stat(f"/proc/{pid}/fd/{descriptor}")
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _closes_on_exec(pid: int, descriptor: int) -> bool:
    with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii") as file:
        return any(line.startswith("flags:") and int(line.split()[1], 8) & os.O_CLOEXEC for line in file)
