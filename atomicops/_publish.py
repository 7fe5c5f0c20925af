# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Give a finished temp file its name, unless the name is taken."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._paths import Place

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_RENAME_NOREPLACE = 1


def publish_new(place: Place, temp: bytes, name: bytes) -> None:
    """Give ``temp`` also (or instead) this name, at once and whole. Raises FileExistsError where the name is taken.

    link(2) never replaces. A file system without hard links (FAT, some FUSE ones) gets renameat2(2) with
    ``RENAME_NOREPLACE``; where there is neither, there is no safe way, and the first error is raised.
    """
    try:
        os.link(temp, name, src_dir_fd=place.fd, dst_dir_fd=place.fd, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        number = _rename_new(place.fd, temp, name)
        if number == errno.EEXIST:
            raise FileExistsError(number, os.strerror(number)) from error
        if number:
            raise


def _rename_new(directory: int, temp: bytes, name: bytes) -> int:
    """renameat2 without replacement; 0 or the error number. Imported late: few file systems ever come here."""
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return errno.ENOSYS
    if call(directory, temp, directory, name, _RENAME_NOREPLACE) == 0:
        return 0
    return ctypes.get_errno()
