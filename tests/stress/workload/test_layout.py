"""The world is laid out as scenarios describe it, and what is left is judged from a tree alone."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from stress.history.history import FinalFile, FinalState
from stress.history.kinds import Kind
from stress.history.record import ABSENT, GARBAGE, INITIAL, NO_VERSION, version_of
from stress.host.users import COLLEAGUES
from stress.workload.catalog import SCENARIOS
from stress.workload.inspection import inspect
from stress.workload.layout import lay_out
from stress.workload.payload import document_of
from stress.workload.scenario import Beside, Scenario, SharedFile
from stress.workload.tree import XATTR, XATTR_VALUE, Node, Tree, take
from stress.workload.world import World, compose

CONTEXT = SharedFile("a/context.json", shape={"n": 0}, mode=0o640)
LINKED = SharedFile("list.json", form="list", shape=[{"n": 0}], link="state/list.json")
LOG = SharedFile("log.txt", form="log")
ABSENT_FILE = SharedFile("done.json", absent=True)
CORRUPT = SharedFile(
    "r/state.json", content=b'{"x":', corrupt=b'{"x":', recovery="restore", recovered=version_of(0, 1),
    beside=(Beside("r/state.json.7.bak", json.dumps(document_of(version_of(0, 1), 9, {})).encode(), 7),),
)  # fmt: skip
FILES = (CONTEXT, LINKED, LOG, ABSENT_FILE, CORRUPT)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    one = Scenario("one", "", FILES, (), frozenset({"metadata"}), frozenset({Kind.WRITE}))
    monkeypatch.setattr(SCENARIOS, "_things", {"one": one})
    return compose(["one"], frozenset())[0]


def _residue(name: str) -> bool:
    return name.endswith(".lock")


def _files(state: FinalState) -> dict[str, FinalFile]:
    return dict(zip([file.path for file in FILES], state.files, strict=True))


def _document(version: int) -> bytes:
    return json.dumps(document_of(version, 9, {})).encode()


def test_a_fresh_world_is_as_described(world: World, tmp_path: Path) -> None:
    lay_out(world, tmp_path)
    tree = take(world, tmp_path)
    state = inspect(world, tree, tree, _residue)
    found = _files(state)
    assert found[CONTEXT.path].version == INITIAL
    assert found[CONTEXT.path].mode == 0o640
    assert found[LINKED.path].link == "state/list.json"
    assert found[LINKED.path].version == INITIAL
    assert found[LOG.path].content.startswith(b"=== initial ")
    assert (found[ABSENT_FILE.path].exists, found[ABSENT_FILE.path].version) == (False, ABSENT)
    assert (found[CORRUPT.path].version, found[CORRUPT.path].content) == (GARBAGE, CORRUPT.content)
    assert all(file.evidence_kept and not file.xattrs_lost and not file.owner_changed for file in state.files)
    assert state.backups["r/state.json.7.bak"][0] == version_of(0, 1)
    assert state.leftovers == ()


def test_what_is_there_is_taken_as_it_is(world: World, tmp_path: Path) -> None:
    lay_out(world, tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a/.tmp.x").write_bytes(b"of no use to anybody")
    (tmp_path / "dangling.bak").symlink_to("nowhere")
    os.mkfifo(tmp_path / "a/pipe.bak")
    (tmp_path / LOG.path).unlink()
    (tmp_path / LOG.path).mkdir()
    tree = take(world, tmp_path)
    assert tree[LINKED.path].link == "state/list.json"
    assert tree[LINKED.path].content == (tmp_path / "state/list.json").read_bytes()
    assert (tree["a/.tmp.x"].content, tree["a/pipe.bak"].content) == (None, None), "not read"
    assert tree["dangling.bak"] == Node(link="nowhere", exists=False)
    assert (tree[LOG.path].content, tree[LOG.path].exists) == (None, True)
    assert ABSENT_FILE.path not in tree
    assert "empty" not in tree


def test_a_backup_is_what_its_maker_says_whatever_it_is_called(world: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    lay_out(world, home)
    (home / "a/backups").mkdir()
    for name in ("home/a/backups/7-1.json", "home/a/context.json~", "outside.json"):
        (tmp_path / name).write_bytes(OLD)
    made = {"a/backups/7-1.json", "../outside.json"}
    state = inspect(world, take(world, home, made), BEFORE, _residue, made)
    assert {path: version for path, (version, _) in state.backups.items() if path in made} == dict.fromkeys(
        made, version_of(1, 1)
    )
    assert state.leftovers == ("a/context.json~",), "which nobody has called a backup"


# No disk from here: a tree is a mapping.

OLD = _document(version_of(1, 1))
NEW = _document(version_of(1, 2))
BEFORE: Tree = {
    CONTEXT.path: Node(OLD, mode=0o640, owner=(7, 7), xattr=XATTR_VALUE),
    LINKED.path: Node(OLD, link="state/list.json"),
    CORRUPT.path: Node(CORRUPT.corrupt),
}


@pytest.mark.parametrize(
    ("node", "changed"),
    [
        (Node(NEW, 0o640, (7, 7), XATTR_VALUE), {"version": version_of(1, 2)}),
        (Node(OLD, 0o600, (7, 7), XATTR_VALUE), {"mode": 0o600}),
        (Node(OLD, 0o640, (7, 8), XATTR_VALUE), {"owner_changed": True}),
        (Node(OLD, 0o640, (7, 7), None), {"xattrs_lost": (XATTR,)}),
        (Node(b"{", 0o640, (7, 7), XATTR_VALUE), {"version": GARBAGE, "parent": NO_VERSION, "content": b"{"}),
        (Node(None, 0o640, (7, 7), XATTR_VALUE), {"version": GARBAGE, "parent": NO_VERSION}),  # a folder, say
    ],
)
def test_each_change_of_a_file_is_told(world: World, node: Node, changed: dict[str, object]) -> None:
    same = _files(inspect(world, BEFORE, BEFORE, _residue))[CONTEXT.path]
    assert (same.version, same.mode, same.owner_changed, same.xattrs_lost) == (version_of(1, 1), 0o640, False, ())
    found = _files(inspect(world, {**BEFORE, CONTEXT.path: node}, BEFORE, _residue))[CONTEXT.path]
    assert found == replace(same, **changed)  # type: ignore[arg-type]


def test_a_link_that_became_a_file_or_leads_nowhere_is_told(world: World) -> None:
    found = _files(inspect(world, {LINKED.path: Node(OLD)}, BEFORE, _residue))[LINKED.path]
    assert (found.exists, found.link) == (True, None)
    found = _files(inspect(world, {LINKED.path: Node(link="gone", exists=False)}, BEFORE, _residue))[LINKED.path]
    assert (found.exists, found.link, found.version) == (False, "gone", ABSENT)


def test_a_file_that_was_not_there_at_the_start_may_belong_to_anybody(world: World) -> None:
    tree = {ABSENT_FILE.path: Node(OLD, owner=(8, 8))}
    assert not _files(inspect(world, tree, BEFORE, _residue))[ABSENT_FILE.path].owner_changed


def test_colleagues_may_own_each_others_files_and_nobody_else(world: World) -> None:
    shared = replace(world, scenarios=(replace(world.scenarios[0], colleagues=True),))
    for owner, changed in ((COLLEAGUES[0], False), (COLLEAGUES[1], False), (None, True)):
        tree = {CONTEXT.path: Node(OLD, owner=(owner.uid, owner.gid) if owner else (7, 7))}
        assert _files(inspect(shared, tree, BEFORE, _residue))[CONTEXT.path].owner_changed is changed


@pytest.mark.parametrize(
    ("beside", "kept"),
    [
        ({"r/evidence": Node(CORRUPT.corrupt)}, True),
        ({"elsewhere": Node(CORRUPT.corrupt)}, False),
        ({"r/evidence": Node(CORRUPT.corrupt[:-1])}, False),
        ({}, False),
    ],
)
def test_evidence_of_a_corruption_is_kept_beside_its_file_or_lost(
    world: World, beside: dict[str, Node], kept: bool
) -> None:
    tree = {CORRUPT.path: Node(NEW), **beside}
    assert _files(inspect(world, tree, BEFORE, _residue))[CORRUPT.path].evidence_kept is kept


def test_backups_are_told_from_leftovers_and_residue(world: World) -> None:
    tree = {
        "a/context.json.1.bak": Node(OLD),
        "b.bak": Node(None),  # no regular file: no backup
        "z.tmp": Node(),
        "a/.tmp.x": Node(),
        "a/context.json.lock": Node(),
        "state/list.json": Node(OLD),  # what the link leads to
        "r/state.json.7.bak": Node(b"torn"),
    }
    state = inspect(world, tree, BEFORE, _residue)
    assert {path: version for path, (version, _) in state.backups.items()} == {
        "a/context.json.1.bak": version_of(1, 1),
        "r/state.json.7.bak": GARBAGE,
    }
    assert state.leftovers == ("a/.tmp.x", "b.bak", "z.tmp")
