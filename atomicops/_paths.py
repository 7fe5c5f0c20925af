# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Where a target is: the directory that it is really in, held open, and the names of its companions.

Everything that a helper does to a target happens relative to one directory descriptor, so that a ``chdir`` in another
thread, or a directory renamed meanwhile, cannot make two steps of one operation see two directories.
"""

from __future__ import annotations

import errno
import os
import stat as st
import sys
from _operator import itemgetter

from . import _carriers
from ._descriptors import Leaving, open_owned, opener_in
from ._errors import fail, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._descriptors import Descriptor
    from ._errors import Path

TEMP_SUFFIX = b".atomicops-tmp"
_STEM_BYTES_MAX = 180  # a lock, a temp file and their random part still fit the 255 bytes of a name
_STEM_BYTES_KEPT = 160
_ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_LINKS_MAX = 40  # what Linux allows in one lookup: path_resolution(7)
_NOT_A_NAME = (b"", b".", b"..")
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
# Of a status: st_ino and st_dev; st_mode, st_uid and st_gid.
identity: Callable[[os.stat_result], tuple[int, ...]] = itemgetter(slice(1, 3))
access: Callable[[os.stat_result], tuple[int, ...]] = itemgetter(0, 4, 5)


class Place(Leaving):
    """A target's resolved directory (an open descriptor) and name.

    Attributes: ``given`` the path as the caller wrote it, ``directory`` and ``name`` in bytes, ``fd`` the directory
    (and ``own``, which closes it), ``opener`` opens names in it, ``stem`` what the names of lock and temp files carry.
    """

    __slots__ = ("directory", "fd", "given", "name", "opener", "own", "stem")

    def __init__(self, given: str | bytes, directory: bytes, name: bytes, own: Descriptor):
        self.given = given
        self.directory = directory
        self.name = name
        self.own = own
        self.fd = fd = own.fileno()
        self.opener = opener_in(fd)
        self.leave = own.close
        self.stem = name if len(name) <= _STEM_BYTES_MAX else stem(name)

    def __enter__(self) -> Place:
        return self

    def beside(self, name: bytes) -> str | bytes:
        """The path of a neighbour, in the type that the caller gave his own path in."""
        path = os.path.join(self.directory, name)
        return path if isinstance(self.given, bytes) else os.fsdecode(path)

    def show(self) -> str:
        """The directory, for a message."""
        return os.fsdecode(self.directory.rstrip(b"/") or self.directory or b".")

    def leads_to(self, name: bytes, known: tuple[int, ...]) -> bool:
        """Whether this name in the directory is of the file of this identity."""
        try:
            return identity(os.stat(name, dir_fd=self.fd, follow_symlinks=False)) == known
        except FileNotFoundError:
            return False

    def stat(self) -> os.stat_result | None:
        """The target's status, ``None`` where there is nothing. Raises for anything but a regular file."""
        try:
            found = os.stat(self.name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failed(error, self.given) from None
        check_regular(found, self.given)
        return found


def check_regular(status: os.stat_result, path: object) -> None:
    """Raise OSError for anything but a regular file."""
    if not st.S_ISREG(status.st_mode):
        if st.S_ISDIR(status.st_mode):
            fail(errno.EISDIR, "is a directory, not a regular file", path, "name a regular file")
        fail(errno.EINVAL, "is not a regular file", path, "name a regular file")


def locate(
    path: Path,
    *,
    make_parents: bool = False,
    durable: bool = False,
    must_sync: bool = False,
    check_link: Callable[[bytes], object] | None = None,
) -> Place:
    """Follow the path's symlinks (dangling ones too) and open the directory of what they lead to.

    ``make_parents`` makes what is missing (0777 less the umask), and with ``durable`` syncs it. ``must_sync`` says that
    the directory will be synced, for which it has to be readable: better refused now than after the rename.
    ``check_link`` is called with the name that symlinks lead to, before anything is made; what it raises is passed on.
    """
    given = os.fspath(path)
    rest = given.encode(*_ENCODING) if isinstance(given, str) else given  # as os.fsencode
    own: Descriptor | None = None
    textual, links = b"", 0
    try:
        while True:
            cut = rest.rfind(b"/") + 1
            head, name = rest[:cut], rest[cut:]
            if name in _NOT_A_NAME:
                if not rest:
                    fail(errno.ENOENT, os.strerror(errno.ENOENT), given)
                fail(errno.EISDIR, "is a directory, not a regular file", given, "name a regular file")
            if own is None or head:
                at = None if own is None else own.fileno()
                try:
                    opener = os.open if at is None else opener_in(at)
                    own = open_owned(head or b".", _OPEN_DIRECTORY, 0, opener)
                except OSError as error:
                    if links and check_link is not None and isinstance(error, FileNotFoundError):
                        check_link(name)
                    own = _open_directory(error, head or b".", at, make_parents, durable, must_sync)
                textual = os.path.join(textual, head) if textual else head
            try:
                is_link = st.S_ISLNK(os.stat(name, dir_fd=own.fileno(), follow_symlinks=False).st_mode)
            except FileNotFoundError:
                is_link = False
                if links:
                    _refuse_nameless(given, name, own.fileno())
            if not is_link:
                if links and check_link is not None:
                    check_link(name)
                return Place(given, textual, name, own)
            links += 1
            if links > _LINKS_MAX:
                fail(errno.ELOOP, "too many levels of symbolic links", given, "repair the link")
            rest = os.readlink(name, dir_fd=own.fileno())
    except BaseException as error:
        if own is not None:
            own.close()
        if isinstance(error, OSError):
            failed(error, given)
        raise


def _refuse_nameless(given: str | bytes, name: bytes, at: int) -> None:
    """What a link of /proc leads to need not have the name that it tells: a pipe, or a file that was deleted."""
    try:
        status = os.stat(given)
    except OSError:
        return
    try:
        os.stat(name, dir_fd=at, follow_symlinks=False)  # somebody may have made it meanwhile
    except FileNotFoundError:
        check_regular(status, given)
        fail(errno.EINVAL, "is a file without a name, for it was deleted", given, "name a regular file")


def _open_directory(
    error: OSError, path: bytes, at: int | None, make_parents: bool, durable: bool, must_sync: bool
) -> Descriptor:
    """After the error of a first try: make the directory, or open it without the right to list it."""
    if isinstance(error, FileNotFoundError) and make_parents:
        with _carriers.fork_guard: from ._parents import make_directories  # fmt: skip  # noqa: E701, I001

        make_directories(path, at, durable)
        return open_owned(path, _OPEN_DIRECTORY, opener=opener_in(at))
    if isinstance(error, NotADirectoryError) and not make_parents:  # then there is no such file
        raise FileNotFoundError(errno.ENOENT, error.strerror) from None
    if isinstance(error, PermissionError):
        # A directory that may be searched and written, but not listed, is enough for all but its own sync.
        if not must_sync and hasattr(os, "O_PATH"):
            return open_owned(path, os.O_PATH | os.O_DIRECTORY, opener=opener_in(at))
        shown = os.fsdecode(path)
        todo = f"make the directory {shown} readable, or choose durability file"
        failed(error, path, f"opening the directory {shown}", todo)
    raise error


def stem(name: bytes) -> bytes:
    """The part of a target's name that its lock and temp files carry, short enough for any legal name."""
    if len(name) <= _STEM_BYTES_MAX:
        return name
    return name[:_STEM_BYTES_KEPT] + short_stem(name)


def short_stem(name: bytes) -> bytes:
    """The stem where a file system (eCryptfs: 143 bytes) refuses the usual one as too long."""
    from hashlib import sha256

    return b"~" + sha256(name).hexdigest()[:16].encode()


def lock_name(stem: bytes) -> bytes:
    return b"." + stem + b".lock"


def temp_name(stem: bytes) -> bytes:
    """128 random bits: a PID would collide between containers that share the directory and each have a PID 1."""
    return b"." + stem + b"." + os.urandom(16).hex().encode() + TEMP_SUFFIX


def stem_of_temp(name: bytes) -> bytes | None:
    """The stem in a temp file's name, ``None`` where the name does not follow the grammar to the letter."""
    if not (name.startswith(b".") and name.endswith(TEMP_SUFFIX)):
        return None
    body = name[1 : -len(TEMP_SUFFIX)]
    found, dot, digits = body[:-33], body[-33:-32], body[-32:]
    if not 0 < len(found) <= _STEM_BYTES_MAX or dot != b"." or digits.strip(b"0123456789abcdef"):
        return None
    return found


def refuse_own_name(place: Place) -> None:
    """Raise OSError for a name that helpers give: a sweep deletes a temp file, and a lock must not be replaced."""
    if stem_of_temp(place.name) is not None:
        fail(errno.EINVAL, "has the name of a temp file, which a sweep deletes", place.given, "choose another name")
    if place.name.endswith(b".lock"):
        target = place.name[1:-5]
        try:
            is_lock = st.S_ISREG(os.stat(target, dir_fd=place.fd, follow_symlinks=False).st_mode)
        except OSError:
            is_lock = False  # of nothing
        if is_lock:
            fail(errno.EINVAL, f"is the lock of {os.fsdecode(target)}", place.given, "choose another name")
