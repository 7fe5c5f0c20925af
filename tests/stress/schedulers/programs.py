"""Programs for the machine: classic bugs, what they look like without the bug, and random ones."""

from __future__ import annotations

import random
from collections.abc import Generator, Hashable, Sequence
from dataclasses import replace
from typing import Any

from tests.stress.schedulers.machine import (
    Op,
    Program,
    alive,
    flock,
    fstat,
    fsync,
    link,
    names,
    open_,
    read,
    rename,
    sleep,
    stat,
    unlink,
    unlock,
    write,
)  # fmt: skip

Body = Generator[Op, Any, Hashable]


def increment(name: str, lock: str = "") -> Program:
    """Read, add one, write a temporary file, rename; under a lock if that is named."""

    def body() -> Body:
        if lock:
            held = yield open_(lock, "create")
            yield flock(held)
        fd = yield open_("count")
        count = yield read(fd)
        temp = yield open_(f".{name}.tmp", "create")
        yield write(temp, b"%d" % (int(count) + 1))
        yield fsync(temp)
        yield rename(f".{name}.tmp", "count")
        if lock:
            yield unlock(held)
        return None

    return body


def take_two(first: str, second: str) -> Program:
    """Take two locks, one after the other: in opposite orders that is a deadlock."""

    def body() -> Body:
        one = yield open_(first)
        yield flock(one)
        two = yield open_(second)
        yield flock(two)
        yield unlock(two)
        yield unlock(one)
        return None

    return body


def torn_writer() -> Body:
    """Truncate and write in two parts."""
    fd = yield open_("count", "trunc")
    yield write(fd, b"12")
    yield write(fd, b"34")
    return None


def reader() -> Body:
    """What one read gives."""
    fd = yield open_("count")
    content = yield read(fd)
    return bytes(content)


def locked_writer() -> Body:
    """Write the file that it locks."""
    fd = yield open_("lock")
    yield flock(fd)
    yield write(fd, b"1")
    yield unlock(fd)
    return None


def shared_reader() -> Body:
    """Read the file that it locks, shared."""
    fd = yield open_("lock")
    yield flock(fd, "shared")
    content = yield read(fd)
    yield unlock(fd)
    return bytes(content)


def tries_shared() -> Body:
    """Whether a shared lock could be had at once."""
    fd = yield open_("lock")
    taken = yield flock(fd, "shared", "try")
    return bool(taken == 0)


def takes_shared() -> Body:
    """Wait for the shared lock."""
    fd = yield open_("lock")
    yield flock(fd, "shared")
    return None


def tries() -> Body:
    """Whether the lock could be had at once."""
    fd = yield open_("lock")
    taken = yield flock(fd, "try")
    return bool(taken == 0)


def converted(first: str, then: str) -> Program:
    """Take a lock in one mode and then in the other: shared or exclusive."""

    def body() -> Body:
        fd = yield open_("lock")
        yield flock(fd, *({"shared"} & {first}))
        yield flock(fd, *({"shared"} & {then}))
        content = yield read(fd)
        return bytes(content)

    return body


def locks(*modes: str) -> Program:
    """Take the lock in each of these modes: shared, exclusive, or a try for it shared."""

    def body() -> Body:
        fd = yield open_("lock")
        answers = []
        for mode in modes:
            answers.append((yield flock(fd, *({"shared", "try"} & set(mode.split())))))
        return tuple(answers)

    return body


def poll(name: str) -> Program:
    """Try to take the lock, and sleep until that succeeds; then add a letter."""

    def body() -> Body:
        held = yield open_("lock")
        while (yield flock(held, "try")) < 0:
            yield sleep()
        fd = yield open_("count")
        yield write(fd, name.encode())
        yield unlock(held)
        return None

    return body


def lock_file(name: str) -> Program:
    """A lock file made with O_EXCL, and polled for."""

    def body() -> Body:
        while (yield open_("made", "create", "excl")) < 0:
            yield sleep()
        fd = yield open_("count")
        yield write(fd, name.encode())
        yield unlink("made")
        return None

    return body


def random_program(seed: int, length: int, told: bool) -> Program:
    """A straight line of calls on a few shared names, the same for the same seed.

    Args:
        told: Whether operations begin and end with some of them, and others may be asked for.
    """
    stream = random.Random(seed)
    opened = stream.random() < 0.8
    lines = [_line(stream, told) for _ in range(length - opened)]
    if told:
        lines = [(replace(op, edge=stream.choice(["", "begins", "ends", "both"])), kind) for op, kind in lines]

    def body() -> Body:
        fds = [(yield open_("a"))] if opened else []
        answer: list[Hashable] = []
        for op, kind in lines:
            done = replace(op, fd=fds[-1] if fds else -1) if kind == "fd" else op
            result = yield done
            answer.append(result)
            if op.name == "open":
                fds.append(result)
        return tuple(answer)

    return body


def random_programs(seed: int) -> list[Program]:
    """Two or three of them, together small enough for every schedule to be executed."""
    lengths: Sequence[int] = random.Random(seed).choice([(4, 3), (5, 3), (3, 3), (2, 2, 1), (2, 2, 2), (3, 2, 1)])
    return [random_program(seed * 10 + number, length, told=seed % 3 == 0) for number, length in enumerate(lengths)]


def _line(stream: random.Random, told: bool) -> tuple[Op, str]:
    """A call, and ``fd`` if it is done to the descriptor that was opened last."""
    name, other = stream.choice("aaab"), stream.choice("aabc")
    chosen = stream.choice(
        ["open", "create", "trunc", "excl", "read", "read", "write", "write", "write", "rename", "link", "unlink",
         "stat", "fstat", "list", "fsync", "lock", "lock", "shared", "try", "unlock", *["alive"] * told]
    )  # fmt: skip
    match chosen:
        case "open":
            return open_(name), ""
        case "create" | "trunc":
            return open_(name, *{"create", chosen}), ""
        case "excl":
            return open_(name, "create", "excl"), ""
        case "rename":
            return rename(name, other), ""
        case "link":
            return link(name, other), ""
        case "unlink":
            return unlink(name), ""
        case "stat":
            return stat(name), ""
        case "list":
            return names(), ""
        case "write":
            return write(-1, stream.choice([b"x", b"y"])), "fd"
        case "shared" | "try":
            return flock(-1, chosen), "fd"
        case "lock":
            return flock(-1), "fd"
        case "alive":
            return alive(stream.choice([0, 1])), ""
    return {"read": read, "fstat": fstat, "fsync": fsync, "unlock": unlock}[chosen](-1), "fd"
