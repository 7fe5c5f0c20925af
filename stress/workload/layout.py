"""The files of a world laid out in a directory, and which of the paths there belong to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from stress.history.record import INITIAL
from stress.host.users import COLLEAGUES
from stress.workload.payload import document_of, log_record
from stress.workload.scenario import SharedFile
from stress.workload.tree import XATTR, XATTR_VALUE, Tree, is_backup, owners
from stress.workload.world import World


def lay_out(world: World, directory: Path) -> None:
    """Make every shared file as it has to be at the start; ``directory`` is empty."""
    for file, facts in zip(world.files, world.facts, strict=True):
        path = directory / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.link is not None:
            path.symlink_to(file.link)
            path = path.parent / file.link
            path.parent.mkdir(parents=True, exist_ok=True)
        for other in file.beside:
            (directory / other.path).write_bytes(other.content)
            os.utime(directory / other.path, (other.mtime_s, other.mtime_s))
        if file.absent:
            continue
        with open(path, "wb") as made:
            made.write(first_bytes(file))
            os.fchmod(made.fileno(), file.mode)
        if hasattr(os, "setxattr") and "metadata" in facts.checkers:
            try:
                os.setxattr(path, XATTR, XATTR_VALUE)
            except OSError:
                pass  # no extended attributes here; then none is asked for afterwards
    if world.colleagues:
        first = COLLEAGUES[0]
        for folder, _, names in os.walk(directory):
            os.chown(folder, 0, first.gid)
            os.chmod(folder, 0o2775)  # what is made in it is the group's
            for name in names:
                os.chown(os.path.join(folder, name), first.uid, first.gid, follow_symlinks=False)


def first_bytes(file: SharedFile) -> bytes:
    """What a file holds at the start."""
    if file.content is not None:
        return file.content
    if file.form == "log":
        return log_record(INITIAL, 40).encode()
    return json.dumps(document_of(INITIAL, 64, file.shape)).encode("utf-8")


def belonging(world: World) -> Callable[[str], bool]:
    """Whether what is at a path, relative to the directory, is part of the scenarios: a shared file, what was laid
    beside one, a backup, or a folder of these. What a recovery leaves beside its file is evidence, and belongs too.
    """
    ours = world.laid_out
    folders = {str(folder) for path in ours for folder in Path(path).parents}
    evidence = {str(Path(file.path).parent) for file in world.files if file.recovery is not None}
    return lambda path: path in ours or path in folders or is_backup(path) or str(Path(path).parent) in evidence


def watched(world: World, before: Tree) -> Mapping[int, tuple[str, int, frozenset[tuple[int, int]]]]:
    """The files whose metadata is judged: index → path, mode, and the users and groups to whom it may belong.

    ``before`` is the directory as it was laid out.
    """
    return {
        index: (facts.path, facts.mode, owners(world, node))
        for index, facts in enumerate(world.facts)
        if "metadata" in facts.checkers and (node := before.get(facts.path)) and node.exists
    }
