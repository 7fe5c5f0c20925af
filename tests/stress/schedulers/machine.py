"""Small programs of file syscalls over a tiny file system in memory: no process, no disk, no clock.

A program is a generator function: it yields an `Op` and gets its result, a number, bytes, or −errno. `execute` runs
several under a scheduler, as the engine does with processes.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stress.schedulers.execution import Ending, Execution, Run
from stress.syscalls.calls import Abandoned, Access, Call, Diverged, Scheduler, Step

Program = Callable[[], Generator["Op", Any, Hashable]]
DIRECTORY = 0


@dataclass(frozen=True, slots=True)
class Op:
    """A syscall: ``name`` and its arguments; ``edge`` as that of a `Step`."""

    name: str
    path: str = ""
    target: str = ""
    fd: int = -1
    data: bytes = b""
    flags: frozenset[str] = frozenset()
    edge: str = ""


def open_(path: str, *flags: str) -> Op:
    """Flags: create, excl, trunc. The result is a descriptor."""
    return Op("open", path, flags=frozenset(flags))


def read(fd: int) -> Op:
    """The result is all bytes."""
    return Op("read", fd=fd)


def write(fd: int, data: bytes) -> Op:
    """Appends: what a descriptor just opened with trunc writes."""
    return Op("write", fd=fd, data=data)


def rename(path: str, target: str) -> Op:
    return Op("rename", path, target)


def link(path: str, target: str) -> Op:
    return Op("link", path, target)


def unlink(path: str) -> Op:
    return Op("unlink", path)


def stat(path: str) -> Op:
    """The result is the number of links."""
    return Op("stat", path)


def fstat(fd: int) -> Op:
    return Op("fstat", fd=fd)


def fsync(fd: int) -> Op:
    return Op("fsync", fd=fd)


def names() -> Op:
    """The result is a tuple of the names in the directory."""
    return Op("getdents")


def flock(fd: int, *flags: str) -> Op:
    """Flags: shared, try."""
    return Op("flock", fd=fd, flags=frozenset(flags))


def unlock(fd: int) -> Op:
    return Op("unlock", fd=fd)


def alive(agent: int) -> Op:
    """The result is whether the agent has not ended."""
    return Op("alive", fd=agent)


def sleep() -> Op:
    return Op("sleep")


@dataclass
class Inode:
    """A file: its number says who created it, so it is the same in every interleaving."""

    number: Hashable
    content: bytes = b""
    links: int = 0
    holders: dict[int, bool] = field(default_factory=dict)  # agent → whether it is shared


@dataclass
class _Agent:
    body: Generator[Op, Any, Hashable]
    next: Op | None = None
    fds: list[Inode] = field(default_factory=list)
    answer: Hashable = None
    created: int = 0
    results: list[Hashable] = field(default_factory=list)


class World:
    """The file system and the agents."""

    def __init__(self, programs: Sequence[Program], files: dict[str, bytes]) -> None:
        self.entries = {path: Inode(("file", path), data, links=1) for path, data in files.items()}
        self.agents = [_Agent(program()) for program in programs]
        self.over: list[tuple[int, int]] = []
        """Operations that have ended: (agent, its number)."""
        self.preceded: list[Hashable] = []
        """For each operation that began: which of others were over then."""
        for number in range(len(self.agents)):
            self._advance(number, None)

    def calls(self) -> tuple[list[Call], list[Call]]:
        """(enabled, blocked): the next call of each agent that has one."""
        enabled, blocked = list[Call](), list[Call]()
        for number, agent in enumerate(self.agents):
            if agent.next is not None:
                held = self._held(number, agent.next)
                waits = held and "try" not in agent.next.flags
                (blocked if waits else enabled).append(self._call(number, agent.next, held))
        return enabled, blocked

    def do(self, number: int) -> int | None:
        """Do the agent's next call; its result where that is a number."""
        agent = self.agents[number]
        assert agent.next is not None
        edge = agent.next.edge
        if edge in ("begins", "both"):
            self.preceded.append((number, len(agent.results), frozenset(op for op in self.over if op[0] != number)))
        result = self._do(number, agent, agent.next)
        if edge in ("ends", "both"):
            self.over.append((number, len(agent.results)))
        agent.results.append(result)
        self._advance(number, result)
        return result if isinstance(result, int) else len(result) if isinstance(result, bytes) else 0

    def edge(self, number: int) -> str:
        """Of the agent's next call."""
        op = self.agents[number].next
        return op.edge if op is not None else ""

    def outcome(self) -> Hashable:
        """What can be seen at the end: the files, what each program was answered and returned, and which operations
        were over when which began.
        """
        files = tuple(sorted((path, inode.content) for path, inode in self.entries.items()))
        return (
            files,
            frozenset(self.preceded),
            tuple((agent.answer, tuple(agent.results), agent.next is None) for agent in self.agents),
        )

    def _advance(self, number: int, result: object) -> None:
        agent = self.agents[number]
        try:
            agent.next = agent.body.send(result)
        except StopIteration as stop:
            agent.answer = stop.value
            held = any(number in inode.holders for inode in agent.fds)
            agent.next = Op("exit") if held else None

    def _held(self, number: int, op: Op) -> bool:
        if op.name != "flock":
            return False
        others = [shared for holder, shared in self._inode(number, op.fd).holders.items() if holder != number]
        return bool(others) and not ("shared" in op.flags and all(others))

    def _inode(self, number: int, fd: int) -> Inode:
        fds = self.agents[number].fds
        return fds[fd] if 0 <= fd < len(fds) else Inode(("none", number))

    def _call(self, number: int, op: Op, held: bool) -> Call:
        accesses, lock = self._accesses(number, op)
        text = " ".join([op.name, op.path, op.target, *sorted(op.flags), op.data.decode()]).strip()
        spins = op.name == "sleep" or (held and "try" in op.flags)
        return Call(number, 0, op.name, " ".join(text.split()), tuple(accesses), spins=spins, lock=lock)

    def _accesses(self, number: int, op: Op) -> tuple[list[Access], str]:
        def entry(path: str, writes: bool) -> list[Access]:
            listing = [Access(("listing", DIRECTORY), False)] if writes else []
            return [Access(("entry", DIRECTORY, path), writes), *listing]

        def links(inode: Inode | None, writes: bool) -> list[Access]:
            return [] if inode is None else [Access(("links", inode.number), writes)]

        inode, there = self._inode(number, op.fd), self.entries.get(op.path)
        content = ("inode", inode.number)
        match op.name:
            case "open":
                truncates = [Access(("inode", there.number), True)] if there and "trunc" in op.flags else []
                return entry(op.path, there is None and "create" in op.flags) + truncates, ""
            case "read" | "write":
                return [Access(content, op.name == "write")], ""
            case "stat" | "fstat":
                return (entry(op.path, False) + links(there, False)) if op.path else links(inode, False), ""
            case "rename":
                target = self.entries.get(op.target)
                return entry(op.path, True) + entry(op.target, True) + links(target, True), ""
            case "link":
                return entry(op.path, False) + entry(op.target, True) + links(there, True), ""
            case "unlink":
                return entry(op.path, True) + links(there, True), ""
            case "getdents":
                return [Access(("listing", DIRECTORY), True)], ""
            case "flock":
                use = "tries" if "try" in op.flags else "waits"
                return [Access(("lock", inode.number, "flock"), "shared" not in op.flags)], use
            case "unlock":
                held = number in inode.holders
                return ([Access(("lock", inode.number, "flock"), True)], "frees") if held else ([], "")
            case "exit":
                locks = {each.number for each in self.agents[number].fds if number in each.holders}
                return [Access(("lock", each, "flock"), True) for each in sorted(locks, key=str)], "frees"
            case "alive":
                return [Access(("life", op.fd), False)], ""
        return [], ""

    def _do(self, number: int, agent: _Agent, op: Op) -> Any:
        inode, there = self._inode(number, op.fd), self.entries.get(op.path)
        match op.name:
            case "open":
                if there is None and "create" not in op.flags:
                    return -errno.ENOENT
                if there is not None and "excl" in op.flags:
                    return -errno.EEXIST
                if there is None:
                    agent.created += 1
                    there = self.entries[op.path] = Inode((number, agent.created), links=1)
                if "trunc" in op.flags:
                    there.content = b""
                agent.fds.append(there)
                return len(agent.fds) - 1
            case "read":
                return inode.content
            case "write":
                inode.content += op.data
                return len(op.data)
            case "stat" | "fstat":
                seen = there if op.path else inode
                return -errno.ENOENT if seen is None else seen.links
            case "rename" | "link":
                return self._rename_or_link(op, there)
            case "unlink":
                if there is None:
                    return -errno.ENOENT
                there.links -= 1
                del self.entries[op.path]
                return 0
            case "getdents":
                return tuple(sorted(self.entries))
            case "flock":
                if self._held(number, op):
                    return -errno.EAGAIN
                inode.holders[number] = "shared" in op.flags
            case "unlock":
                inode.holders.pop(number, None)
            case "alive":
                return int(op.fd < len(self.agents) and self.agents[op.fd].next is not None)
            case "exit":
                for each in agent.fds:
                    each.holders.pop(number, None)
        return 0

    def _rename_or_link(self, op: Op, there: Inode | None) -> int:
        target = self.entries.get(op.target)
        if there is None:
            return -errno.ENOENT
        if op.name == "link":
            if target is not None:
                return -errno.EEXIST
            there.links += 1
        elif there is not target:
            if target is not None:
                target.links -= 1
            del self.entries[op.path]
        self.entries[op.target] = there
        return 0


