"""Backups of a file: made whole, never overwritten, listed newest first."""

from __future__ import annotations

import errno
import os
import stat as st
import time

from ._copy import copy_content
from ._errors import CommittedNotDurable, drop, fail
from ._lock import TIMEOUT_S
from ._publish import publish_new
from ._replace import Writer, write_all
from ._sync import FULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._errors import Path
    from ._paths import Place

BACKUP_END, CORRUPT_END = b".bak", b".corrupt"
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_SECONDS_DIGITS_MAX = 18


class Copy:
    """One backup (or kept corrupt copy) found beside a target: its file name and its place in the order."""

    __slots__ = ("key", "mtime_ns", "name", "size_bytes")

    def __init__(self, name: bytes, suffix: bytes, counter: int, status: os.stat_result) -> None:
        seconds = int(status.st_mtime)
        if suffix.isdigit() and len(suffix) <= _SECONDS_DIGITS_MAX:
            seconds = int(suffix)
        self.name = name
        self.key = (seconds, counter, status.st_mtime_ns)
        self.mtime_ns = status.st_mtime_ns
        self.size_bytes = status.st_size


def create_backup(
    source_path: Path,
    backup_suffix: str | None = None,
    *,
    durability: str = "full",
    timeout: float | None = TIMEOUT_S,
) -> str:
    """Copy the file, under its lock, to ``{file}.{suffix}.bak`` beside it.

    Byte for byte, with its mode and, where permitted, owner and extended attributes. The backup appears whole, and
    never in the place of another file: a taken name gets a counter (``{file}.{suffix}.1.bak``).

    Args:
        source_path: the file; its symlinks are followed.
        backup_suffix: what the name carries; the time in whole seconds since 1970 by default.
        durability: as for :func:`atomic_write_bytes`.
        timeout: seconds to wait for the lock; ``None`` waits for ever.

    Returns:
        The path of the backup: the truth, whatever one expected it to be called.

    Raises:
        ValueError: the suffix is empty or holds ``/`` or NUL.
        FileNotFoundError: nothing to back up.
        LockTimeout, CommittedNotDurable, OSError: as for :func:`atomic_write_bytes`. Source: link(2).
    """
    suffix = str(int(time.time())) if backup_suffix is None else backup_suffix
    check_suffix(suffix)
    with Writer(source_path, durability, timeout, make_parents=False) as writer:
        name = keep_copy(writer, os.fsencode(suffix), BACKUP_END)
        return os.fsdecode(writer.place.beside(name))


def list_backups(path: Path) -> list[str]:
    """The paths of the file's backups, newest first.

    Newest by the number of seconds in the name, or by the modification time where the name has none; then by counter.
    An empty list where there is no backup. Raises OSError where the directory cannot be listed.
    """
    from ._paths import locate

    with locate(path) as place:
        return [os.fsdecode(place.beside(copy.name)) for copy in copies(place, BACKUP_END)]


def prune_backups(path: Path, keep: int, *, timeout: float | None = TIMEOUT_S) -> list[str]:
    """Delete all but the ``keep`` newest backups of the file, under its lock.

    A backup that may be that of another file, with a longer name, is left alone and not counted.

    Args:
        path: the file that the backups are of.
        keep: how many to leave; 0 leaves none.
        timeout: seconds to wait for the lock; ``None`` waits for ever.

    Returns:
        The paths that were deleted.

    Raises:
        ValueError: ``keep`` is negative.
        LockTimeout, OSError: as they say.
    """
    if keep < 0:
        raise ValueError(f"keep is {keep}; it must be 0 or more")
    removed = []
    with Writer(path, FULL, timeout, make_parents=False) as writer:
        found = [copy for copy in copies(writer.place, BACKUP_END) if not _of_another(writer.place, copy.name)]
        for copy in found[keep:]:
            try:
                os.unlink(copy.name, dir_fd=writer.place.fd)
            except FileNotFoundError:
                continue
            removed.append(os.fsdecode(writer.place.beside(copy.name)))
    return removed


def _of_another(place: Place, name: bytes) -> bool:
    """Whether a file with a longer name is there that may be the backup's own: to delete it would be to guess.

    ``x.json.emergency.5.bak`` reads as a backup of ``x.json`` and as one of ``x.json.emergency``.
    """
    owner, dot, _ = name[: -len(BACKUP_END)].rpartition(b".")
    while dot and len(owner) > len(place.name):
        try:
            os.stat(owner, dir_fd=place.fd, follow_symlinks=False)
        except FileNotFoundError:
            owner, dot, _ = owner.rpartition(b".")
        else:
            return True
    return False


def check_suffix(suffix: str) -> None:
    if not suffix or "/" in suffix or "\0" in suffix:
        raise ValueError(f"a backup suffix must not be empty and holds neither '/' nor NUL: {suffix!r}")


def keep_copy(writer: Writer, suffix: bytes, end: bytes) -> bytes:
    """A copy of the target under the first free name; the caller has the lock. Returns the name."""
    place = writer.place
    if place.stat() is None:
        fail(errno.ENOENT, os.strerror(errno.ENOENT), writer.given)
    try:
        source = os.open(place.name, _READ, dir_fd=place.fd)
    except OSError as error:
        error.filename = writer.given
        raise
    try:
        return _keep(writer, lambda fd: copy_content(source, fd), suffix, end)
    finally:
        drop(source)


def keep_evidence(writer: Writer, tail: bytes | None = None) -> bytes:
    """The corrupt target (or the ``tail`` that is to be cut off it) under the first free name. Returns the name."""
    suffix = b"%d" % int(time.time())
    try:
        if tail is None:
            return keep_copy(writer, suffix, CORRUPT_END)
        return _keep(writer, lambda fd: write_all(fd, tail), suffix, CORRUPT_END)
    except CommittedNotDurable as error:  # said of the evidence; the target has not been touched
        why = f"the corrupt bytes cannot be kept safely: {error.strerror}"
        raise OSError(error.errno, why, writer.given) from error


def _keep(writer: Writer, fill: Callable[[int], None], suffix: bytes, end: bytes) -> bytes:
    place = writer.place
    temp = writer.make_temp(fill)
    counter = 0
    try:
        while True:
            number = b".%d" % counter if counter else b""
            name = place.name + b"." + suffix + number + end
            try:
                publish_new(place, temp, name)
                break
            except FileExistsError:
                counter += 1
    except OSError as error:
        error.filename, error.filename2 = place.given, None
        raise
    finally:
        writer.discard(temp)
    writer.sync_directory()
    return name


def copies(place: Place, end: bytes) -> list[Copy]:
    """The regular files beside the target that are named as its copies, newest first."""
    start = place.name + b"."
    found = []
    for name in os.listdir(place.fd):
        raw = os.fsencode(name)
        middle = raw[len(start) : -len(end)]
        if not (raw.startswith(start) and raw.endswith(end) and middle and len(raw) > len(start) + len(end)):
            continue
        try:
            status = os.stat(raw, dir_fd=place.fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if st.S_ISREG(status.st_mode):
            found.append(Copy(raw, *split_counter(middle), status))
    return sorted(found, key=lambda copy: copy.key, reverse=True)


def split_counter(middle: bytes) -> tuple[bytes, int]:
    """``b"1704985200.2"`` is suffix ``b"1704985200"``, counter 2."""
    suffix, dot, digits = middle.rpartition(b".")
    if suffix and dot and digits.isdigit() and not digits.startswith(b"0") and len(digits) <= _SECONDS_DIGITS_MAX:
        return suffix, int(digits)
    return middle, 0
