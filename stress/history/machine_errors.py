"""Errors that are the machine's and not the target's: a full disk, a limit that is reached, a device that fails.

The nemesis injects some of them, and a machine has them by itself. An operation that fails with one has met a fault; it
has done nothing wrong. Source: errno(3), setrlimit(2).
"""

from __future__ import annotations

import errno
import os

MACHINE_ERRORS = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG,  # no room, or a limit on it
        errno.EMFILE, errno.ENFILE, errno.ENOMEM,  # no descriptor, no memory (EAGAIN may be a lock that is busy)
        errno.EINTR,  # a signal: of the nemesis, or from outside
        errno.EIO, errno.EROFS,  # a device that fails; Linux then makes the file system read-only
    }
)  # fmt: skip


REFUSALS = frozenset({errno.EACCES, errno.EPERM})
"""Who asks is not permitted to: no fault of the machine's."""


def errno_of(error: BaseException | None) -> int:
    """The first errno among ``error`` and what it was raised from or during; 0 if there is none."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno:
            return error.errno
        error = error.__cause__ or error.__context__
    return 0


def errno_in(words: str) -> int:
    """The first of these errors whose text, as programs print it (strerror(3)), stands in ``words``; 0 if none."""
    return next((number for number in sorted(MACHINE_ERRORS | REFUSALS) if os.strerror(number) in words), 0)
