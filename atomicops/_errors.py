"""The errors of the package, and the few helpers that raise them with the path in them."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False  # importing `typing` costs more than the rest of this package
if TYPE_CHECKING:
    from typing import NoReturn

    Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class LockTimeout(TimeoutError):
    """The lock was not to be had in the time given; nothing was changed. ``errno`` is ``ETIMEDOUT``."""


class CommittedNotDurable(OSError):
    """The target *has* the new content, but it may not survive a power loss.

    Every other error of a writer means that the target is unchanged. ``errno`` says what the sync met.
    """


class VersionConflict(OSError):
    """The file no longer has the version that the caller expected; nothing was changed.

    Attributes: ``expected`` and ``found``, both versions as in :class:`Snapshot`. ``errno`` is ``ESTALE``.
    """

    expected: str = ""
    found: str = ""


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
    """The path for a message: text, and printable whatever its bytes are."""
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    return str(path).encode("utf-8", "backslashreplace").decode()


def drop(fd: int) -> None:
    """Close a descriptor that nothing was written to, or whose content is synced: an error says nothing any more."""
    try:
        os.close(fd)
    except OSError:
        pass


def put_name(error: object, path: str | bytes) -> None:
    """Let an OSError name the path that the caller gave, not what we call the file in its directory."""
    if isinstance(error, OSError) and isinstance(error.filename, (bytes, int)):
        error.filename, error.filename2 = path, None


def fail(number: int, why: str, path: object) -> NoReturn:
    """Raise the OSError of this number (``IsADirectoryError`` for ``EISDIR`` and so on)."""
    raise OSError(number, why, path)


def version_conflict(path: object, expected: str, found: str) -> VersionConflict:
    error = VersionConflict(errno.ESTALE, f"version conflict: expected {expected}, found {found}", path)
    error.expected, error.found = expected, found
    return error
