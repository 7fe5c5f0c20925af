"""A directory as a value: what is at each path, taken from the disk once and judged as often as one likes.

`take` is all that looks at the disk. A state of a crashed disk, or a test, makes such a mapping without one.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from stress.host.interrupts import remove_tree
from stress.host.users import COLLEAGUES
from stress.workload.world import World

XATTR, XATTR_VALUE = "user.stress", b"kept"
"""Set on every shared file where the file system has extended attributes; helpers must keep it."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a path leads to, and, where the path is a symbolic link, what the link says."""

    content: bytes | None = None
    """Of a regular file. None: it is something else, or the world has no use for its bytes."""
    mode: int = 0o644
    """Permission bits."""
    owner: tuple[int, int] = (0, 0)
    """User and group."""
    xattr: bytes | None = None
    """The value of `XATTR`; None: it has none."""
    link: str | None = None
    exists: bool = True
    """False for a link that leads nowhere."""


Tree: TypeAlias = Mapping[str, Node]
"""Path relative to the directory → what is there; of folders those alone that stand where a shared file should."""


def is_backup(path: str) -> bool:
    """Whether a name is that of a backup."""
    return path.endswith(".bak")


def is_temporary(path: str) -> bool:
    """Whether a name is that of a temporary file, for what may keep files of its own beside the shared ones."""
    return re.search("te?mp", os.path.basename(path), re.IGNORECASE) is not None


_FORGOTTEN = re.compile(r"^\.?te?mp|\.te?mp(\.|$)", re.IGNORECASE)


def forgotten(directory: Path, is_residue: Callable[[str], bool]) -> list[str]:
    """What is still in a directory for temporary files, by paths that begin with its variable. What is not called as
    mktemp(1) and the like call files may be there on purpose: a socket, a store, a lock, called by the path of a file.
    """
    return [
        f"$TMPDIR/{path}"
        for path in sorted(_names(directory, ""))
        if any(map(_FORGOTTEN.search, parts := Path(path).parts)) and not any(map(is_residue, parts))
    ]


def owners(world: World, node: Node) -> frozenset[tuple[int, int]]:
    """The users and groups to whom a file may belong that was laid out as ``node``: a folder may give its group to
    what is made in it.
    """
    return frozenset((user.uid, user.gid) for user in COLLEAGUES) if world.colleagues else frozenset({node.owner})


def take(world: World, directory: Path, backups: Collection[str] = ()) -> Tree:
    """What is in ``directory``, with the bytes that `stress.workload.inspection.inspect` asks for: those of shared
    files, of backups, and of all that lies where evidence of a corruption was to be kept. Raises OSError.

    ``backups`` are such by what their maker said, whatever they are called, and wherever they are.
    """
    shared = {facts.path: "metadata" in facts.checkers for facts in world.facts}
    evidence = {os.path.dirname(facts.path) for facts in world.facts if facts.corrupt}
    tree = {}
    for path in dict.fromkeys([*shared, *backups, *_names(directory, "")]):
        wanted = path in shared or path in backups or is_backup(path) or os.path.dirname(path) in evidence
        if node := _node(directory, path, content=wanted, xattr=shared.get(path, False)):
            tree[path] = node
    return tree


def open_folders(directory: Path) -> None:
    """Give the owner his rights on all folders, so that all that is there can be looked at and removed: a target may
    have taken them.
    """
    with suppress(OSError):
        status = os.lstat(directory)
        if not stat.S_ISDIR(status.st_mode):
            return
        os.chmod(directory, stat.S_IMODE(status.st_mode) | stat.S_IRWXU)
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    open_folders(Path(entry.path))


def remove(directory: Path) -> None:
    """Remove a directory that processes of a target had, as far as that can be done. Where they have put a link in its
    place, what it leads to is not ours.
    """
    with suppress(OSError):
        if directory.is_symlink():
            directory.unlink()
    open_folders(directory)
    remove_tree(directory)


def _names(directory: Path, within: str) -> Iterator[str]:
    """The paths of all that is there, but for folders."""
    with suppress(OSError), os.scandir(os.path.join(directory, within)) as entries:
        folders = []
        for entry in entries:
            path = within + entry.name
            if not os.path.isdir(entry):
                yield path
            elif not entry.is_symlink():
                folders.append(f"{path}/")
        for folder in folders:
            yield from _names(directory, folder)


def _node(directory: Path, relative: str, *, content: bool, xattr: bool) -> Node | None:
    path, link = os.path.join(directory, relative), None
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            link = os.readlink(path)
            status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None if link is None else Node(link=link, exists=False)
    except OSError as error:
        if error.errno == errno.ELOOP and link is not None:
            return Node(link=link, exists=False)
        raise
    return Node(
        content=_bytes(path, directory) if content and stat.S_ISREG(status.st_mode) else None,
        mode=stat.S_IMODE(status.st_mode),
        owner=(status.st_uid, status.st_gid),
        xattr=_xattr(path) if xattr else None,
        link=link,
    )


def _bytes(path: str, directory: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except PermissionError:  # its mode is known, and judged; so is what is in it
        if not Path(path).resolve().is_relative_to(directory.resolve()):
            raise
        os.chmod(path, 0o600)
        return Path(path).read_bytes()


def _xattr(path: str) -> bytes | None:
    try:
        return os.getxattr(path, XATTR)
    except (AttributeError, OSError):  # a system, or a file system, that has none
        return None
