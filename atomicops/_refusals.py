# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Errors of what is not permitted, with what would allow it: also where no mode says why (EPERM).

That is a sticky directory, which keeps the files of others, or an attribute that chattr(1) gives. Source: rename(2),
unlink(2), ioctl_iflags(2).
"""

from __future__ import annotations

import errno
import os
import stat as st
from _struct import calcsize, unpack_from
from fcntl import ioctl

from ._attributes import user_name
from ._descriptors import open_owned
from ._errors import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._paths import Place

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
# FS_IOC_GETFLAGS, as most machines number it; where it is another call, no attribute is found. It fills an int.
_GET_FLAGS = 2 << 30 | calcsize("l") << 16 | ord("f") << 8 | 1
_FLAGS = ((0x10, "immutable", "i"), (0x20, "append-only", "a"))  # include/uapi/linux/fs.h


def file_refuses(error: OSError, place: Place, name: bytes, given: object, step: str, right: str) -> OSError:
    """``error`` of opening ``name``, which the caller knows as ``given``; ``right`` is "readable", say."""
    todo = f"make the file {right}"
    if error.errno == errno.EPERM:
        try:
            own = open_owned(name, _READ, opener=place.opener)
        except OSError:
            pass
        else:
            todo = _to_clear(own.fileno(), "it") or todo
            own.close()
    return failed(error, given, step, todo)


def directory_refuses(error: OSError, place: Place, step: str, name: bytes | None = None) -> OSError:
    """``error`` of changing the directory, for which ``step`` has {}; ``name`` is what would have gone from it."""
    where = f"the directory {place.show()}"
    todo = f"make {where} writable"
    if error.errno == errno.EPERM:
        todo = _to_clear(place.fd, where) or (name is not None and _kept_for(place, name, where)) or todo
    return failed(error, place.given, step.format(where), todo)


def _to_clear(fd: int, what: str) -> str:
    """How to clear the attribute that forbids to change this; nothing where it has none."""
    try:
        (flags,) = unpack_from("i", ioctl(fd, _GET_FLAGS, bytes(calcsize("l"))))
    except OSError:
        return ""
    for flag, word, letter in _FLAGS:
        if flags & flag:
            return f"make {what} changeable, for it is {word} (chattr -{letter})"
    return ""


def _kept_for(place: Place, name: bytes, where: str) -> str:
    """Whom a sticky directory keeps this name for; nothing where it does not."""
    try:
        if os.fstat(place.fd).st_mode & st.S_ISVTX:
            owner = os.stat(name, dir_fd=place.fd, follow_symlinks=False).st_uid
            if os.geteuid() not in (0, owner):
                return f"leave {os.fsdecode(name)} to its owner {user_name(owner)}, for {where} is sticky"
    except OSError:
        pass
    return ""
