# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Append to a log where it lies: one write at its end, cut back on failure, a torn tail mended by the next append.

What a killed process or a power loss leaves of a write cannot be told from its bytes: a text need not end in a newline.
So the append says beforehand what it is about to do, in an extended attribute of the log (which inode, from which
offset, how many bytes), and takes that back afterwards. A log that still has the mark, and ends inside the range that
it names, was torn there. It is cut back to the offset; what is cut off is kept beside the log, in case somebody
without the lock wrote it. The attribute lies in the inode, so it goes to disk with the new size and costs no sync of
its own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from . import _carriers
from ._carriers import try_now, unlock
from ._descriptors import open_owned
from ._errors import LockTimeout, failed
from ._lock import no_flock
from ._paths import check_regular
from ._refusals import file_refuses
from ._replace import not_durable
from ._sync import NONE, sync_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._replace import Writer

MARK = "user.atomicops.append"
_NUMBER_BYTES = 8  # three of them stay inside an ext4 inode; more would cost a block
_OPEN = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK


def append_in_place(writer: Writer, data: bytes, timeout: float | None) -> bool:
    """Append to the existing target. ``False``, and nothing changed, where it is missing or can keep no marks.

    The log itself is locked as well: the lock file goes by name, and a log may have several.
    """
    place = writer.place
    try:
        own = open_owned(place.name, _OPEN, opener=place.opener)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise file_refuses(error, place, place.name, place.given, "opening it to write", "writable") from None
    fd = own.fileno()
    try:
        status = os.fstat(fd)
        check_regular(status, place.given)
        writer.hold.widen(place, status)
        _lock_log(fd, timeout, place.given)
        end = mend(writer, fd)
        if not _set_mark(fd, end, len(data)):
            return False
        writer.hold.prove(place)
        _append(writer, fd, data, end)
        _drop_mark(fd)
    except OSError as error:
        if error.filename is not place.given:
            failed(error, place.given)
        raise
    finally:
        unlock(fd)  # a child made by fork may have the same open file description
        own.close()
    return True


def _append(writer: Writer, fd: int, data: bytes, end: int) -> None:
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left) :]
        if writer.durability != NONE:
            sync_file(fd)
    except BaseException as error:
        try:
            os.ftruncate(fd, end)
        except OSError:  # the mark stays, and tells the next append where to cut
            if isinstance(error, OSError) and not left:
                raise not_durable(error, writer.given, "appended") from error
        else:
            _drop_mark(fd)
        raise


def _lock_log(fd: int, timeout: float | None, given: str | bytes) -> None:
    """Against who appends to the same log under another name."""
    try:
        if timeout is None:
            fcntl.flock(fd, fcntl.LOCK_EX)
        elif not try_now(fd):
            with _carriers.fork_guard: from ._wait import try_until  # fmt: skip  # noqa: E701, I001

            if not try_until(fd, time.monotonic() + timeout):
                raise LockTimeout(errno.ETIMEDOUT, f"the log itself is locked for more than {timeout:g} s", given)
    except LockTimeout:
        raise
    except OSError as error:
        raise no_flock(error, given) from None


def mend(writer: Writer, fd: int) -> int:
    """Cut off what an interrupted append left, keeping the bytes. Returns where the log ends now."""
    size = os.fstat(fd).st_size
    end = torn_at(fd, size)
    if end < size:
        keep_tail(writer, fd, end, size)
        os.ftruncate(fd, end)
    return end


def keep_tail(writer: Writer, fd: int, end: int, size: int) -> None:
    from ._backup import keep_evidence

    keep_evidence(writer, os.pread(fd, size - end, end))


def torn_at(fd: int, size: int) -> int:
    """The offset at which an interrupted append began; ``size`` where there was none."""
    if not hasattr(os, "getxattr"):
        return size
    try:
        mark = os.getxattr(fd, MARK)
    except OSError:
        return size
    inode, start, length = (int.from_bytes(mark[at : at + _NUMBER_BYTES], "big") for at in (0, 8, 16))
    torn = len(mark) == 3 * _NUMBER_BYTES and inode == os.fstat(fd).st_ino and start < size < start + length
    return start if torn else size


def _set_mark(fd: int, end: int, length: int) -> bool:
    if not hasattr(os, "setxattr"):
        return False
    numbers = (os.fstat(fd).st_ino, end, length)
    try:
        os.setxattr(fd, MARK, b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in numbers))
    except OSError:
        return False
    return True


def _drop_mark(fd: int) -> None:
    try:
        os.removexattr(fd, MARK)
    except OSError:
        pass  # it names a range that the log is past, or has not reached: it says nothing
