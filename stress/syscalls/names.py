"""Names of the shared directory's files and directories that are the same in every replay.

Inode numbers differ from run to run, and are used again after an unlink. Here an inode is called by its path at the
beginning, or by who created it: ``1.0`` is the first that agent 1 created.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

_SYMLINKS_MAX = 40
_REMEMBERED_MAX = 10_000
_DELETED = " (deleted)"
"""What /proc says behind the path of what was removed."""
_NAMELESS = re.compile(r"/#\d+ \(deleted\)$")
NAMELESS = "a file without a name"
"""What is opened with O_TMPFILE, whose path in /proc has the number of its inode."""


@dataclass(slots=True)
class Place:
    """What a path leads to.

    Attributes:
        path: Absolute, of the entry, symlinks followed.
        text: The same, relative to the shared directory.
        entries: (directory's id, name) of all entries that were followed on the way, the last excepted.
        parent: Id of the directory that has the entry; None if the path leads out of the shared directory, or nowhere,
            or to what is open (`Names.unnamed`).
        name: Of the entry.
        id: Of the inode; None if there is none.
        status: Of the inode.
        points: The scheduling points that were made of it, for as long as no entry changes.
    """

    path: str
    text: str
    entries: tuple[tuple[str, str], ...]
    parent: str | None
    name: str
    id: str | None
    status: os.stat_result | None
    points: dict[object, Any] = field(init=False, default_factory=dict)

    @property
    def is_directory(self) -> bool:
        """Whether the inode is one."""
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)


@dataclass(slots=True)
class Opened:
    """What a descriptor of a process stands for: path at this moment, id and status of the inode; `points` as of a
    `Place`.
    """

    path: str
    text: str
    id: str
    status: os.stat_result
    points: dict[object, Any] = field(init=False, default_factory=dict)

    @property
    def is_directory(self) -> bool:
        """Whether the inode is one."""
        return stat.S_ISDIR(self.status.st_mode)


class Names:
    """Names of one shared directory, for one execution after another."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)
        self._prefix = self.root + "/"
        self._ids: dict[tuple[int, int], str] = {}
        self._created: dict[int, int] = {}
        self._outside: dict[str, str] = {}
        self._opened: dict[int, dict[int, Opened | None]] = {}
        self._files: dict[tuple[int, int], Opened] = {}
        self._directories: dict[int, str] = {}
        self._places: dict[tuple[str, str, bool], Place | None] = {}

    def begin(self, time_ns: int) -> dict[str, os.stat_result]:
        """A new execution: all that is there gets its path for a name, and ``time_ns`` for a time.

        Returns:
            What was there, by `text`.
        """
        self._ids.clear()
        self._created.clear()
        self.forget_paths()
        pending, found = [self.root], {}
        while pending:
            path = pending.pop()
            text, status = self.text(path), os.lstat(path)
            os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)
            self._ids[status.st_dev, status.st_ino] = text
            found[text] = status
            if stat.S_ISDIR(status.st_mode):
                pending.extend(f"{path}/{name}" for name in os.listdir(path))
        return found

    def text(self, path: str) -> str:
        """A path in the shared directory, for people, who get no control characters."""
        text = path[len(self._prefix) :] or "."
        return text if text.isprintable() else repr(text)[1:-1]

    def create(self, agent: int, status: os.stat_result) -> str:
        """Name an inode that ``agent`` has created."""
        count = self._created.get(agent, 0)
        self._created[agent] = count + 1
        self._ids[status.st_dev, status.st_ino] = id = f"{agent}.{count}"
        return id

    def id(self, status: os.stat_result) -> str:
        """Name of an inode. One that nobody was seen to create is a stranger's, or was created without a name."""
        key = status.st_dev, status.st_ino
        return self._ids.get(key) or self.create(-1, status)

    def opened(self, pid: int, descriptor: int) -> Opened | None:
        """What a descriptor stands for; None if it is not in the shared directory."""
        known = self._opened.get(pid)
        if known is None:
            known = self._opened[pid] = {}
        if descriptor not in known:
            try:
                known[descriptor] = self._look(f"/proc/{pid}/fd/{descriptor}")
            except OSError:
                return None  # it is not open, but the next one may be
        return known[descriptor]

    def elsewhere(self, pid: int, descriptor: int) -> Opened | None:
        """What a descriptor stands for that is not in the shared directory; None if it is not open."""
        link = f"/proc/{pid}/fd/{descriptor}"
        try:
            path = os.readlink(link)
            return Opened(path, path if path.isprintable() else repr(path)[1:-1], path, os.stat(link))
        except OSError:
            return None

    def are_open(self, pid: int) -> bool:
        """Whether a process has a descriptor of what is in the shared directory, or was when it had a name."""
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{descriptor}") for descriptor in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            return True  # it has just changed: look closely
        return any(link.startswith(self._prefix) or link == self.root for link in links)

    def closed(self, pid: int, descriptor: int) -> None:
        """A descriptor is about to be closed, or to stand for something else."""
        self._opened.get(pid, {}).pop(descriptor, None)

    def forget(self, pid: int) -> None:
        """A process is new, or has other descriptors, or is about to have another working directory."""
        self._opened.pop(pid, None)
        self._directories.pop(pid, None)

    def forget_paths(self) -> None:
        """An entry is about to change, or has changed: paths lead elsewhere, and what is open is called otherwise."""
        self._opened.clear()
        self._files.clear()
        self._places.clear()
        self._directories.clear()

    def _look(self, link: str) -> Opened | None:
        status = os.stat(link)
        key = status.st_dev, status.st_ino
        if key in self._files:
            return self._files[key]
        path = os.readlink(link)
        if not path.startswith(self._prefix) and path != self.root:
            return None
        text = NAMELESS if _NAMELESS.search(path) else self.text(path)
        opened = Opened(path, text, self.id(status), status)
        if status.st_nlink == 1:  # else another descriptor of it may have another path
            self._files[key] = opened
        return opened

    def unnamed(self, file: Opened) -> Place:
        """What is reached by its descriptor, and not by an entry of a directory."""
        return Place(file.path, file.text, (), None, "", file.id, file.status)

    def base(self, pid: int, descriptor: int | None) -> str:
        """Directory from which a relative path starts: a descriptor's, or the working directory."""
        if descriptor is not None:
            known = self.opened(pid, descriptor)
            return os.readlink(f"/proc/{pid}/fd/{descriptor}") if known is None else known.path
        if pid not in self._directories:
            self._directories[pid] = os.readlink(f"/proc/{pid}/cwd")
        return self._directories[pid]

    def place(self, base: str, path: str, follow: bool) -> Place | None:
        """As `locate`, which is asked once for as long as no entry changes."""
        key = base, path, follow
        places = self._places
        if key not in places:
            removed = base.endswith(_DELETED) and path[:1] != "/" and not os.path.lexists(base)
            places[key] = self._from_removed(base, path, follow) if removed else self.locate(base, path, follow)
        return places[key]

    def _from_removed(self, base: str, path: str, follow: bool) -> Place | None:
        """Where a path leads from a directory that was removed: it has no entries, but one above."""
        above, _, name = base.removesuffix(_DELETED).rpartition("/")
        while above and not os.path.lexists(above):
            above, _, name = above.rpartition("/")
        parts = _parts(path)
        if not above.startswith(self._prefix) and above != self.root:
            return None
        entry = self.id(os.lstat(above)), name
        if parts and parts.pop() == "..":
            place = self.locate(above, "/".join(reversed(parts)), follow)
            return place and replace(place, entries=(entry, *place.entries))
        return Place(base, self.text(f"{base}/{path}"), (entry,), None, name, None, None)

    def locate(self, base: str, path: str, follow: bool, links: int = 0) -> Place | None:
        """Where ``path`` leads from ``base``; the last symlink is followed only if ``follow``.

        Args:
            links: How many symlinks were followed already.

        Returns:
            None if no entry of the shared directory is on the way.
        """
        full = path if path.startswith("/") else f"{base}/{path}"
        if not full.startswith(self._prefix) and full != self.root:
            full = self._from_outside(full, follow)
            if not full.startswith(self._prefix) and full != self.root:
                return None
        return self._walk(full, follow, links)

    def _from_outside(self, path: str, follow: bool) -> str:
        """``path`` without symlinks. What lies outside does not change, so it is looked up once."""
        if not follow:
            head, _, last = path.rstrip("/").rpartition("/")
            return f"{self._from_outside(head or '/', True)}/{last}"
        known = self._outside.get(path)
        if known is None:
            if len(self._outside) >= _REMEMBERED_MAX:
                self._outside.clear()
            known = self._outside[path] = os.path.realpath(path)
        return known

    def _leave(
        self, at: str, parts: list[str], entries: list[tuple[str, str]], follow: bool, links: int
    ) -> Place | None:
        """A path leads out of the shared directory; perhaps it comes back."""
        full = "/".join([at, *reversed(parts)])
        place = self.locate("/", full, follow, links)
        if place is not None:
            return replace(place, entries=(*entries, *place.entries))
        return Place(full, full, tuple(entries), None, "", None, None) if entries else None

    def _walk(self, full: str, follow: bool, links: int) -> Place | None:
        at, parts = self.root, _parts(full[len(self._prefix) :])
        entries: list[tuple[str, str]] = []
        status: os.stat_result | None = os.lstat(at) if not parts else None
        if not parts:
            assert status is not None
            return Place(at, ".", (), "..", ".", self.id(status), status)
        directory = "."
        while True:
            name = parts.pop()
            here = f"{at}/{name}"
            if name == "..":
                if at == self.root:
                    return self._leave(os.path.dirname(at), parts, entries, follow, links)
                at = os.path.dirname(at)
                directory = self.id(os.lstat(at))
                parts = parts or ["."]
                continue
            try:
                status = os.lstat(here)
            except OSError:
                status = None
            if status is not None and stat.S_ISLNK(status.st_mode) and (parts or follow):
                entries.append((directory, name))
                links += 1
                target = os.readlink(here)
                if links > _SYMLINKS_MAX:
                    return Place(here, self.text(here), tuple(entries), None, name, None, None)
                if target.startswith("/"):
                    return self._leave("", [*parts, *_parts(target)], entries, follow, links)
                parts.extend(_parts(target))
                if parts:
                    continue
            if not parts:
                id = None if status is None else self.id(status)
                return Place(here, self.text(here), tuple(entries), directory, name, id, status)
            entries.append((directory, name))
            if status is None:
                return Place(here, self.text(here), tuple(entries), None, name, None, None)
            at, directory = here, self.id(status)


def _parts(path: str) -> list[str]:
    """Components of a path, the first of them last."""
    parts: Sequence[str] = path.split("/")
    return [part for part in reversed(parts) if part and part != "."]
