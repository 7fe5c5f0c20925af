"""DPOR over small programs of real file syscalls: it has the outcomes of every schedule, and each class has one.

``STRESS_RANDOM_PROGRAMS`` is the number of random ones; three thousand take an hour.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import random
import stat
import struct
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import pytest

from stress.schedulers.dpor import Dpor
from stress.schedulers.execution import Ending, Execution, Run, Tally, executions
from stress.schedulers.exhaustive import Exhaustive
from stress.syscalls import Supervisor, Warm
from stress.syscalls.calls import Abandoned, Diverged, Scheduler
from tests.stress.schedulers.test_dpor import order, outcomes

PROGRAMS = int(os.environ.get("STRESS_RANDOM_PROGRAMS", "140")) // 14
SCHEDULES_MAX = 300
NOBODY = 65_534
ENDINGS = {"done": Ending.DONE, "deadlock": Ending.DEADLOCK}
OFD_SETLK, OFD_SETLKW, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, AT_FDCWD = 37, 38, 0x1000, 0x400, -100
NOREPLACE, EXCHANGE = 1, 2

Line = tuple[str, str, str, int]
"""A call: its kind, two paths, a number that says the rest."""

libc = ctypes.CDLL(None, use_errno=True)


class Doer:
    """What one agent has open, and how it does each kind of call."""

    def __init__(self) -> None:
        self.files: list[int] = []
        self.directories: list[int] = []

    def do(self, line: Line) -> object:
        kind, path, other, number = line
        try:
            result = KINDS[kind](self, path, other, number)
        except OSError as error:
            return errno.errorcode.get(error.errno or 0)
        return _said(result) if isinstance(result, os.stat_result) else result

    @property
    def file(self) -> int:
        return self.files[-1] if self.files else 99

    @property
    def directory(self) -> int | None:
        return self.directories[-1] if self.directories else None

    def opens(self, path: str, flags: int, directory: int | None = None) -> str:
        self.files.append(os.open(path, flags, 0o644, dir_fd=directory))
        return "open"

    def enters(self, path: str) -> str:
        self.directories.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY))
        return "open"

    def closes(self, number: int) -> None:
        if self.files:
            os.close(self.files.pop(number % len(self.files)))

    def names_a_temp_file(self, path: str) -> None:
        file = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o644)
        try:
            os.write(file, b"T")
            _c("linkat", AT_FDCWD, b"/proc/self/fd/%d" % file, AT_FDCWD, os.fsencode(path), AT_SYMLINK_FOLLOW)
        finally:
            os.close(file)

    def locks(self, command: int, type: int, start: int, length: int) -> None:
        fcntl.fcntl(self.file, command, struct.pack("hhqqi4x", type, os.SEEK_SET, start, length, 0))

    def end(self) -> None:
        for file in (*self.files, *self.directories):
            os.close(file)


def _c(name: str, *args: object) -> None:
    if getattr(libc, name)(*args) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _said(status: os.stat_result) -> list[int]:
    """What is told of a file's status; of a directory not what depends on the file system."""
    told = [] if stat.S_ISDIR(status.st_mode) else [status.st_nlink, status.st_size]
    return [status.st_mode, *told]


def _of_name(path: str) -> str:
    return path.rpartition("/")[2]


