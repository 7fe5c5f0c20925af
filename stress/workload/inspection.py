"""What was left when every process had ended, judged from a tree alone: a pure function."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import PurePath

from stress.history.history import FileFacts, FinalFile, FinalState
from stress.history.record import ABSENT, GARBAGE, NO_VERSION
from stress.workload.payload import examine_bytes
from stress.workload.tree import XATTR, XATTR_VALUE, Node, Tree, is_backup, owners
from stress.workload.world import World


def inspect(
    world: World, tree: Tree, before: Tree, is_residue: Callable[[str], bool], made: Collection[str] = ()
) -> FinalState:
    """The shared files, backups and leftovers of ``tree``.

    ``before`` is the directory as it was laid out; ``is_residue`` tells of a base name whether it may stay behind, and
    with it all that is below. ``made`` are the paths of backups as `tree.take` has them.
    """
    ours = world.laid_out
    backups = {}
    leftovers = []
    contents: dict[str, set[bytes]] = defaultdict(set)
    for path, node in tree.items():
        name = PurePath(path)
        if node.content is not None:
            contents[str(name.parent)].add(node.content)
        if (path in made or is_backup(path)) and node.content is not None:
            backups[path] = examine_bytes(node.content).version, hashlib.sha256(node.content).hexdigest()
        elif path not in ours and not any(map(is_residue, name.parts)):
            leftovers.append(path)
    files = tuple(
        _final(world, facts, tree.get(facts.path), before.get(facts.path), contents[str(PurePath(facts.path).parent)])
        for facts in world.facts
    )
    return FinalState(files, backups, tuple(sorted(leftovers)))


def _final(world: World, facts: FileFacts, node: Node | None, before: Node | None, beside: set[bytes]) -> FinalFile:
    """One shared file; ``beside`` is what the regular files of its folder hold."""
    kept = not facts.corrupt or facts.corrupt in beside
    if node is None or not node.exists:
        return FinalFile(exists=False, version=ABSENT, link=None if node is None else node.link, evidence_kept=kept)
    # What is no regular file any more is no document either.
    seen = examine_bytes(node.content or b"") if facts.form.is_document else None
    version = NO_VERSION if seen is None else seen.version
    return FinalFile(
        exists=True,
        version=version,
        parent=NO_VERSION if seen is None else seen.parent,
        content=(node.content or b"") if facts.form == "log" or version == GARBAGE else b"",
        mode=node.mode,
        link=node.link,
        xattrs_lost=(XATTR,) if before and before.xattr == XATTR_VALUE != node.xattr else (),
        owner_changed=before is not None and before.exists and node.owner not in owners(world, before),
        evidence_kept=kept,
    )
