# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""The errors of the package, and the few helpers that raise them with the path in them."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False  # importing `typing` costs more than the rest of this package
if TYPE_CHECKING:
    from typing import NoReturn

    Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


_CONTROLS = {number: f"\\x{number:02x}" for number in (*range(32), 127)} | {10: "\\n"}
NOT_PERMITTED = (errno.EACCES, errno.EPERM, errno.EROFS)


class LockTimeout(TimeoutError):
    """The lock was not to be had in the time given; nothing was changed. ``errno`` is ``ETIMEDOUT``."""


class LockLost(OSError):
    """Between reading and committing the lock was lost, or somebody without the lock changed the file.

    Nothing was changed; it can be tried again. The lock file has been removed or replaced (``git clean``), the process
    is a child of the one that took the lock, or the file is no longer the one that was read. ``errno`` is ``ESTALE``.
    """


class CommittedNotDurable(OSError):
    """The target *has* the new content, but it may not survive a power loss, or somebody replaced it at once (ESTALE).

    Every other error of a writer means that the target is unchanged. ``errno`` says what the sync met.
    """


class VersionConflict(OSError):
    """The file no longer has the version that the caller expected; nothing was changed.

    Attributes: ``expected`` and ``found``, both versions as in :class:`Snapshot`. ``errno`` is ``ESTALE``.
    """

    expected: str = ""
    found: str = ""


class CannotCheck(OSError):
    """Whether the file is one JSON value could not be found out: it is nested deeper than 10,000 levels.

    That is no corruption: nothing was changed, and no default given. ``errno`` is ``EOVERFLOW``.
    """


class CorruptFile(ValueError):
    """The file is there and readable, but is not one JSON value in UTF-8.

    Attributes: ``filename`` (as the caller gave it) and ``reason``.
    """

    def __init__(self, filename: object, reason: str) -> None:
        super().__init__(filename, reason)
        self.filename = filename
        self.reason = reason

    def __str__(self) -> str:
        return f"{display(self.filename)} is corrupt: {self.reason}"


def display(path: object) -> str:
    """The path for a message: text on one line, and printable whatever its bytes are."""
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    return str(path).translate(_CONTROLS).encode("utf-8", "backslashreplace").decode()


def failed(error: OSError, given: object, step: str = "", todo: str = "") -> OSError:
    """The same error, naming the path that the caller gave, the step, and a remedy for what is not permitted."""
    error.filename = given
    if error.filename2 is not None:
        del error.filename2
    if error.errno == errno.EBADF and error.strerror == os.strerror(errno.EBADF):
        error.strerror = "its descriptor was closed by something else in this process (os.closerange?)"
    if step:
        error.strerror = f"{step}: {error.strerror}"
    if todo and error.errno in NOT_PERMITTED:
        error.__dict__["todo"] = todo
    return error


def fail(number: int, why: str, path: object, todo: str = "") -> NoReturn:
    """Refuse: raise the OSError of this number (``IsADirectoryError`` for ``EISDIR`` and so on), with a remedy."""
    error = failed(OSError(number, why), path)
    error.__dict__.update(todo=todo, refused=True)
    raise error


def version_conflict(path: object, expected: str, found: str) -> VersionConflict:
    error = VersionConflict(errno.ESTALE, f"version conflict: expected {expected}, found {found}", path)
    error.expected, error.found = expected, found
    return error
