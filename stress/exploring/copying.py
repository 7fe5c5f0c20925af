"""Copies of a directory: what is put back before each execution has to be what was there."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path


def copy_tree(source: str | Path, target: str | Path) -> None:
    """Copy all that is in ``source`` to the empty directory ``target``: content, mode, owner, times, attributes.

    Symbolic links, FIFOs and files with several names stay what they are.

    Raises:
        OSError: Something can't be read, or is neither of these, such as a socket.
    """
    names: dict[tuple[int, int], str] = {}
    pending = [(os.fspath(source), os.fspath(target))]
    made: list[tuple[str, str, os.stat_result]] = []
    while pending:
        here, there = pending.pop()
        made.append((here, there, os.lstat(here)))
        with os.scandir(here) as entries:
            for entry in entries:
                status, to = entry.stat(follow_symlinks=False), os.path.join(there, entry.name)
                first = names.setdefault((status.st_dev, status.st_ino), to)
                if first != to:
                    os.link(first, to, follow_symlinks=False)
                elif entry.is_dir(follow_symlinks=False):
                    os.mkdir(to)
                    pending.append((entry.path, to))
                else:
                    _copy(entry.path, to, status)
    for here, there, status in reversed(made):  # what is made in a directory changes its times
        _dress(here, there, status)


def _copy(path: str, to: str, status: os.stat_result) -> None:
    if stat.S_ISFIFO(status.st_mode):
        os.mkfifo(to)
    else:
        shutil.copyfile(path, to, follow_symlinks=False)
    _dress(path, to, status)


def _dress(path: str, to: str, status: os.stat_result) -> None:
    """Owner, mode, times and attributes."""
    own = os.lstat(to)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        os.chown(to, status.st_uid, status.st_gid, follow_symlinks=False)
    shutil.copystat(path, to, follow_symlinks=False)
