"""Whoever could read or write a file before still can, and nobody else; or it is refused, and unchanged.

Scenes of a folder and a file, each user as the writer, in both languages: the kernel is asked what each user may do
with the file before and after.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.atomicops.both import LANGUAGES
from tests.atomicops.users.people import ALICE, BOB, CAROL, EVERYBODY, ORDINARY, ROOT, SHARED, Installed, Person, acl

OLD = '{"n": 1}\n'


def scene(
    folder_owner: int, folder_group: int, folder_mode: int, owner: int, group: int, mode: int
) -> Callable[[Path], bool]:
    """A folder and the file in it; ``True`` when it could be laid out."""

    def lay_out(place: Path) -> bool:
        path = place / "s" / "state.json"
        path.parent.mkdir()
        path.write_text(OLD)
        os.chown(path, owner, group)
        path.chmod(mode)
        os.chown(path.parent, folder_owner, folder_group)
        path.parent.chmod(folder_mode)
        return True

    return lay_out


def with_acl(base: Callable[[Path], bool], folder: tuple[str, ...], file: tuple[str, ...]) -> Callable[[Path], bool]:
    def lay_out(place: Path) -> bool:
        path = place / "s" / "state.json"
        return base(place) and (not folder or acl(path.parent, *folder)) and acl(path, *file)

    return lay_out


A, B, C = ALICE.uid, BOB.uid, CAROL.uid
BOTH = frozenset({ALICE, BOB, ROOT})
SCENES: dict[str, tuple[Callable[[Path], bool], frozenset[Person]]] = {
    # what is there, and who must not be refused
    "one's own": (scene(A, A, 0o755, A, A, 0o644), frozenset({ALICE, ROOT})),
    "one's own secret": (scene(A, A, 0o700, A, A, 0o600), frozenset({ALICE, ROOT})),
    "a shared setgid folder": (scene(A, SHARED, 0o2775, A, SHARED, 0o664), BOTH),
    "a closed shared setgid folder": (scene(A, SHARED, 0o2770, A, SHARED, 0o660), BOTH),
    "a shared folder of root": (scene(0, SHARED, 0o2775, B, SHARED, 0o664), BOTH),
    "a shared folder without setgid": (scene(A, SHARED, 0o775, A, SHARED, 0o664), BOTH),
    "the group reads only": (scene(A, SHARED, 0o2775, A, SHARED, 0o644), frozenset({ALICE, ROOT})),
    "an owner outside of the group": (scene(C, SHARED, 0o2775, C, SHARED, 0o660), frozenset({CAROL, ROOT})),
    "an owner outside, others may read": (scene(C, SHARED, 0o2775, C, SHARED, 0o664), frozenset({CAROL, ROOT})),
    "the owner has less than the group": (scene(A, SHARED, 0o2775, A, SHARED, 0o464), frozenset({BOB, ROOT})),
    "others have more than the group": (scene(A, SHARED, 0o2777, A, SHARED, 0o606), frozenset()),
    "everybody writes": (scene(0, 0, 0o777, A, A, 0o666), frozenset(EVERYBODY)),
    "everybody writes, sticky": (scene(0, 0, 0o1777, A, A, 0o666), frozenset({ALICE, ROOT})),
    "another's group, writable by all": (scene(0, 0, 0o777, A, SHARED, 0o666), frozenset(EVERYBODY)),
    "all but the owner": (scene(0, 0, 0o777, A, SHARED, 0o066), frozenset({ROOT})),
    "read-only": (scene(A, A, 0o755, A, A, 0o444), frozenset()),
    "root's, in one's own folder": (scene(A, A, 0o755, 0, 0, 0o644), frozenset({ROOT})),
    "nobody may do anything": (scene(A, A, 0o777, A, A, 0), frozenset()),
    "set-id bits": (scene(A, SHARED, 0o2775, A, SHARED, 0o6775), frozenset({ALICE, ROOT})),
    "bob by an ACL": (
        with_acl(scene(A, A, 0o700, A, A, 0o600), (f"u:{B}:rwx",), (f"u:{B}:rw",)),
        frozenset({ALICE, ROOT}),
    ),
    "the group by an ACL, the owning group nothing": (
        with_acl(scene(A, A, 0o755, A, A, 0o600), (f"g:{SHARED}:rwx",), (f"g:{SHARED}:rw", "g::---")),
        frozenset({ALICE, ROOT}),
    ),
    "an ACL that denies bob": (
        with_acl(scene(A, SHARED, 0o2775, A, SHARED, 0o664), (f"u:{B}:rwx",), (f"u:{B}:---",)),
        frozenset({ALICE, ROOT}),
    ),
    "a mask narrows what bob has": (
        with_acl(scene(0, SHARED, 0o2777, A, SHARED, 0o646), (), (f"u:{B}:rw", "m::r")),
        frozenset({ALICE, ROOT}),
    ),
    "a default ACL on the folder": (
        with_acl(scene(A, A, 0o755, A, A, 0o640), (f"u:{B}:rwx", f"d:u:{B}:rw", f"d:u:{C}:r"), (f"u:{B}:rw",)),
        frozenset({ALICE, ROOT}),
    ),
    "a group that an ACL denies": (
        with_acl(scene(0, 0, 0o777, A, SHARED, 0o666), (), (f"u:{C}:rw", "g::---", "m::rw")),
        frozenset({ALICE, ROOT}),
    ),
    "a mask narrows what carol has": (
        with_acl(scene(0, C, 0o2777, A, C, 0o646), (), (f"u:{C}:rw", "m::r")),
        frozenset({ALICE, ROOT}),
    ),
    "an ACL that denies the owner, were he not the owner": (
        with_acl(scene(0, 0, 0o777, A, C, 0o666), (), (f"g:{A}:---",)),
        frozenset({CAROL, ROOT}),
    ),
    "an ACL by which the group may less than others": (
        with_acl(scene(0, 0, 0o777, A, SHARED, 0o666), (), (f"u:{C}:rw", "g::---")),
        frozenset({ALICE, ROOT}),
    ),
}


def state(path: Path) -> object:
    status = path.stat()
    values = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    return path.read_text(), status.st_ino, status.st_mode, status.st_uid, status.st_gid, values


def rights(path: Path) -> dict[str, str]:
    return {person.name: person.may(path) for person in ORDINARY}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SCENES)
def test_each_user_as_the_writer(installed: Installed, place: Path, name: str, language: str) -> None:
    lay_out, must = SCENES[name]
    refused = 0
    first = (list(SCENES).index(name) + LANGUAGES.index(language)) % 2
    for number, writer in enumerate(EVERYBODY[first::2]):  # the others are the other language's
        inner = place / str(number)
        inner.mkdir()
        if not lay_out(inner):
            pytest.skip("no access control lists here")
        path = inner / "s" / "state.json"
        before, old = rights(path), state(path)
        could = "w" in writer.may(path) or not writer.uid
        if not could and (refused := refused + 1) > 1:
            continue  # one of those who may not will do
        done = installed.of(writer, 0o077).increment(language, path, place)
        said = f"{writer.name}: {done}, before {before}"
        if done.code == 0:
            assert could, f"open(2) would have refused {said}"
            assert path.read_text() != OLD, said
            assert rights(path) == before, f"{said}, now {rights(path)} {path.stat()}"
            check_that_all_go_on(installed, language, path, must, before)
        else:
            assert done.refused, said
            assert state(path) == old, said
            assert writer not in must, said
            assert done.code in (65, 73), said
        assert [one for one in os.listdir(path.parent) if one.endswith("-tmp")] == []


def check_that_all_go_on(
    installed: Installed, language: str, path: Path, must: frozenset[Person], before: dict[str, str]
) -> None:
    """The lock that the first writer left, with a narrow umask perhaps, keeps nobody out."""
    other = LANGUAGES[language == LANGUAGES[0]]
    for person in sorted(must - {ROOT}, key=lambda person: person.uid)[:1]:
        done = installed.of(person).increment(other, path, path.parent.parent)
        assert done.code == 0, f"then {person.name}: {done}"
    assert rights(path) == before


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["a closed shared setgid folder", "bob by an ACL", "an owner outside of the group"])
def test_backup_and_evidence_tell_nobody_more(installed: Installed, place: Path, name: str, language: str) -> None:
    """Who could not read the file cannot read its copies either, whoever made them."""
    if not SCENES[name][0](place):
        pytest.skip("no access control lists here")
    path = place / "s" / "state.json"
    before = rights(path)
    for writer in EVERYBODY:
        installed.of(writer, 0o000).call(language, "backup", path, f"by-{writer.name}", cwd=place)
    status = path.stat()
    path.write_text("{torn")
    assert path.stat().st_mode == status.st_mode
    installed.of(BOB, 0o000).call(language, "recover", path, cwd=place)
    copies = [one for one in path.parent.iterdir() if one.name not in ("state.json", ".state.json.lock")]
    assert len(copies) >= 2, [one.name for one in path.parent.iterdir()]
    for copy in copies:
        for person in ORDINARY:
            gained = set(person.may(copy)) - set(before[person.name])
            assert not gained or copy.stat().st_uid == person.uid, f"{person.name} may {gained} {copy.name}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_becomes_anothers_runs_with_nobodys_rights(installed: Installed, place: Path, language: str) -> None:
    """Set-user-ID would lend those of the new owner."""
    path = place / "s" / "state.json"
    assert scene(B, SHARED, 0o2775, A, SHARED, 0o6775)(place)
    done = installed.of(BOB).increment(language, path, place)
    assert (done.code, done.err, path.stat().st_uid) == (0, "", B)
    assert path.stat().st_mode & 0o7777 == 0o775


@pytest.mark.parametrize("language", LANGUAGES)
def test_root_needs_no_entry_in_a_list(installed: Installed, place: Path, language: str) -> None:
    """It may do all: what becomes another's gets no list for its sake, which not every file system has."""
    path = place / "s" / "state.json"
    assert scene(0, SHARED, 0o2775, 0, SHARED, 0o664)(place)
    done = installed.of(BOB).increment(language, path, place)
    assert (done.code, done.err, os.listxattr(path)) == (0, "", [])


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_owner_keeps_set_user_id(installed: Installed, place: Path, language: str) -> None:
    """write(2) of another than root takes it away, from a temp file too."""
    path = place / "s" / "state.json"
    assert scene(A, A, 0o755, A, A, 0o4755)(place)
    done = installed.of(ALICE).increment(language, path, place)
    assert (done.code, done.err) == (0, "")
    assert path.stat().st_mode & 0o7777 == 0o4755
