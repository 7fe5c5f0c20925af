# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Replace a file as a whole: a temp file beside it, made complete and durable, then renamed over it."""

from __future__ import annotations

import errno
import os
from _weakref import ref
from fcntl import LOCK_EX, LOCK_NB, flock

from ._attributes import copy as copy_attributes
from ._attributes import first_mode, list_names
from ._carriers import unlock
from ._descriptors import Leaving, closer, open_owned
from ._errors import CommittedNotDurable, LockLost, fail, failed, version_conflict
from ._lock import TIMEOUT_S, acquire
from ._paths import Place, check_regular, identity, locate, refuse_own_name, short_stem, temp_name
from ._refusals import directory_refuses, file_refuses
from ._sync import FULL, NONE, check_durability, sync_directory, sync_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._descriptors import Descriptor
    from ._errors import Path

    Target = tuple[Descriptor | None, os.stat_result | None]

_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK
_TEMP = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
ABSENT = "absent"


def encode(text: str) -> bytes:
    try:
        return str.encode(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"the text cannot be written as UTF-8: {error.reason} at index {error.start}") from error


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write everything. A short write is normal, at a quota or a file-size limit; the next one tells the reason."""
    written = os.write(fd, data)
    if written == len(data):
        return
    left = memoryview(data)[written:]
    while left:
        left = left[os.write(fd, left) :]


class Writer(Leaving):
    """A target located and locked, ready to be replaced. Leaving it releases both."""

    __slots__ = ("_seen", "_target", "durability", "given", "hold", "place")

    def __init__(
        self,
        path: Path,
        durability: str = FULL,
        timeout: float | None = TIMEOUT_S,
        make_parents: bool = True,
        must_exist: bool = False,
        check_link: Callable[[bytes], object] | None = None,  # what a link leads to may have other rules than its name
    ) -> None:
        check_durability(durability)
        self.durability = durability
        full = durability == FULL
        self.place = place = locate(
            path, make_parents=make_parents, durable=full, must_sync=full, check_link=check_link
        )
        self.given = place.given
        self._seen: tuple[int, ...] | None = None  # the state of the file that the operation has read
        self._target: Target | None = None
        self.leave = place.leave
        try:
            if place.name.startswith(b"."):
                refuse_own_name(place)
            if must_exist and place.stat() is None:  # no lock file for a misspelt name
                fail(errno.ENOENT, os.strerror(errno.ENOENT), self.given)
            self.hold, is_nested = acquire(place, timeout)
            if is_nested:
                self.hold.operation = ref(self)
            else:
                self.leave = closer(self.hold, place.own)
        except BaseException:
            self.leave()
            raise

    def __enter__(self) -> Writer:
        return self

    def open(self) -> Descriptor | None:
        """The target, to read and replace it; ``None`` where it is missing. A later ``replace`` is of this file."""
        self._target = own, status = self.open_target(os.O_RDWR)
        self._seen = _state(status)
        _refuse_links(self.given, status)
        return own

    def open_target(self, how: int) -> Target:
        """The target, open, and its status. The lock is given the reach of what it protects."""
        own, status = open_target(self.place, how)
        if status is not None:
            self.hold.widen(self.place, status)
        return own, status

    def read(self, to_replace: bool = True) -> bytes | None:
        """The target's bytes, ``None`` where it is missing. A later ``replace`` is of these.

        ``to_replace`` says that it is certain to come: what may not be written is refused at once.
        """
        own, status = self.open_target(os.O_RDWR if to_replace else os.O_RDONLY)
        self._target = (own, status) if to_replace else None
        self._seen = _state(status)
        if own is None or status is None:
            return None
        if to_replace:
            _refuse_links(self.given, status)
        try:
            return read_all(own.fileno(), status.st_size)
        except OSError as error:
            raise failed(error, self.given, "reading it") from None

    def check_permitted(self) -> None:
        """Raise what ``replace`` would for a target that may not be written, or has hard links."""
        _refuse_links(self.given, self.open_target(os.O_WRONLY)[1])

    def expect(self, if_version: str | None) -> None:
        """Raise VersionConflict unless the target has this version."""
        if if_version is not None:
            found = version(self.read())
            if found != if_version:
                raise version_conflict(self.given, if_version, found)

    def replace(self, content: bytes | Callable[[int], None], like: bytes | None = None) -> None:
        """Make the target this, or what this writes to the descriptor it is given; old or new, never in between.

        It keeps the attributes of the target or, where that is missing, takes those of ``like`` beside it.
        """
        target = self._target or self.open_target(os.O_WRONLY)
        status = target[1]
        _refuse_links(self.given, status)
        if status is None and like is not None:
            target = open_target(self.place, os.O_RDONLY, like)
        try:
            self.with_temp(content, target, self._rename)
        finally:
            self._target = None
        if like is not None and target[1] is not None:  # it has what the lock protects from now on
            self.hold.widen(self.place, target[1])
        self.sync_directory()

    def with_temp(
        self,
        content: bytes | Callable[[int], None],
        model: Target,
        publish: Callable[[bytes, os.stat_result], None],
    ) -> None:
        """Call ``publish`` with the name and the first status of a finished temp file: content, attributes (those of
        ``model``), synced. Whatever happens, there is no temp file afterwards.
        """
        place, own, mine = self.place, None, None
        source, status = model
        name = b""
        try:
            name = temp_name(place.stem)
            if source is None or status is None:
                mode = 0o666
            else:
                names = list_names(source.fileno(), self.given)
                mode = first_mode(status, names)
            try:
                own = open_owned(name, _TEMP, mode, place.opener)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise directory_refuses(error, place, "making a file in {}") from None
                name = temp_name(short_stem(place.name))
                own = open_owned(name, _TEMP, mode, place.opener)
            fd = own.fileno()
            _claim(fd)
            mine = os.fstat(fd)
            if source is not None and status is not None:
                copy_attributes(self.given, fd, mine, source.fileno(), status, names)
            kept = os.fstat(fd).st_mode & 0o7777 if status is not None and status.st_mode & 0o6000 else 0
            if callable(content):
                content(fd)
            else:
                write_all(fd, content)
            if kept:  # write(2) of another than root takes set-user-ID away
                os.fchmod(fd, kept)
            if self.durability != NONE:
                sync_file(fd)
            else:  # NFS may report a full quota only here, and the descriptor itself closes without a word
                next(map(os.close, map(os.dup, (fd,))))
            unlock(fd)  # a child by fork may have the same description, and this is going to be the target
            own.close()
            if source is not None:  # ext4 replaces an open file by way of its list of orphans: twice the time
                source.close()
            if not place.leads_to(name, identity(mine)):
                raise OSError(errno.ESTALE, "its temp file has been removed or replaced by somebody")
            publish(name, mine)
        except BaseException as error:
            try:
                if mine is None or place.leads_to(name, identity(mine)):
                    os.unlink(name, dir_fd=place.fd)
            except OSError:
                pass  # it has become the target; or else the first error matters more, and a sweep knows the file
            if isinstance(error, OSError) and error.filename is not self.given:
                failed(error, self.given)
            raise
        finally:
            if own is not None:
                own.close()

    def sync_directory(self) -> None:
        if self.durability == FULL:
            try:
                sync_directory(self.place.fd)
            except OSError as error:
                raise not_durable(error, self.given, "changed") from error

    def _rename(self, name: bytes, mine: os.stat_result) -> None:
        place = self.place
        self.hold.prove(place)
        if self._seen is not None and _state(place.stat()) != self._seen:
            raise LockLost(errno.ESTALE, "somebody without its lock has changed the file meanwhile", self.given)
        try:
            os.rename(name, place.name, src_dir_fd=place.fd, dst_dir_fd=place.fd)
        except OSError as error:
            # Over a network the answer can be lost and the deed done: then the target is what the temp file was.
            if not place.leads_to(place.name, identity(mine)):
                if error.errno == errno.ENOENT:  # which is not said of the target
                    error = OSError(errno.ESTALE, "its temp file or its directory has been removed by somebody")
                raise directory_refuses(error, place, "renaming onto it", place.name) from None
        self._seen = None
        try:
            is_ours = place.leads_to(place.name, identity(mine))
        except OSError:
            is_ours = True  # as rename(2) has said
        if not is_ours:
            why = "renamed onto it, but then it was another file: something that takes no lock has replaced it"
            raise CommittedNotDurable(errno.ESTALE, why, self.given)


def _refuse_links(given: object, status: os.stat_result | None) -> None:
    if status is not None and status.st_nlink > 1:
        why = f"has {status.st_nlink} hard links, and the others would keep the old content"
        fail(errno.EMLINK, why, given, "write each name by itself, or append in place")


def _claim(fd: int) -> None:
    """Lock a temp file: for the sweeper it is no orphan then. (Not in line: what begins a ``try`` in another one, 3.11
    leaves without protection.)
    """
    try:
        flock(fd, LOCK_EX | LOCK_NB)
    except OSError:
        pass  # nor can the sweeper lock it then


def _state(status: os.stat_result | None) -> tuple[int, ...]:
    """What tells a file from another, and from itself with other content."""
    return () if status is None else (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def not_durable(error: OSError, given: object, done: str) -> CommittedNotDurable:
    why = f"{done}, but may not survive a power loss: {error.strerror}"
    return CommittedNotDurable(error.errno or errno.EIO, why, given)


def open_target(place: Place, how: int, name: bytes | None = None) -> Target:
    """The target (or ``name`` beside it), open, and its status. Never waits.

    What is to be replaced is opened for writing: what open(2) refuses then we refuse, and a rename would not ask.
    """
    given = place.given if name is None else place.beside(name)
    try:
        own = open_owned(name or place.name, how | _OPEN, 0, place.opener)
        status = os.fstat(own.fileno())
    except FileNotFoundError:
        return None, None
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EISDIR):
            check_regular(os.stat(name or place.name, dir_fd=place.fd, follow_symlinks=False), given)
        step, right = ("reading it", "readable") if how == os.O_RDONLY else ("opening it to write", "writable")
        raise file_refuses(error, place, name or place.name, given, step, right) from None
    check_regular(status, given)
    return own, status


def read_bytes(place: Place, name: bytes | None = None) -> bytes | None:
    """The bytes of the target (or of ``name`` beside it), ``None`` where it is missing."""
    own, status = open_target(place, os.O_RDONLY, name)
    if own is None or status is None:
        return None
    try:
        return read_all(own.fileno(), status.st_size)
    except OSError as error:
        raise failed(error, place.given if name is None else place.beside(name), "reading it") from None
    finally:
        own.close()


def read_all(fd: int, size: int) -> bytes:
    """Everything, in one piece where the file has the size that it says."""
    data = os.read(fd, size + 1)
    if len(data) == size:
        return data
    parts = [data]
    while chunk := os.read(fd, 1 << 20):
        parts.append(chunk)
    return b"".join(parts)


def version(data: bytes | None) -> str:
    """The version of these bytes, as ``if_version`` takes it: a hash, so that a re-created file is not mistaken."""
    if data is None:
        return ABSENT
    from hashlib import sha256

    return "sha256-" + sha256(data).hexdigest()