READS, WRITES = os.O_RDONLY, os.O_RDWR
KINDS: dict[str, Callable[[Doer, str, str, int], object]] = {
    "open": lambda a, p, q, n: a.opens(p, (READS, WRITES, WRITES | os.O_TRUNC, READS | os.O_NOFOLLOW)[n % 4]),
    "create": lambda a, p, q, n: a.opens(p, os.O_CREAT | WRITES | (0, os.O_EXCL, os.O_APPEND)[n % 3]),
    "open with a slash": lambda a, p, q, n: a.opens(f"{p}/", READS),
    "open a directory": lambda a, p, q, n: a.enters(p),
    "open in it": lambda a, p, q, n: a.opens(_of_name(p), WRITES | (0, os.O_CREAT)[n % 2], a.directory),
    "reopen": lambda a, p, q, n: a.opens(f"/proc/self/fd/{a.file}", WRITES | (0, os.O_TRUNC)[n % 2]),
    "duplicate": lambda a, p, q, n: a.files.append(os.dup(a.file)),
    "duplicate over": lambda a, p, q, n: os.dup2(a.file, a.files[0]) and None if a.files else None,
    "close": lambda a, p, q, n: a.closes(n),
    "read": lambda a, p, q, n: os.pread(a.file, 9, n % 2).decode() if n % 3 else os.read(a.file, 9).decode(),
    "write": lambda a, p, q, n: os.pwrite(a.file, b"PQ", n % 3) if n % 2 else os.write(a.file, b"XYZ"),
    "cut": lambda a, p, q, n: os.ftruncate(a.file, n % 3) if n % 2 else os.truncate(p, n % 3),
    "seek": lambda a, p, q, n: os.lseek(a.file, 0, os.SEEK_END),
    "copy": lambda a, p, q, n: os.copy_file_range(a.files[0] if a.files else 99, a.file, 3, 0, 0),
    "send": lambda a, p, q, n: os.sendfile(a.file, a.files[0] if a.files else 99, 0, 3),
    "link": lambda a, p, q, n: os.link(p, q, follow_symlinks=bool(n % 2)),
    "link what is open": lambda a, p, q, n: _c("linkat", a.file, b"", AT_FDCWD, os.fsencode(q), AT_EMPTY_PATH),
    "name a temp file": lambda a, p, q, n: a.names_a_temp_file(p),
    "symlink": lambda a, p, q, n: os.symlink(p, q),
    "rename": lambda a, p, q, n: os.rename(p, q),
    "rename without": lambda a, p, q, n: _c(
        "renameat2", AT_FDCWD, os.fsencode(p), AT_FDCWD, os.fsencode(q), (NOREPLACE, EXCHANGE)[n % 2]
    ),
    "rename in it": lambda a, p, q, n: os.rename(_of_name(p), q, src_dir_fd=a.directory),
    "unlink": lambda a, p, q, n: os.unlink(p),
    "unlink in it": lambda a, p, q, n: os.unlink(_of_name(p), dir_fd=a.directory),
    "mkdir": lambda a, p, q, n: os.mkdir(p),
    "mkdir in it": lambda a, p, q, n: os.mkdir(_of_name(p), dir_fd=a.directory),
    "rmdir": lambda a, p, q, n: os.rmdir(p),
    "stat": lambda a, p, q, n: os.stat(p),
    "lstat": lambda a, p, q, n: os.lstat(f"{p}{('', '/', '/.')[n % 3]}"),
    "fstat": lambda a, p, q, n: os.fstat(a.file),
    "access": lambda a, p, q, n: os.access(p, (os.R_OK, os.W_OK, os.X_OK, os.F_OK)[n % 4]),
    "read link": lambda a, p, q, n: os.readlink(p),
    "list": lambda a, p, q, n: sorted(os.listdir(p)),
    "list it": lambda a, p, q, n: sorted(os.listdir(a.directory)),
    "enter": lambda a, p, q, n: os.chdir(p) if a.directory is None else os.fchdir(a.directory),
    "chmod": lambda a, p, q, n: os.chmod(p, (0, 0o755, 0o444, 0)[n % 4]),
    "fchmod": lambda a, p, q, n: os.fchmod(a.file, (0, 0o755)[n % 2]),
    "lock": lambda a, p, q, n: fcntl.flock(a.file, (fcntl.LOCK_SH, fcntl.LOCK_EX)[n % 2]),
    "try": lambda a, p, q, n: fcntl.flock(a.file, fcntl.LOCK_NB | (fcntl.LOCK_SH, fcntl.LOCK_EX)[n % 2]),
    "unlock": lambda a, p, q, n: fcntl.flock(a.file, fcntl.LOCK_UN),
    "lock a part": lambda a, p, q, n: a.locks(
        (fcntl.F_SETLKW, OFD_SETLKW, fcntl.F_SETLK, OFD_SETLK)[n % 4],
        (fcntl.F_WRLCK, fcntl.F_RDLCK, fcntl.F_UNLCK)[n % 3], n % 2, n % 5 % 3,
    ),
}  # fmt: skip
GROUPS: dict[str, Sequence[str]] = {
    "directories": [
        "open a directory", "open in it", "rename", "rename", "rename without", "rename in it", "link", "symlink",
        "unlink", "unlink in it", "mkdir", "mkdir in it", "rmdir", "rmdir", "stat", "lstat", "read link", "list",
        "list it", "enter", "create", "open with a slash",
    ],
    "locks": [
        "open", "reopen", "duplicate", "duplicate over", "close", "lock", "try", "unlock", "lock a part", "write",
    ],
    "modes": [
        "chmod", "chmod", "chmod", "fchmod", "open", "create", "access", "open a directory", "open in it", "list",
        "stat", "mkdir", "rename", "unlink", "link",
    ],
    "content": [
        "open", "create", "reopen", "read", "write", "cut", "seek", "copy", "send", "fstat", "duplicate", "close",
        "link", "link what is open", "name a temp file", "unlink", "rename", "stat",
    ],
}  # fmt: skip
NAMES = ["a", "b", "n", "d", "e", "d/x", "d/n", "s", "s/x", "l"]


