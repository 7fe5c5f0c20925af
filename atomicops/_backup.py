# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Backups of a file: made whole, never overwritten, listed newest first."""

from __future__ import annotations

import errno
import os
import stat as st
import time

from ._copy import copy_content
from ._errors import CommittedNotDurable, fail, failed
from ._lock import TIMEOUT_S
from ._paths import lock_name, stem
from ._publish import publish_new
from ._refusals import directory_refuses
from ._replace import Writer, open_target, write_all
from ._sync import FULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ._errors import Path
    from ._paths import Place
    from ._replace import Target

BACKUP_END, CORRUPT_END = b".bak", b".corrupt"
_SECONDS_DIGITS = 10  # since 2001 and until 2286
_COUNTER_DIGITS_MAX = 18
# A step of mtime that is seen whatever keeps it: Perl's floating point numbers, FAT's two seconds.
_STEPS_NS = (10_000, 1_000_000_000, 2_000_000_000)


class Copy:
    """One backup (or kept corrupt copy) beside a target.

    Attributes: ``name``; ``made`` the seconds and the counter in a name of our own, ``None`` in a caller's;
    ``mtime_ns`` and ``size_bytes``.
    """

    __slots__ = ("made", "mtime_ns", "name", "size_bytes")

    def __init__(self, name: bytes, middle: bytes, status: os.stat_result) -> None:
        self.name = name
        self.made = _own_name(middle)
        self.mtime_ns = status.st_mtime_ns
        self.size_bytes = status.st_size


class Copies(list[Copy]):
    """Newest first: in the order in which they were made, whatever the clock said and whatever they are called.

    Each gets a modification time above those that there are, so that is the order. Where the times contradict our own
    names they say nothing (a checkout or a restore has made the files anew): ``by_name`` is true then, and the order is
    that of our own names, before the others.
    """

    def __init__(self, found: list[Copy]) -> None:
        super().__init__(sorted(found, key=lambda copy: (copy.mtime_ns, copy.made or (0, 0), copy.name), reverse=True))
        own = [copy.made for copy in self if copy.made]
        times = {copy.mtime_ns for copy in self}
        self.by_name = own != sorted(own, reverse=True) or (len(times) < 2 <= len(self))
        if self.by_name:
            self.sort(key=lambda copy: (copy.made or (0, 0), copy.mtime_ns, copy.name), reverse=True)


def create_backup(
    source_path: Path,
    backup_suffix: str | None = None,
    *,
    durability: str = "full",
    timeout: float | None = TIMEOUT_S,
) -> str:
    """Copy the file, under its lock, to ``{file}.{suffix}.bak`` beside it.

    Byte for byte, with its mode and, where permitted, owner and extended attributes. The backup appears whole, and
    never in the place of another file: a taken name gets a counter (``{file}.{suffix}.1.bak``). Its modification time
    is now or, if need be, a little later: above that of every other backup of the file.

    Args:
        source_path: the file; its symlinks are followed.
        backup_suffix: what the name carries, and nothing but a name (where it reads as an earlier time than that of the
            newest backup, ``.0`` is added). By default the time in whole seconds since 1970; where the clock has been
            set back, that of the newest backup.
        durability: as for :func:`atomic_write_bytes`.
        timeout: seconds to wait for the lock; ``None`` waits for ever.

    Returns:
        The path of the backup: the truth, whatever one expected it to be called.

    Raises:
        ValueError: the suffix is empty or holds ``/`` or NUL, or would make it the backup of another file.
        FileNotFoundError: nothing to back up.
        LockTimeout, CommittedNotDurable, OSError: as for :func:`atomic_write_bytes`. Source: link(2).
    """
    if backup_suffix is not None:
        check_suffix(backup_suffix)
    with Writer(source_path, durability, timeout, make_parents=False, must_exist=True) as writer:
        name = keep_copy(writer, None if backup_suffix is None else os.fsencode(backup_suffix), BACKUP_END)
        return os.fsdecode(writer.place.beside(name))


def list_backups(path: Path) -> list[str]:
    """The paths of the file's backups, newest first: in the order in which they were made.

    A backup that may be that of another file, with a longer name, is left out. An empty list where there is no backup.
    Raises OSError where the directory cannot be listed.
    """
    from ._paths import locate

    with locate(path) as place:
        return [os.fsdecode(place.beside(copy.name)) for copy in copies(place, BACKUP_END)]