def execute(
    scheduler: Scheduler, programs: Sequence[Program], files: dict[str, bytes],
    check: Callable[[World], bool] = lambda world: True, steps_max: int = 500,
) -> Execution:  # fmt: skip
    """Run the programs once. It fails if ``check`` is False of the world at the end, and if it ends in a deadlock."""
    world, trace = World(programs, files), list[Step]()
    ending, diverged, blocked = Ending.DONE, None, list[Call]()
    try:
        while True:
            enabled, blocked = world.calls()
            if not enabled or len(trace) == steps_max:
                ending = Ending.CUT if enabled else Ending.DEADLOCK if blocked else Ending.DONE
                break
            call = enabled[scheduler.pick(enabled, tuple(trace))]
            edge = world.edge(call.agent)
            trace.append(Step(len(trace), call, world.do(call.agent), edge))
    except Diverged as error:
        ending, diverged = Ending.DIVERGED, error
    except Abandoned:
        ending = Ending.ABANDONED
    try:
        scheduler.end(tuple(trace), tuple(blocked))
    except Diverged as error:
        ending, diverged = Ending.DIVERGED, error
    failed = ending is Ending.DEADLOCK or (ending is Ending.DONE and not check(world))
    return Execution(tuple(trace), ending, world.outcome(), failed, tuple(blocked), (), diverged)


def runner(
    programs: Sequence[Program], files: dict[str, bytes], check: Callable[[World], bool] = lambda world: True
) -> Run:
    """`execute` of these programs, as the schedulers' loops want it."""
    return lambda scheduler: execute(scheduler, programs, files, check)
