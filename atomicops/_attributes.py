"""Owner, mode, ACLs and other extended attributes of a file, given to the file that takes its place."""

from __future__ import annotations

import errno
import os
import stat as st

from ._paths import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ACL = "system.posix_acl_access"
# Statements about the very bytes of a file, or about an append under way: not true of other content.
_NOT_KEPT = ("security.capability", "security.ima", "security.evm", "user.atomicops.append")
HAVE_XATTRS = hasattr(os, "listxattr")
_HAVE_FD_PATHS = os.path.isdir("/proc/self/fd")


def copy(place: Place, fd: int, like: os.stat_result, source: bytes) -> None:
    """Give ``fd`` what ``source``, of status ``like``, has: owner and xattrs where permitted, and its mode."""
    mine = os.fstat(fd)
    mode = st.S_IMODE(like.st_mode)
    if (mine.st_uid, mine.st_gid) != (like.st_uid, like.st_gid):
        try:
            os.fchown(fd, like.st_uid, like.st_gid)
        except OSError:
            try:
                os.fchown(fd, -1, like.st_gid)
            except OSError:
                pass
            mode &= 0o1777  # a set-user-ID file must not change its user
        mine = os.fstat(fd)
    if HAVE_XATTRS:
        _copy_xattrs(place, fd, source)
    if st.S_IMODE(mine.st_mode) != mode:
        os.fchmod(fd, mode)


def _copy_xattrs(place: Place, fd: int, source: bytes) -> None:
    path = _path(place, source)
    try:
        theirs = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return
    if _ACL in os.listxattr(fd) and _ACL not in theirs:  # inherited from the directory, and not the target's
        _tolerantly(os.removexattr, fd, _ACL)
    for name in theirs:
        if name not in _NOT_KEPT:
            _tolerantly(_copy_one, path, fd, name)


def _copy_one(path: bytes, fd: int, name: str) -> None:
    os.setxattr(fd, name, os.getxattr(path, name, follow_symlinks=False))


def _path(place: Place, name: bytes) -> bytes:
    """A path for the calls that take no directory descriptor: through the descriptor, where there is procfs.

    Then neither a ``chdir`` nor a rename of the directory makes it another file's.
    """
    if _HAVE_FD_PATHS:
        return b"/proc/self/fd/%d/%s" % (place.fd, name)
    return os.path.join(place.directory, name)


def _tolerantly(call: Callable[..., None], *arguments: object) -> None:
    """Where permitted, says the contract: some attributes only root may set, and some file systems have none."""
    try:
        call(*arguments)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL, errno.ENODATA):
            raise