def prune_backups(path: Path, keep: int, *, timeout: float | None = TIMEOUT_S) -> list[str]:
    """Delete all but the ``keep`` newest backups of the file, under its lock.

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
    removed: list[str] = []
    if len(list_backups(path)) <= keep:  # no lock file for a misspelt name
        return removed
    with Writer(path, FULL, timeout, make_parents=False) as writer:
        place = writer.place
        for copy in copies(place, BACKUP_END)[keep:]:
            writer.hold.prove(place)
            try:
                os.unlink(copy.name, dir_fd=place.fd)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise directory_refuses(error, place, "deleting from {}", copy.name) from None
            removed.append(os.fsdecode(place.beside(copy.name)))
    return removed


def check_suffix(suffix: str) -> None:
    if not suffix or "/" in suffix or "\0" in suffix:
        raise ValueError(f"a backup suffix must not be empty and holds neither '/' nor NUL: {suffix!r}")


def keep_copy(writer: Writer, suffix: bytes | None, end: bytes) -> bytes:
    """A copy of the target under the first free name; the caller has the lock. Returns the name."""
    target = writer.open_target(os.O_RDONLY)
    source = target[0]
    if source is None:
        fail(errno.ENOENT, os.strerror(errno.ENOENT), writer.given)
    try:
        return _keep(writer, lambda fd: copy_content(source.fileno(), fd), target, suffix, end)
    finally:
        source.close()


def keep_evidence(writer: Writer, tail: bytes | None = None) -> bytes:
    """The corrupt target (or the ``tail`` that is to be cut off it) under the first free name. Returns the name."""
    try:
        if tail is None:
            return keep_copy(writer, None, CORRUPT_END)
        target = open_target(writer.place, os.O_RDONLY)
        return _keep(writer, lambda fd: write_all(fd, tail), target, None, CORRUPT_END)
    except CommittedNotDurable as error:  # said of the evidence; the target has not been touched
        why = f"the corrupt bytes cannot be kept safely: {error.strerror}"
        raise OSError(error.errno, why, writer.given) from error


def _keep(writer: Writer, fill: Callable[[int], None], model: Target, suffix: bytes | None, end: bytes) -> bytes:
    place = writer.place
    there = copies(place, end)
    newest = seconds, taken = max((copy.made for copy in there if copy.made), default=(0, 0))
    if suffix is None:
        suffix = b"%d" % max(int(time.time()), seconds)
    elif _is_of_another(place, place.name + b"." + suffix + end, end, set(_names(place))):
        error = ValueError(f"the suffix {os.fsdecode(suffix)!r} would make it the backup of another file that is there")
        error.__dict__["todo"] = "choose another suffix"
        raise error
    counter = taken + 1 if seconds and suffix == b"%d" % seconds else 0
    if counter == 0 and (_own_name(suffix) or newest) < newest:
        suffix += b".0"  # or it would read as one of ours that was made earlier
    name = b""

    def fill_and_date(fd: int) -> None:
        fill(fd)
        _date(fd, max((copy.mtime_ns for copy in there), default=0))

    def publish(temp: bytes, _: os.stat_result) -> None:
        nonlocal counter, name
        writer.hold.prove(place)
        while True:
            name = b".".join((place.name, suffix, *([b"%d" % counter] if counter else []))) + end
            try:
                publish_new(place, temp, name)
                break
            except FileExistsError:
                counter += 1
            except OSError as error:
                raise directory_refuses(error, place, "making a file in {}") from None
        try:
            os.unlink(temp, dir_fd=place.fd)
        except OSError:
            pass  # it was renamed; or else a sweep knows it

    writer.with_temp(fill_and_date, model, publish)
    writer.sync_directory()
    return name


def _date(fd: int, newest_ns: int) -> None:
    """Give the copy a modification time above ``newest_ns``, in what this file system can keep."""
    wanted = time.time_ns()
    for step in _STEPS_NS:
        wanted = max(wanted, newest_ns + step)
        os.utime(fd, ns=(wanted, wanted))
        if os.fstat(fd).st_mtime_ns > newest_ns:
            return


def _names(place: Place) -> list[bytes]:
    """All that the target's directory has."""
    try:
        return [os.fsencode(name) for name in os.listdir(place.fd)]
    except OSError as error:
        if error.errno == errno.EBADF:  # of a descriptor by O_PATH: it may not be listed
            error = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        where = f"the directory {place.show()}"
        raise failed(error, place.given, f"listing {where}", f"make {where} readable") from None


def copies(place: Place, end: bytes) -> Copies:
    """The backups of the target (or what else ends in ``end``): regular files, named so, and not of another file."""
    start = place.name + b"."
    names = _names(place)
    neighbours = set(names)
    found = []
    for name in names:
        middle = name[len(start) : -len(end)]
        if not (name.startswith(start) and name.endswith(end) and middle and len(name) > len(start) + len(end)):
            continue
        if _is_of_another(place, name, end, neighbours):
            continue
        try:
            status = os.stat(name, dir_fd=place.fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise failed(error, place.given, "looking at its backups") from None
        if st.S_ISREG(status.st_mode):
            found.append(Copy(name, middle, status))
    return Copies(found)


def _is_of_another(place: Place, name: bytes, end: bytes, neighbours: Collection[bytes]) -> bool:
    """Whose a backup is: that of the longest name that fits it and of which there is a file, or a lock file.

    ``x.json.emergency.5.bak`` reads as a backup of ``x.json`` and as one of ``x.json.emergency``, and
    ``x.json.emergency.bak`` is what people call a copy of the latter that they make by hand.
    """
    owner = name[: -len(end)]
    while len(owner) > len(place.name):
        if owner in neighbours or lock_name(stem(owner)) in neighbours:
            return True
        owner = owner.rpartition(b".")[0]
    return False


def _own_name(middle: bytes) -> tuple[int, int] | None:
    """``b"1704985200.2"`` is the second 1704985200, counter 2. ``None`` where the caller has chosen the name."""
    suffix, dot, digits = middle.partition(b".")
    if len(suffix) != _SECONDS_DIGITS or not suffix.isdigit() or suffix.startswith(b"0"):
        return None
    if not dot:
        return int(suffix), 0
    if not digits.isdigit() or digits.startswith(b"0") or len(digits) > _COUNTER_DIGITS_MAX:
        return None
    return int(suffix), int(digits)