def programs(seed: int, kinds: Sequence[str]) -> list[list[Line]]:
    """Two or three, of few kinds over few names, so that they meet."""
    stream = random.Random(seed)
    lengths: Sequence[int] = stream.choice([(4, 3), (3, 3), (4, 2), (2, 2, 1)])
    names, few = stream.sample(NAMES, 4), stream.sample(kinds, min(len(kinds), 7))
    made = []
    for length in lengths:
        lines = [(stream.choice(few), stream.choice(names), stream.choice(names), 0) for _ in range(length)]
        if stream.random() < 0.7:
            lines[0] = (kinds[0] if kinds[0].startswith("open") else "open", stream.choice(["a", "d"]), "", 0)
        made.append([(kind, path, other, stream.randrange(60)) for kind, path, other, _ in lines])
    return made


def doing(program: Sequence[Line]) -> Callable[[int], None]:
    """An agent that does a program as an ordinary user, and prints what came of each call."""

    def act(_: int) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        home, doer = os.open(".", os.O_RDONLY), Doer()
        for line in program:
            os.write(1, f"{line[0]}: {doer.do(line)}\n".encode())
        doer.end()
        os.fchdir(home)
        os.close(home)

    return act


def lay_out(shared: Path) -> None:
    _empty(shared)
    for name in ("d", "e"):
        (shared / name).mkdir()
    for name, text in (("a", "123"), ("b", "45"), ("d/x", "7")):
        (shared / name).write_text(text)
    (shared / "s").symlink_to("d")
    (shared / "l").symlink_to("a")
    if os.geteuid() == 0:
        for path in (shared, *shared.rglob("*")):
            os.lchown(path, NOBODY, NOBODY)


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
            _empty(path)
            path.rmdir()
        else:
            path.unlink()


def left(directory: Path) -> Hashable:
    """What is there in the end: types, modes, content, and which names are one file."""
    inodes: dict[int, Path] = {}

    def told(path: Path) -> Hashable:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return os.readlink(path)
        if stat.S_ISDIR(status.st_mode):
            path.chmod(0o700)
            return stat.S_IMODE(status.st_mode), left(path)
        path.chmod(0o600)
        return stat.S_IMODE(status.st_mode), path.read_bytes(), inodes.setdefault(status.st_ino, path)

    return tuple((path.name, told(path)) for path in sorted(directory.iterdir()))


