# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Remove the temp files that killed writers left behind, and no other."""

from __future__ import annotations

import errno
import os
import stat as st

from ._carriers import try_now
from ._descriptors import duplicate, open_owned
from ._errors import NOT_PERMITTED, LockTimeout, failed
from ._lock import Nothing, acquire
from ._paths import Place, short_stem, stem_of_temp
from ._refusals import directory_refuses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from ._descriptors import Closable
    from ._errors import Path


class Swept:
    """What :func:`sweep_orphans` did.

    Attributes: ``removed`` the orphaned temp files, now gone; ``in_use`` those left alone: a writer has the lock.
    """

    __slots__ = ("in_use", "removed")
    removed: tuple[str, ...]
    in_use: tuple[str, ...]

    def __init__(self, removed: tuple[str, ...], in_use: tuple[str, ...]) -> None:
        object.__setattr__(self, "removed", removed)
        object.__setattr__(self, "in_use", in_use)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Swept is a value: it does not change")

    def __reduce__(self) -> tuple[Any, ...]:
        return Swept, (self.removed, self.in_use)

    def __repr__(self) -> str:
        return f"Swept(removed={self.removed!r}, in_use={self.in_use!r})"


def sweep_orphans(directory: Path) -> Swept:
    """Delete the temp files in ``directory`` whose writer is provably gone. Never waits.

    A writer has the lock of its target, and has locked its temp file as well, in case somebody deletes the lock file.
    Whoever gets both knows that the temp file is an orphan: its writer was killed, or the machine went down. Age proves
    nothing and is not looked at. Subdirectories are left alone, and so is every name that is not a temp file's to the
    letter.

    Returns:
        Swept, with the paths removed and those in use.

    Raises:
        OSError: the directory cannot be listed, or a file in it cannot be deleted.
    """
    given = os.fspath(directory)
    removed: list[bytes] = []
    in_use: list[bytes] = []
    try:
        own = open_owned(given, os.O_RDONLY | os.O_DIRECTORY)
        names = sorted(os.fsencode(name) for name in os.listdir(own.fileno()))
    except OSError as error:
        todo = f"make the directory {os.fsdecode(given)} readable"
        raise failed(error, given, "listing it" if error.errno in NOT_PERMITTED else "", todo) from None
    by_stem: dict[bytes, list[bytes]] = {}
    for name in names:
        stem = stem_of_temp(name)
        if stem is not None:
            by_stem.setdefault(stem, []).append(name)
    targets = {short_stem(name): name for name in names} if any(stem.startswith(b"~") for stem in by_stem) else {}
    for stem, orphans in by_stem.items():
        with Place(given, os.fsencode(given), targets.get(stem, stem), duplicate(own)) as place:
            hold = _lock_if_there(place)
            try:
                for name in orphans:
                    if hold is None or not _remove(name, place, removed):
                        in_use.append(name)
            finally:
                if hold is not None:
                    hold.close()
    base = os.fsencode(given)
    return Swept(
        tuple(os.fsdecode(os.path.join(base, name)) for name in removed),
        tuple(os.fsdecode(os.path.join(base, name)) for name in in_use),
    )


def _lock_if_there(place: Place) -> Closable | None:
    """The lock of the target; ``None`` where somebody has it. Where there is no lock file, nobody has it."""
    try:
        hold, is_nested = acquire(place, 0, create=False)
    except LockTimeout:
        return None
    except FileNotFoundError:
        return Nothing
    return Nothing if is_nested else hold


def _remove(name: bytes, place: Place, removed: list[bytes]) -> bool:
    """``False`` where its writer still has it, or may have it: another user's cannot be asked."""
    try:
        try:
            own = open_owned(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, opener=place.opener)
        except PermissionError:
            return False
        if st.S_ISREG(os.fstat(own.fileno()).st_mode):
            if not try_now(own.fileno()):
                return False
            os.unlink(name, dir_fd=place.fd)
            removed.append(name)
    except FileNotFoundError:  # finished, or swept by another, since the directory was listed
        pass
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):  # a symlink, a socket: no temp file of ours
            raise directory_refuses(error, place, "deleting from {}", name) from None
    return True
