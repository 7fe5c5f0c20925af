"""Where a path leads, and what it is called in every replay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stress.syscalls.names import Names


@pytest.fixture
def names(shared: Path) -> Names:
    (shared / "x").write_text("1")
    (shared / "d").mkdir()
    (shared / "d" / "y").write_text("2")
    (shared / "to-x").symlink_to("x")
    (shared / "to-d").symlink_to(shared / "d")
    (shared / "to-to-x").symlink_to("./to-x")
    (shared / "circle").symlink_to("circle")
    (shared / "long-circle").symlink_to(shared / "long-circle")
    (shared / "out").symlink_to("/etc/passwd")
    (shared / "dangling").symlink_to("d/none")
    names = Names(shared)
    names.begin(10**18)
    return names


@pytest.mark.parametrize(
    ("path", "follow", "expected"),
    [
        ("x", True, ("x", ".", "x", "x", [])),
        ("d/y", True, ("d/y", "d", "y", "d/y", [(".", "d")])),
        ("to-x", True, ("x", ".", "x", "x", [(".", "to-x")])),
        ("to-x", False, ("to-x", ".", "to-x", "to-x", [])),
        ("to-to-x", True, ("x", ".", "x", "x", [(".", "to-to-x"), (".", "to-x")])),
        ("to-d/y", True, ("d/y", "d", "y", "d/y", [(".", "to-d"), (".", "d")])),
        ("d/../x", True, ("x", ".", "x", "x", [(".", "d")])),
        ("none", True, ("none", ".", "none", None, [])),
        ("dangling", True, ("d/none", "d", "none", None, [(".", "dangling"), (".", "d")])),
        ("none/y", True, ("none", None, "none", None, [(".", "none")])),
        ("out", True, ("/etc/passwd", None, "", None, [(".", "out")])),
        (".", True, (".", "..", ".", ".", [])),
    ],
)
def test_a_path_is_followed_entry_by_entry(
    names: Names, path: str, follow: bool, expected: tuple[str, str | None, str, str | None, list[tuple[str, str]]]
) -> None:
    place = names.locate(names.root, path, follow)
    assert place is not None
    assert (place.text, place.parent, place.name, place.id, [*place.entries]) == expected


@pytest.mark.parametrize("path", ["circle", "long-circle"])
def test_a_circle_ends(names: Names, path: str) -> None:
    place = names.locate(names.root, path, True)
    assert place is not None
    assert place.parent is None


def test_what_lies_outside_has_no_place(names: Names, tmp_path: Path) -> None:
    assert names.locate("/", "/etc/passwd", True) is None
    assert names.locate(names.root, "../other", True) is None
    assert names.locate("/", f"{names.root}-other/x", True) is None
    place = names.locate(names.root, "../shared/d/y", True)
    assert place is not None
    assert place.text == "d/y"


def test_a_way_in_from_outside_is_seen(names: Names, tmp_path: Path) -> None:
    (tmp_path / "in").symlink_to(names.root)
    place = names.locate("/", str(tmp_path / "in" / "x"), False)
    assert place is not None
    assert place.text == "x"


def test_a_new_inode_is_named_by_who_made_it(names: Names, shared: Path) -> None:
    (shared / "new").write_text("")
    assert names.create(1, os.stat(shared / "new")) == "1.0"
    assert names.id(os.stat(shared / "new")) == "1.0"
    os.rename(shared / "new", shared / "x")
    place = names.locate(names.root, "x", True)
    assert place is not None
    assert place.id == "1.0"
    names.begin(10**18)
    assert names.id(os.stat(shared / "x")) == "x"
