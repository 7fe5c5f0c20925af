"""Remove the temp files that killed writers left behind, and no other."""

from __future__ import annotations

import os
import stat as st

from ._errors import LockTimeout, drop, put_name
from ._lock import acquire, release
from ._paths import Place, stem_of_temp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

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

    def __repr__(self) -> str:
        return f"Swept(removed={self.removed!r}, in_use={self.in_use!r})"


def sweep_orphans(directory: Path) -> Swept:
    """Delete the temp files in ``directory`` whose writer is provably gone. Never waits.

    A temp file exists only while its writer has the lock of its target. Whoever gets that lock therefore knows that
    every temp file of that target is an orphan: its writer was killed, or the machine went down. Age proves nothing and
    is not looked at. Subdirectories are left alone, and so is every name that is not a temp file's to the letter.

    Returns:
        Swept, with the paths removed and those in use.

    Raises:
        OSError: the directory cannot be listed, or a file in it cannot be deleted.
    """
    given = os.fspath(directory)
    fd = os.open(given, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    removed: list[bytes] = []
    in_use: list[bytes] = []
    try:
        by_stem: dict[bytes, list[bytes]] = {}
        for name in sorted(os.fsencode(name) for name in os.listdir(fd)):
            stem = stem_of_temp(name)
            if stem is not None:
                by_stem.setdefault(stem, []).append(name)
        for stem, names in by_stem.items():
            place = Place(given, os.fsencode(given), stem, fd)
            try:
                hold = acquire(place, 0)
            except LockTimeout:
                in_use += names
                continue
            try:
                removed += [name for name in names if _remove(name, fd)]
            finally:
                release(hold)
    except OSError as error:
        put_name(error, given)
        raise
    finally:
        drop(fd)
    base = os.fsencode(given)
    return Swept(
        tuple(os.fsdecode(os.path.join(base, name)) for name in removed),
        tuple(os.fsdecode(os.path.join(base, name)) for name in in_use),
    )


def _remove(name: bytes, fd: int) -> bool:
    try:
        if not st.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            return False
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:  # finished, or swept by another, since the directory was listed
        return False
    return True
