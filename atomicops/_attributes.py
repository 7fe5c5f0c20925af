# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Owner, mode, ACL and other extended attributes of a file, given to the file that takes its place.

Whoever could read or write the file before still can, and nobody else. Where owner or group cannot be kept (chown(2) is
root's), what they would lose is granted by ACL entries: acl(5). Where that cannot be had either, it is refused.
"""

from __future__ import annotations

import errno
import os
import stat as st
from _struct import iter_unpack, pack

from ._descriptors import open_owned
from ._errors import fail, failed
from ._paths import Place, access

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ACL = "system.posix_acl_access"
# The kernel's format: linux/posix_acl_xattr.h. A version, then tag, permissions and number of each entry.
_ACL_VERSION, _ACL_ENTRY, _NOBODY = b"\2\0\0\0", "<HHI", 0xFFFFFFFF
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32
_UNMAPPED = 65534  # /proc/sys/kernel/overflowuid
_GROUP_CLASS = (_USER, _GROUP_OBJ, _GROUP)
# Statements about the very bytes of a file, or about an append under way: not true of other content.
_NOT_KEPT = ("security.capability", "security.ima", "security.evm", "user.atomicops.append", _ACL)
_NOT_ALLOWED = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
HAVE_XATTRS = hasattr(os, "listxattr")
_list: Callable[[int], list[str]] = os.listxattr if HAVE_XATTRS else lambda fd: []

Entries = dict[tuple[int, int], int]


def first_mode(like: os.stat_result, names: list[str]) -> int:
    """What to make a file with that is to be like this one, which has the attributes ``names``: the same mode, if
    nobody can read more by that whatever group the kernel gives the new file. Otherwise the owner's bits alone.
    """
    mode = like.st_mode & 0o777
    user, group, other = mode >> 6, mode >> 3 & 7, mode & 7
    return mode & 0o700 if names or group != other or other & ~user else mode


def copy(given: object, fd: int, mine: os.stat_result, source: int, like: os.stat_result, names: list[str]) -> None:
    """Give ``fd``, of status ``mine``, what the descriptor ``source``, of status ``like``, has: ``names`` and more."""
    try:
        if not names and access(mine) == access(like) and not list_names(fd, given):  # as a rule
            return
        for name in names:
            if name not in _NOT_KEPT:
                _copy_one(source, fd, name)
        acl = os.getxattr(source, _ACL) if _ACL in names else None
        give_access(given, fd, mine, like, acl, like.st_mode & 0o7777, b"/proc/self/fd/%d" % source)
    except OSError as error:
        raise _not_kept(error, given) from None


def give_access(
    given: object,
    fd: int,
    mine: os.stat_result,
    like: os.stat_result,
    acl: bytes | None,
    mode: int,
    path: bytes,
) -> None:
    """Owner, group, ``acl`` and ``mode``, so that access is as to ``like``, which has this path. Wider than before only
    at the end.

    Raises PermissionError where somebody would lose, or get, a right.
    """
    owner, group = mine.st_uid, mine.st_gid
    if (owner, group) == (like.st_uid, like.st_gid):
        pass
    elif _is_unmapped(like, path):
        classes = {mode & 7, mode >> 3 & 7} | ({mode >> 6 & 7} if owner != like.st_uid else set())
        if acl is not None or len(classes) > 1:
            why = "its owner or group has no number in this user namespace, and can't be given it again"
            fail(errno.EPERM, why, given, "write it outside of the container, or append in place")
    else:
        owner, group = _chown(fd, mine, like)
    if group != like.st_gid and (acl is not None or mode >> 3 & 7 != mode & 7):
        why = f"only a member of its group {like.st_gid} may give it that group again"
        fail(errno.EPERM, why, given, f"join the group {like.st_gid}, or append in place")
    if (owner, group) != (like.st_uid, like.st_gid):
        mode &= 0o1777  # a set-user-ID file must not change its user
    if owner != like.st_uid:
        entries = _entries(acl, mode)
        entries[_USER_OBJ, _NOBODY] |= mode >> 6 & 7  # of a lock, more than its target's
        entries = _granted(like, owner, group, entries)
        mode = mode & 0o1000 | _mode(entries)
        acl = _acl(entries)
    try:
        if acl is not None:
            os.setxattr(fd, _ACL, acl)
        elif _ACL in list_names(fd, given):  # inherited from the directory, and not the target's
            os.removexattr(fd, _ACL)
    except OSError as error:
        if owner == like.st_uid or error.errno not in _NOT_ALLOWED:
            raise
        name = user_name(like.st_uid)
        why = f"its owner {name} would no longer have access, for only root may give files away"
        fail(errno.EPERM, why, given, f"put {name} into the group, or append in place")
    if acl is not None or (mode, owner, group) != (mine.st_mode & 0o7777, mine.st_uid, mine.st_gid):
        os.fchmod(fd, mode)


def _is_unmapped(like: os.stat_result, path: bytes) -> bool:
    """Whether its owner or group may be one that stat(2) shows as 65534, who is another here: user_namespaces(7).

    Who may act as an owner who has a number here may open his file like this: open(2). Of a group nobody can tell.
    """
    if _UNMAPPED not in (like.st_uid, like.st_gid):
        return False
    try:
        own = open_owned(b"/proc/self/uid_map", os.O_RDONLY)
        if os.read(own.fileno(), 100).split() == [b"0", b"0", b"4294967295"]:  # there is but one namespace
            return False
    except OSError:
        return False
    try:
        open_owned(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOATIME)
    except OSError:
        return True
    return like.st_uid != _UNMAPPED


def _chown(fd: int, mine: os.stat_result, like: os.stat_result) -> tuple[int, int]:
    """Owner and group that ``fd`` has in the end: those of ``like`` where permitted."""
    for owner, group in ((like.st_uid, like.st_gid), (mine.st_uid, like.st_gid)):
        try:
            os.fchown(fd, owner, group)
        except OSError as error:
            if error.errno not in _NOT_ALLOWED:
                raise
        else:
            return owner, group
    return mine.st_uid, mine.st_gid


def _granted(like: os.stat_result, owner: int, group: int, entries: Entries) -> Entries:
    """The entries under which everybody has, with this new owner, what he had under ``entries``."""
    mask = entries.pop((_MASK, _NOBODY), 7)
    entries = {key: bits & mask if key[0] in _GROUP_CLASS else bits for key, bits in entries.items()}
    readable = 4 * any(bits & 4 for bits in entries.values())
    theirs, other = entries[_GROUP_OBJ, _NOBODY], entries[_OTHER, _NOBODY]
    bits = entries[_USER_OBJ, _NOBODY]
    entries.pop((_USER, owner), None)
    kept_by_mode = bits == theirs and (bits == other or _is_member(like.st_uid, group))
    if like.st_uid != 0 and (not kept_by_mode or len(entries) > 3):  # root needs none
        entries[_USER, like.st_uid] = bits
    entries[_USER_OBJ, _NOBODY] = bits | 2 | readable  # who replaces the file could write it, and perhaps read it
    return entries


def _is_member(user: int, group: int) -> bool:
    import pwd

    try:
        known = pwd.getpwuid(user)
        return group in os.getgrouplist(known.pw_name, known.pw_gid)
    except (KeyError, OSError):
        return False


def user_name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _entries(acl: bytes | None, mode: int) -> Entries:
    if acl is None:
        triples = ((_USER_OBJ, mode >> 6 & 7), (_GROUP_OBJ, mode >> 3 & 7), (_OTHER, mode & 7))
        return {(tag, _NOBODY): bits for tag, bits in triples}
    return {(tag, number): bits for tag, bits, number in iter_unpack(_ACL_ENTRY, acl[len(_ACL_VERSION) :])}


def _mode(entries: Entries) -> int:
    group_class = 0
    for (tag, _), bits in entries.items():
        group_class |= bits if tag in _GROUP_CLASS else 0
    return entries[_USER_OBJ, _NOBODY] << 6 | group_class << 3 | entries[_OTHER, _NOBODY]


def _acl(entries: Entries) -> bytes | None:
    """The ACL in the kernel's format; ``None`` where the mode says it all."""
    if len(entries) == 3:
        return None
    full = {**entries, (_MASK, _NOBODY): _mode(entries) >> 3 & 7}
    return _ACL_VERSION + b"".join(pack(_ACL_ENTRY, tag, full[tag, number], number) for tag, number in sorted(full))


def list_names(fd: int, given: object) -> list[str]:
    try:
        return _list(fd)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise _not_kept(error, given) from None
        return []


def _not_kept(error: OSError, given: object) -> OSError:
    """A failure of keeping the target's attributes says so; a refusal has its own words."""
    if error.filename is not given and "refused" not in vars(error):
        failed(error, given, "keeping its attributes", "see to the attributes of the file")
    return error


def _copy_one(source: int, fd: int, name: str) -> None:
    try:
        os.setxattr(fd, name, os.getxattr(source, name))
    except OSError as error:
        # Labels of security modules, and what only root may set, are the kernel's to assign.
        kernels = name.startswith(("security.", "trusted.")) and error.errno in _NOT_ALLOWED
        if not kernels and error.errno != errno.ENODATA:
            raise


def lock_mode(target: os.stat_result) -> int:
    """Of the lock of this target. Who may write it can open the lock, and so can its owner, who may chmod(2) it."""
    mode = target.st_mode & 0o666
    return 0o600 | mode | (mode & 0o222) << 1


def lock_reach(place: Place, fd: int, mine: os.stat_result, target: os.stat_result | None) -> None:
    """Let those take the lock ``fd`` who may write the target: it gets the target's owner, group, mode and ACL.

    Of a target that is still to come: those who may make files in the directory.
    """
    if target is not None:
        try:
            path = b"/proc/self/fd/%d/%s" % (place.fd, place.name)
            give_access(place.given, fd, mine, target, _acl_of(path), lock_mode(target), path)
        except OSError:
            os.fchmod(fd, 0o666)  # nobody may be locked out; the file is empty, and to take the lock is all one can do
        return
    directory = os.fstat(place.fd)
    mode = mine.st_mode & 0o7777 | 0o600  # its owner's, whatever the umask
    if directory.st_mode & st.S_IWGRP:
        if mine.st_gid != directory.st_gid:
            try:
                os.fchown(fd, -1, directory.st_gid)
            except OSError:
                pass
        mode |= 0o660
    if directory.st_mode & st.S_IWOTH:
        mode |= 0o666
    if mode != mine.st_mode & 0o7777:
        os.fchmod(fd, mode)


def _acl_of(path: bytes) -> bytes | None:
    """That of a file which one need not be able to open."""
    if not HAVE_XATTRS or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.getxattr(path, _ACL, follow_symlinks=False)
    except OSError:
        return None