def compare(supervisor: Supervisor, shared: Path, written: Sequence[Sequence[Line]]) -> int:
    """Check DPOR against every schedule; how many there are, 0 where they are too many."""
    agents = [Warm(doing(program)) for program in written]

    def run(scheduler: Scheduler) -> Execution:
        lay_out(shared)
        try:
            ran = supervisor.run(agents, scheduler)
        except Diverged as error:
            return Execution((), Ending.DIVERGED, diverged=error)
        except Abandoned:
            return Execution((), Ending.ABANDONED)
        assert all(not errors for _, errors in ran.outputs), ran.outputs
        ending = ENDINGS.get(ran.ending, Ending.CUT)
        return Execution(ran.trace, ending, (left(shared), ran.statuses, ran.outputs), False, ran.blocked)

    every = _some(run, Exhaustive())
    if len(every) > SCHEDULES_MAX:
        return 0
    scheduler, tally = Dpor(), Tally()
    chosen = list(executions(run, scheduler))
    for execution in chosen:
        tally.add(execution)
    assert scheduler.proved(tally), next((each.diverged for each in chosen if each.diverged), tally.endings)
    classes: dict[Hashable, Execution] = {}
    for execution in every:
        first = classes.setdefault(order(execution), execution)
        assert outcomes([first]) == outcomes([execution]), _said_of(first, execution)
    assert outcomes(chosen) == outcomes(every)
    assert scheduler.schedules == len(every)
    return len(every)


def _some(run: Run, scheduler: Exhaustive) -> list[Execution]:
    done: list[Execution] = []
    for execution in executions(run, scheduler):
        done.append(execution)
        if len(done) > SCHEDULES_MAX:
            break
    return done


def _said_of(*executed: Execution) -> str:
    steps = [" | ".join(f"{step.call.agent}: {step.call.text}" for step in each.trace) for each in executed]
    return "\n".join(f"{step}\n  {each.outcome}" for step, each in zip(steps, executed, strict=True))


@pytest.mark.parametrize("group", GROUPS)
def test_random_programs_have_the_outcomes_of_every_schedule(supervisor: Supervisor, shared: Path, group: str) -> None:
    counts = [compare(supervisor, shared, programs(seed, GROUPS[group])) for seed in range(PROGRAMS)]
    assert sum(counts) > PROGRAMS


OPEN, DIRECTORY = ("open", "a", "", 1), ("open a directory", "d", "", 0)
WRONG_ONCE: dict[str, Sequence[Sequence[Line]]] = {
    "a file that others may open no more": [[("chmod", "a", "", 0)], [OPEN]],
    "a directory that others may pass no more": [[("chmod", "d", "", 0)], [("open", "d/x", "", 0)]],
    "a directory in which nobody may make a file": [[("chmod", "d", "", 2)], [("create", "d/n", "", 0)]],
    "a symlink with a slash behind it": [[("lstat", "s", "", 1)], [("rename", "d", "n", 0)]],
    "what is open, opened again and truncated": [[OPEN, ("reopen", "", "", 1)], [OPEN, ("read", "", "", 0)]],
    "a directory that is removed from under a process": [
        [("open a directory", "e", "", 0), ("open in it", "n", "", 1), ("lstat", "../a", "", 0)],
        [("rmdir", "e", "", 0)],
    ],
    "locks of different parts": [
        [OPEN, ("lock a part", "", "", 36), ("write", "", "", 0)],  # from byte 0, one byte
        [OPEN, ("lock a part", "", "", 45), ("read", "", "", 0)],  # from byte 1, all
    ],
    "a part that is locked twice": [
        [OPEN, ("lock a part", "", "", 24), ("lock a part", "", "", 12), ("lock a part", "", "", 32)],
        [OPEN, ("lock a part", "", "", 8), ("lock a part", "", "", 51)],
    ],
    "a lock that a duplicate keeps": [
        [OPEN, ("duplicate", "", "", 0), ("lock", "", "", 1), ("close", "", "", 1), ("write", "", "", 0)],
        [OPEN, ("try", "", "", 1)],
    ],
    "a lock that is given back by who has it not": [
        [("open", "a", "", 51), ("unlock", "", "", 33), ("write", "", "", 39), ("reopen", "", "", 13)],
        [("open", "a", "", 52), ("lock", "", "", 55), ("lock", "", "", 1)],
    ],
}


@pytest.mark.parametrize("name", WRONG_ONCE)
def test_programs_that_were_wrong_once(supervisor: Supervisor, shared: Path, name: str) -> None:
    assert compare(supervisor, shared, WRONG_ONCE[name])
