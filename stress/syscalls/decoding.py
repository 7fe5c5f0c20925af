"""From a stopped syscall to a scheduling point: what it is about to do to the shared directory, and in which words.

A rule a kind of syscall. A point says what is so *now*: it is decoded again after a step that touched the same entries.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from stress.syscalls import kernel, locks
from stress.syscalls.calls import Access
from stress.syscalls.errors import Undecided
from stress.syscalls.kernel import signed
from stress.syscalls.names import Names, Opened, Place
from stress.syscalls.point import Point, of_process
from stress.syscalls.tables import Watched
from stress.syscalls.touched import ROOT, attributes, changes, links, reads, status, way

_AT_FDCWD = -100
_AT_EMPTY_PATH, _AT_SYMLINK_NOFOLLOW, _AT_SYMLINK_FOLLOW, _AT_REMOVEDIR = 0x1000, 0x100, 0x400, 0x200
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_O_TMPFILE = 0o20000000
_MAGIC = re.compile(
    r"/proc/(?P<who>self|thread-self|\d+)(/task/\d+)?/(?P<what>cwd|root|fd/(?P<fd>\d+))(?P<rest>(/.*)?)", re.S
)
_PROCESS = re.compile(r"/proc/+(\d+)(?![^/])")
_DEVICES = re.compile(r"/dev/(?:fd(?=/\d)|std(in|out|err)\Z)")
_MODES = {fcntl.LOCK_SH: "shared ", fcntl.LOCK_EX: "", fcntl.LOCK_UN: ""}


MARK = "/.stress/mark/"
"""A path that begins so is a message to the supervisor, in any language: ``[[ -e /.stress/mark/TEXT ]]``."""


class Marked(Exception):
    """A syscall is a message to the supervisor. Its text is the argument."""


Rule: TypeAlias = "Callable[[int, Watched, tuple[int, ...]], Point | None]"
"""Decodes a kind of syscall of a thread: (thread, row, arguments)."""


class Decoder:
    """Decodes the syscalls of processes that share the directory of ``names``.

    Args:
        real_pid: The real pid of a process with a virtual one; None if there is none.
        owners: The agent of each process, by its real pid and by its virtual one.
    """

    def __init__(self, names: Names, real_pid: Callable[[int], int | None], owners: Mapping[int, int]) -> None:
        self._names, self._real_pid, self._owners = names, real_pid, owners
        self._rules: dict[str, Rule | None] = {}
        self._asked: int | None = None  # the agent whose process the path of the call is about
        self._outside = ""  # the path of the call that leads elsewhere
        self._made: dict[str, int] = {}  # path elsewhere → who was the first to make it
        self.opens_random = False
        """Whether a path was that of a device of random numbers, since this was last set to False."""
        self.is_inside = False
        """Whether the call that was decoded last is about the shared directory, be it no point."""

    def begin(self) -> None:
        """A new execution."""
        self._made.clear()

    def point(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        """The scheduling point of a syscall of thread ``pid``; None if it does not touch the shared directory."""
        verb = row.verb
        if verb not in self._rules:
            self._rules[verb] = getattr(self, f"_{verb}", None)
        rule = self._rules[verb]
        self._asked = None
        point = None if rule is None else rule(pid, row, args)
        self.is_inside = point is not None
        if self._asked not in (None, self._owners.get(pid)):
            return of_process(self._asked, point)
        if point is None or (point.touches and not point.changes and point.touches <= ROOT):
            return None
        return point

    # Operands

    def _places(self, pid: int, row: Watched, args: tuple[int, ...], follow: bool) -> list[Place | None]:
        """Where each path of the call leads; None for one that is not in the shared directory."""
        places: list[Place | None] = []
        for directory, at in row.paths:
            path, base = kernel.read_string(pid, args[at]), ""
            if path[:1] != "/":
                descriptor = _AT_FDCWD if directory is None else signed(args[directory])
                base = self._names.base(pid, None if descriptor == _AT_FDCWD else descriptor)
            elif path.startswith(MARK):
                raise Marked(path[len(MARK) :])
            elif path in RANDOM:
                self.opens_random = True
            elif path.startswith("/proc/"):
                path = self._in_proc(pid, args[at], path)
            if path.startswith(("/proc/", "/dev/")) and (link := _MAGIC.fullmatch(_DEVICES.sub(_of_device, path))):
                places.append(self._through(pid, link, follow))
            else:
                leads_on = path.endswith(("/", "/.")) and row.verb not in _OF_ENTRIES  # what a symlink is followed for
                places.append(self._names.place(base, path, follow or leads_on))
                if path.rstrip("/") == "/proc" and row.verb == "open":
                    raise Undecided(_LISTS)
                if places[-1] is None:
                    self._outside = path if path[:1] == "/" else f"{base}/{path}"
        return places

    def _through(self, pid: int, link: re.Match[str], follow: bool) -> Place | None:
        """Where a path leads that begins with a link to what a process has open, or to where it is."""
        own, rest = f"/proc/{pid}" if link["who"].endswith("self") else f"/proc/{link['who']}", link["rest"]
        if not rest and not follow:
            return None  # the link itself, which lies outside
        if link["fd"] is not None and not rest:
            file = self._names.opened(int(own[len("/proc/") :]), int(link["fd"]))
            return None if file is None else self._names.unnamed(file)
        return self._names.place("/", os.readlink(f"{own}/{link['what']}") + rest, follow)

    def _in_proc(self, pid: int, address: int, path: str) -> str:
        """A path that has a virtual pid, as in ``[[ -d /proc/$$ ]]``: the process gets that with the real one."""
        match = _PROCESS.match(path)
        if match is None:
            return path
        virtual = match[1]
        self._asked = self._owners.get(int(virtual))
        real = self._real_pid(int(virtual))
        if real is None or str(real) == virtual:
            return path
        path = path.replace(virtual, str(real).rjust(len(virtual), "/"), 1)
        kernel.patch(pid, {address: os.fsencode(path)})
        return path

    def _place(self, pid: int, row: Watched, args: tuple[int, ...], follow: bool = True) -> Place | None:
        return self._places(pid, row, args, follow)[0]

    def _without_path(self, pid: int, args: tuple[int, ...]) -> Opened | None:
        """What the descriptor of a call stands for whose path is empty; None if it is not."""
        return None if kernel.read(pid, args[1], 1).strip(b"\0") else self._names.opened(pid, signed(args[0]))

    def _make_outside(self, pid: int) -> None:
        """What two make, and only one of them can, is a lock. Outside, nobody decides who is first."""
        path, agent = os.path.normpath(self._outside), self._owners.get(pid, 0)
        if "/__pycache__" in path or (path not in self._made and os.path.lexists(path)):
            return
        first = self._made.setdefault(path, agent)
        if first != agent:
            raise Undecided(
                f"makes {path!r} as agent {first + 1} does, which is not in the shared directory: nobody decides who "
                "is first there; let it lie in it"
            )

    def _file(self, pid: int, row: Watched, args: tuple[int, ...]) -> Opened | None:
        return self._names.opened(pid, signed(args[row.descriptor]))

    # Paths

    def _open(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        if row.name == "openat2":
            flags = int.from_bytes(kernel.read(pid, args[2], 8), "little")
        else:
            flags = args[row.operands.index("o")]
        return self._opening(pid, row, args, flags)

    def _create(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        return self._opening(pid, row, args, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)

    def _opening(self, pid: int, row: Watched, args: tuple[int, ...], flags: int) -> Point | None:
        creates, alone = bool(flags & os.O_CREAT), bool(flags & os.O_EXCL)
        place = self._place(pid, row, args, follow=not (flags & os.O_NOFOLLOW or (creates and alone)))
        if place is None:
            if creates and alone:
                self._make_outside(pid)
            return None
        known: Point | None = place.points.get(flags)
        if known is None:
            known = place.points[flags] = self._opened(place, flags, creates, alone)
        return known

    def _opened(self, place: Place, flags: int, creates: bool, alone: bool) -> Point:
        if flags & _O_TMPFILE == _O_TMPFILE:
            return Point(f"open a file without a name in {place.text}", way(place))
        how = "read" if flags & os.O_ACCMODE == os.O_RDONLY else "write"
        if place.id is None:
            if place.parent is None:
                return Point(f"open {place.text} to {how}", way(place))
            if not creates:
                return Point(f"open {place.text} to {how}", reads(place), -errno.ENOENT)
            return Point(f"create {place.text}", changes(place), creates=place.path, shows=place.path)
        if creates and alone:
            return Point(f"create {place.text}", reads(place), -errno.EEXIST)
        accesses = (*reads(place), Access(("mode", place.id), False))
        if flags & os.O_TRUNC and not place.is_directory:
            accesses = (*accesses, Access(("inode", place.id), True))
            return Point(f"open {place.text} to {how}, truncated", accesses, writes=place.path)
        return Point(f"open {place.text} to {how}", accesses)

    def _stat(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        flags = args[row.operands.index("a")] if "a" in row.operands else 0
        if flags & _AT_EMPTY_PATH:
            file = self._file(pid, _BY_DESCRIPTOR, args)  # from what is no directory no path leads on
            if (file is not None and not file.is_directory) or not kernel.read(pid, args[1], 1).strip(b"\0"):
                return self._fstat(pid, _BY_DESCRIPTOR, args)
        return self._looking(pid, row, args, not flags & _AT_SYMLINK_NOFOLLOW)

    def _lstat(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        return self._looking(pid, row, args, False)

    def _looking(self, pid: int, row: Watched, args: tuple[int, ...], follow: bool) -> Point | None:
        place = self._place(pid, row, args, follow)
        if row.name == "chdir":  # wherever to
            self._names.forget(pid)
        if place is None:
            return None
        known: Point | None = place.points.get(row.name)
        if known is None:
            missing = place.parent is not None and place.id is None
            what = status(place.id) if place.id is not None else ()
            text = f"{_LOOKS.get(row.name, 'stat')} {place.text}"
            looks = "" if row.name in _LOOKS or missing else place.path
            known = place.points[row.name] = Point(text, (*reads(place), *what), _failure(missing), looks=looks)
        return known

    def _readlink(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        place = self._place(pid, row, args, follow=False)
        return None if place is None else Point(f"read link {place.text}", reads(place), _failure(place.id is None))

    def _exec(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        place = self._place(pid, row, args)
        if place is None:
            return None
        content = () if place.id is None else (Access(("inode", place.id), False),)
        return Point(f"execute {place.text}", (*reads(place), *content), _failure(place.id is None))

    def _rename(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        old, new = self._places(pid, row, args, follow=False)
        flags = args[4] if "a" in row.operands else 0
        if old is None and new is None:
            return None
        text = f"rename {old.text if old else '(outside)'} → {new.text if new else '(outside)'}"
        seen = tuple(access for place in (old, new) if place for access in reads(place))
        if old is not None and old.parent is not None and old.id is None:
            return Point(text, seen, -errno.ENOENT)
        if new is not None and new.id is not None and flags & _RENAME_NOREPLACE:
            return Point(text, seen, -errno.EEXIST)
        accesses = [access for place in (old, new) if place for access in changes(place)]
        if new is not None and new.id is not None:
            accesses.append(Access(("links", new.id), True))
        if old is not None and old.id is not None and old.is_directory:
            accesses.append(Access(("mode", old.id), False))  # its own entry of the directory above is changed
        both = " (exchanged)" if flags & _RENAME_EXCHANGE else ""
        return Point(text + both, tuple(accesses), shows=new.path if new else "")

    def _link(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        flags = args[4] if "a" in row.operands else 0
        old, new = self._places(pid, row, args, follow=bool(flags & _AT_SYMLINK_FOLLOW))
        if flags & _AT_EMPTY_PATH and (file := self._without_path(pid, args)) is not None:
            old = self._names.unnamed(file)
        if new is None:
            self._make_outside(pid)
            return None if old is None else Point(f"link {old.text} → (outside)", (*reads(old), *links(old)))
        text = f"link {old.text if old else '(a file without a name)'} → {new.text}"
        missing = old is not None and old.id is None
        if new.id is not None or missing:
            seen = (*reads(new), *(reads(old) if old else ()))
            return Point(text, seen, -errno.ENOENT if missing else -errno.EEXIST)
        return Point(text, (*changes(new), *((*reads(old), *links(old)) if old else ())), shows=new.path)

    def _symlink(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        place = self._place(pid, row, args, follow=False)
        if place is None:
            self._make_outside(pid)
            return None
        target = kernel.read_string(pid, args[0])
        if place.id is not None:
            return Point(f"symlink {place.text} → {target}", reads(place), -errno.EEXIST)
        return Point(f"symlink {place.text} → {target}", changes(place), creates=place.path)

    def _make(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        place = self._place(pid, row, args, follow=False)
        if place is None:
            self._make_outside(pid)
            return None
        if place.id is not None:
            return Point(f"{row.name.removesuffix('at')} {place.text}", reads(place), -errno.EEXIST)
        return Point(f"{row.name.removesuffix('at')} {place.text}", changes(place), creates=place.path)

    def _unlink(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        if "a" in row.operands and args[2] & _AT_REMOVEDIR:
            return self._rmdir(pid, row, args)
        place = self._place(pid, row, args, follow=False)
        if place is None:
            return None
        if place.id is None:
            return Point(f"unlink {place.text}", reads(place), -errno.ENOENT)
        return Point(f"unlink {place.text}", (*changes(place), *links(place)))

    def _rmdir(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        place = self._place(pid, row, args, follow=False)
        if place is None:
            return None
        if place.id is None:
            return Point(f"rmdir {place.text}", reads(place), -errno.ENOENT)
        return Point(f"rmdir {place.text}", (*changes(place), Access(("listing", place.id), True)))

    def _attr(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        flags = args[row.operands.index("a")] if "a" in row.operands else 0
        if row.name == "utimensat" and not args[1]:
            return self._fattr(pid, _BY_DESCRIPTOR, args)
        return self._setting(pid, row, args, not flags & _AT_SYMLINK_NOFOLLOW)

    def _lattr(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        return self._setting(pid, row, args, False)

    def _setting(self, pid: int, row: Watched, args: tuple[int, ...], follow: bool) -> Point | None:
        place = self._place(pid, row, args, follow)
        if place is None:
            return None
        text = f"{row.name.removesuffix('at').removeprefix('f')} {place.text}"
        if place.id is None:
            return Point(text, reads(place), _failure(place.parent is not None))
        now = place.path if row.name.startswith(("utim", "futim")) and not args[row.operands.index("p") + 1] else ""
        return Point(text, (*reads(place), *attributes(row, place.id)), shows=place.path, writes=now)

    def _truncate(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        place = self._place(pid, row, args)
        if place is None:
            return None
        if place.id is None:
            return Point(f"truncate {place.text}", reads(place), _failure(place.parent is not None))
        accesses = (*reads(place), Access(("inode", place.id), True))
        return Point(f"truncate {place.text} to {args[1]} bytes", accesses, writes=place.path)

    # Descriptors

    def _read(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        file = self._file(pid, row, args)
        if file is None:
            return None
        stores = row.name == "mmap" and bool(args[2] & 2 and args[3] & 1)
        what = {"mmap": "map", "lseek": "seek the end of"}.get(row.name, "read")
        return _of(file, (what, stores), lambda: Point(f"{what} {file.text}", (Access(("inode", file.id), stores),)))

    def _write(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        file = self._file(pid, row, args)
        if file is None:
            return None
        text = {
            "ftruncate": f"truncate {file.text} to {args[1]} bytes",
            "write": f"write {args[2]} bytes to {file.text}",
            "pwrite64": f"write {args[2]} bytes to {file.text} at {args[3]}",
        }.get(row.name, f"{row.name} {file.text}")
        return Point(text, (Access(("inode", file.id), True),), writes=file.path)

    def _copy(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        ends = [at for at, letter in enumerate(row.operands) if letter == "f"]
        first, second = (self._names.opened(pid, signed(args[at])) for at in ends)
        source, target = (second, first) if row.name == "sendfile" else (first, second)
        if source is None and target is None:
            return None
        text = f"copy {source.text if source else '(outside)'} → {target.text if target else '(outside)'}"
        both = ((source, False), (target, True))
        accesses = tuple(Access(("inode", end.id), writes) for end, writes in both if end)
        return Point(text, accesses, writes=target.path if target else "")

    def _list(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        file = self._file(pid, row, args)
        return None if file is None else Point(f"list {file.text}", (Access(("listing", file.id), True),))

    def _fstat(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        if row.name == "fchdir":
            self._names.forget(pid)
        file = self._file(pid, row, args)
        if file is None:
            return None
        return _of(file, "stat", lambda: Point(f"stat {file.text}", status(file.id), looks=file.path))

    def _fattr(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        file = self._file(pid, row, args)
        if file is None:
            return None
        now = file.path if row.name == "utimensat" and not args[2] else ""
        return Point(f"{row.name} {file.text}", attributes(row, file.id), shows=file.path, writes=now)

    def _sync(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        """Nothing crashes here, so nothing has to reach the disk: it is answered, and costs no time."""
        file = self._file(pid, row, args)
        if file is None:
            return None
        return _of(file, row.name, lambda: Point(f"{row.name} {file.text}", result=0, answer=0))

    # Locks

    def _flock(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        file = self._locked(pid, row, args)
        return None if file is None else self._locking(file, locks.flock(pid, signed(args[0]), args[1]))

    def _fcntl(self, pid: int, row: Watched, args: tuple[int, ...]) -> Point | None:
        file = self._locked(pid, row, args)
        if file is None:
            return None
        request = locks.record(pid, signed(args[0]), args[1], kernel.read(pid, args[2], 32))
        if request is None:
            return Point(f"ask for the lock of {file.text}", (Access(("lock", file.id, "record"), False),))
        return self._locking(file, request)

    def _locked(self, pid: int, row: Watched, args: tuple[int, ...]) -> Opened | None:
        """A file that is locked, wherever it lies: a lock outside keeps others from the shared directory as well."""
        return self._file(pid, row, args) or self._names.elsewhere(pid, signed(args[row.descriptor]))

    def _locking(self, file: Opened, request: locks.Request) -> Point:
        kind = "flock" if request.kind == "flock" else "record"
        accesses: tuple[Access, ...] = (Access(("lock", file.id, kind), request.mode != fcntl.LOCK_SH),)
        if not request.is_whole:  # others may hold other parts at the same time
            accesses = (Access(("lock", file.id, kind), True), Access(("part", file.id, kind), False))
        if request.mode == fcntl.LOCK_UN:
            return Point(f"unlock {file.text}", accesses, lock=request, effect="frees")
        if request.waits:
            return Point(f"lock {_MODES[request.mode]}{file.text}", accesses, lock=request, effect="waits")
        failure = None if locks.is_free(request) else -errno.EWOULDBLOCK
        return Point(f"try to lock {_MODES[request.mode]}{file.text}", accesses, failure, lock=request, effect="tries")


UUID = "/proc/sys/kernel/random/uuid"
RANDOM = ("/dev/urandom", "/dev/random", UUID)
_LISTS = (
    "lists the processes of the machine, as ps and pgrep do, which have other pids there than they are told; "
    "kill -0 PID and /proc/PID are answered as they should be"
)
_BY_DESCRIPTOR = Watched("utimensat", "", "f")
"""A call whose path is empty, so that it is about the descriptor."""

_OF_ENTRIES = frozenset({"rename", "link", "symlink", "unlink", "rmdir", "make"})
_LOOKS = {"access": "access", "faccessat": "access", "faccessat2": "access", "chdir": "enter"}


def is_of_descriptor(row: Watched, args: tuple[int, ...]) -> bool:
    """Whether a call of stat has no path: that is how libc asks for the status of a descriptor."""
    return row.name == "newfstatat" and bool(args[3] & _AT_EMPTY_PATH)


def _of(file: Opened, key: object, make: Callable[[], Point]) -> Point:
    """A point that depends on the file alone: it is made once for as long as no entry changes."""
    known: Point | None = file.points.get(key)
    if known is None:
        known = file.points[key] = make()
    return known


def _of_device(name: re.Match[str]) -> str:
    """What ``/dev/fd`` and ``/dev/stdin`` are links to, wherever there is a /proc."""
    return "/proc/self/fd" if name[1] is None else f"/proc/self/fd/{('in', 'out', 'err').index(name[1])}"


def _failure(missing: bool) -> int | None:
    return -errno.ENOENT if missing else None
