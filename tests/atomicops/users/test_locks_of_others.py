"""A lock has the reach of what it protects: who may write the file may take its lock, whoever made it, in any umask."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.atomicops.both import LANGUAGES
from tests.atomicops.users.people import (
    ALICE,
    BOB,
    CAROL,
    ROOT,
    SHARED,
    Installed,
    Person,
    acl,
    public_folder,
    sweep_public_folders,
)

UMASKS = [0o000, 0o027, 0o077]


def shared(place: Path) -> Path:
    """A setgid folder of a group, with a file that the group may write."""
    path = place / "s" / "state.json"
    path.parent.mkdir()
    path.write_text('{"n": 0}')
    for one, mode in ((path.parent, 0o2775), (path, 0o664)):
        os.chown(one, ALICE.uid, SHARED)
        one.chmod(mode)
    return path


def ones_own(place: Path) -> Path:
    path = place / "s" / "state.json"
    path.parent.mkdir()
    path.write_text('{"n": 0}')
    os.chown(path.parent, ALICE.uid, ALICE.uid)
    os.chown(path, ALICE.uid, ALICE.uid)
    return path


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_writer_has_a_umask(installed: Installed, place: Path, language: str, umask: int) -> None:
    path = shared(place)
    for person in (ALICE, BOB, ALICE, BOB):
        done = installed.of(person, umask).increment(language, path, place)
        assert (done.code, done.err) == (0, ""), person
    assert json.loads(path.read_text()) == {"n": 4}
    assert path.stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
@pytest.mark.parametrize("language", LANGUAGES)
def test_root_writes_a_users_file(installed: Installed, place: Path, language: str, umask: int) -> None:
    path = ones_own(place)
    for person in (ROOT, ALICE, ROOT, ALICE):
        done = installed.of(person, umask).increment(language, path, place)
        assert (done.code, done.err) == (0, ""), person
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (ALICE.uid, ALICE.uid, 0o644)
    for suffix in ("a", "b"):
        for person in (ROOT, ALICE):
            done = installed.of(person, umask).call(language, "backup", path, suffix, cwd=place)
            assert done.code == 0, (person, done)
    assert all(ALICE.may(copy) for copy in path.parent.glob("*.bak"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lock_that_lacks_its_owner_alone(installed: Installed, place: Path, language: str) -> None:
    """Mode and group are those of the file, and yet its owner can't open it before root has been there."""
    path = ones_own(place)
    path.chmod(0o600)
    lock = path.with_name(".state.json.lock")
    lock.touch()
    lock.chmod(0o600)
    os.chown(lock, 0, ALICE.uid)
    for person in (ROOT, ALICE):
        done = installed.of(person).increment(language, path, place)
        assert (done.code, done.err) == (0, ""), person


@pytest.mark.parametrize("language", LANGUAGES)
def test_root_is_refused_and_leaves_a_lock(installed: Installed, place: Path, language: str) -> None:
    path = ones_own(place)
    second = path.with_name("second.json")
    second.hardlink_to(path)
    done = installed.of(ROOT, 0o077).increment(language, path, place)
    assert (done.code, done.refused) == (73, True), done
    second.unlink()
    done = installed.of(ALICE).increment(language, path, place)
    assert (done.code, done.err) == (0, ""), done


@pytest.mark.parametrize("language", LANGUAGES)
def test_root_restores_what_is_missing(installed: Installed, place: Path, language: str) -> None:
    path = ones_own(place)
    path.rename(path.with_name("state.json.old.bak"))
    done = installed.of(ROOT, 0o077).call(language, "recover", path, "--restore-missing", cwd=place)
    assert done.code == 0, done
    done = installed.of(ALICE).increment(language, path, place)
    assert (done.code, done.err) == (0, ""), done


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_file_of_a_shared_folder(installed: Installed, place: Path, language: str, umask: int) -> None:
    """It is as open as its maker's umask says. If that lets the group write, the lock does as well."""
    path = shared(place).with_name("new.json")
    done = installed.of(ALICE, umask).call(language, "write", '{"n": 0}', path, cwd=place)
    assert (done.code, done.err) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert path.stat().st_gid == SHARED
    done = installed.of(BOB, umask).increment(language, path, place)
    assert (done.code == 0) == ("w" in BOB.may(path)), done
    assert done.code == 0 or "new.json" in done.err


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_may_not_look_at_the_file_leaves_a_lock(installed: Installed, place: Path, language: str) -> None:
    """Its list cannot be read: better a lock that all may take than one that keeps somebody out."""
    path = shared(place)
    path.chmod(0o600)
    done = installed.of(BOB, 0o077).call(language, "write", "1", path, cwd=place)
    assert (done.code, path.with_name(".state.json.lock").exists()) == (73, True), done
    done = installed.of(ALICE).increment(language, path, place)
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o2770], ids=oct)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lock_is_made_and_no_file(installed: Installed, place: Path, language: str, mode: int) -> None:
    """Who may make the file may take the lock that a refused writer has left, in whatever umask."""
    path = shared(place).with_name("new.json")
    path.parent.chmod(mode)
    version = "sha256-" + "0" * 64
    done = installed.of(ALICE, 0o077).call(language, "write", "--if-version", version, "1", path, cwd=place)
    assert (done.code, path.with_name(".new.json.lock").exists()) == (76, True), done
    other = CAROL if mode & 0o002 else BOB
    done = installed.of(other).call(language, "write", "2", path, cwd=place)
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("mode", [0o600, 0o000, 0o644], ids=oct)
@pytest.mark.parametrize("owner", [ROOT, BOB, ALICE], ids=lambda person: person.name)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lock_that_somebody_made(installed: Installed, place: Path, language: str, owner: Person, mode: int) -> None:
    """It serves, or the message names it; and whoever owns it, or is root, puts it right when he takes it."""
    path = shared(place)
    lock = path.with_name(".state.json.lock")
    lock.touch()
    os.chown(lock, owner.uid, owner.uid)
    lock.chmod(mode)
    done = installed.of(ALICE).increment(language, path, place)
    if (owner is ALICE and mode & 0o400) or mode & 0o044:
        assert done.code == 0, done
    if done.code:
        assert (done.code, done.refused) == (73, True), done
        assert ".state.json.lock" in done.err
        assert json.loads(path.read_text()) == {"n": 0}
    if not mode & 0o400 and owner is not ROOT:
        return  # not even its owner may open it
    done = installed.of(owner).increment(language, path, place)
    assert done.code == 0, done
    for person in (ALICE, BOB):
        done = installed.of(person).increment(language, path, place)
        assert done.code == 0, (person, done)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_lock_gives_nobody_a_right(installed: Installed, place: Path, language: str) -> None:
    """It is no wider than the file that it protects."""
    path = ones_own(place)
    path.chmod(0o600)
    assert installed.of(ALICE, 0).increment(language, path, place).code == 0
    lock = path.with_name(".state.json.lock")
    assert (BOB.may(lock), CAROL.may(lock)) == ("", "")
    assert lock.stat().st_size == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sticky_folder(installed: Installed, place: Path, language: str) -> None:
    """Only its owner replaces a file there; one's own is no trouble, with others' locks beside it."""
    folder = place / "s"
    folder.mkdir()
    folder.chmod(0o1777)
    for person in (ALICE, BOB):
        path = folder / f"{person.name}.json"
        assert installed.of(person, 0).call(language, "write", '{"n": 0}', path, cwd=place).code == 0
    done = installed.of(BOB).increment(language, folder / "alice.json", place)
    assert (done.code, done.refused) == (73, True), done
    assert "alice.json" in done.err
    (folder / "alice.json").chmod(0o666)  # Bob may write into it, but not put another in its place
    done = installed.of(BOB).increment(language, folder / "alice.json", place)
    assert (done.code, done.refused) == (73, True), done
    assert done.err.rpartition("; ")[2].startswith(f"leave alice.json to its owner {ALICE.uid}, for the directory"), (
        done
    )
    assert (folder / "alice.json").read_text() == '{"n": 0}\n'
    assert [name for name in os.listdir(folder) if name.endswith("-tmp")] == []
    assert installed.of(ALICE).increment(language, folder / "alice.json", place).code == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_may_not_be_written_is_not_half_recovered(installed: Installed, place: Path, language: str) -> None:
    """Refused before anything is made: or each try would leave one more copy of the corrupt bytes."""
    path = ones_own(place)
    path.parent.chmod(0o777)
    path.write_text("{torn")
    path.chmod(0o644)
    path.with_name("state.json.1.bak").write_text("{}")
    done = installed.of(BOB).call(language, "recover", path, cwd=place)
    assert (done.code, done.refused) == (73, True), done
    assert sorted(os.listdir(path.parent)) == [".state.json.lock", "state.json", "state.json.1.bak"]
    assert installed.of(ALICE).call(language, "recover", path, cwd=place).code == 0
    assert path.read_text() == "{}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_folder_that_may_not_be_listed_cannot_be_synced(installed: Installed, place: Path, language: str) -> None:
    """Told before anything is changed; what is not to be durable may be written there."""
    path = ones_own(place)
    path.parent.chmod(0o333)
    done = installed.of(ALICE).call(language, "write", '{"n": 1}', path, cwd=place)
    assert (done.code, done.refused) == (73, True), done
    assert "durability file" in done.err
    assert path.read_text() == '{"n": 0}'
    helpers, less = installed.of(ALICE), ["--durability", "file"]
    if language == "bash":
        helpers, less = replace(helpers, env={"ATOMICOPS_DURABILITY": "file"}), []
    assert helpers.call(language, "write", *less, "{}", path, cwd=place).code == 0
    assert path.read_text() == "{}\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_temp_file_of_another_user_stays(installed: Installed, place: Path, language: str) -> None:
    """Whether its writer is gone cannot be asked of a file that one may not open; one's own goes all the same."""
    path = shared(place)
    theirs, ours = (path.with_name(f".state.json.{digit * 32}.atomicops-tmp") for digit in "01")
    for temp, person in ((theirs, ALICE), (ours, BOB)):
        temp.touch(0o600)
        os.chown(temp, person.uid, SHARED)
    done = installed.of(BOB).call(language, "sweep", path.parent, cwd=place)
    assert (done.code, done.err) == (0, ""), done
    assert sorted(done.out.splitlines()) == [f"in use {theirs}", f"removed {ours}"], done
    assert (theirs.exists(), ours.exists()) == (True, False)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_folder_that_may_not_be_written(installed: Installed, place: Path, language: str) -> None:
    """The message names the folder, for that is what keeps him out."""
    path = ones_own(place)
    path.parent.chmod(0o555)
    path.chmod(0o666)
    done = installed.of(BOB).increment(language, path, place)
    assert (done.code, done.refused) == (73, True), done
    assert str(path.parent) in done.err.replace(str(path), "").replace(str(path.with_name(".state.json.lock")), "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_may_not_be_read(installed: Installed, place: Path, language: str) -> None:
    """A file, or its newest backup, that the user may not read is not taken for a corrupt or a missing one."""
    path = ones_own(place)
    backup = path.with_name("state.json.2.bak")
    for copy in (path.with_name("state.json.1.bak"), backup):
        copy.write_text('{"n": -1}')
        os.chown(copy, ALICE.uid, ALICE.uid)
    path.chmod(0)
    for operation in ("read", "recover", "backup"):
        done = installed.of(ALICE).call(language, operation, path, cwd=place)
        assert done.refused, (operation, done)
        assert done.code in (73, 74), (operation, done)
    assert path.read_text() == '{"n": 0}'
    path.chmod(0o644)
    path.write_text("{torn")
    backup.chmod(0)
    done = installed.of(ALICE).call(language, "recover", path, cwd=place)
    assert "state.json.2.bak" in done.out + done.err, done


def test_folders_that_killed_tests_have_left_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of others, and not those that are in use."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, foreign = tmp_path / "atomicops-users-left", tmp_path / "atomicops-users-foreign"
    for folder in (left, foreign):
        (folder / "inner").mkdir(parents=True)
    (left / "made-by-a-test").touch()
    with public_folder() as used:
        sweep_public_folders()
        assert used.is_dir()
        assert foreign.is_dir()
        assert not left.exists()
    assert os.listdir(tmp_path) == [foreign.name]


@dataclass(frozen=True)
class Turn:
    """Who does what, in which umask, of a file of Alice's and the group."""

    who: Person
    operation: str
    umask: int = 0o022


ALICES = Turn(ALICE, "write")
TURNS: dict[str, tuple[int, int, tuple[str, ...], Person | None, tuple[Turn, ...]]] = {
    # mode of the folder and of the file, entries of its ACL, who has made a narrow lock, and the turns
    "reads and makes a backup": (0o2775, 0o640, (), None, (Turn(BOB, "backup"), ALICES, Turn(BOB, "backup"))),
    "may write and not read": (0o2775, 0o620, (), None, (ALICES, Turn(BOB, "write"), ALICES)),
    "only others may": (0o1777, 0o606, (), None, (Turn(CAROL, "recover", 0o027), ALICES, Turn(CAROL, "recover"))),
    "a foreign lock, and root": (0o2775, 0o660, (), CAROL, (Turn(ROOT, "backup", 0o077), ALICES, Turn(BOB, "write"))),
    "a lock of ones own group": (0o2775, 0o660, (), BOB, (Turn(BOB, "write", 0o077), ALICES)),
    "by an ACL alone": (0o777, 0o000, (f"g:{SHARED}:rw",), None, (Turn(BOB, "write"), Turn(BOB, "write"))),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", TURNS)
def test_everybody_has_his_turn(installed: Installed, place: Path, name: str, language: str) -> None:
    folder, mode, entries, locker, turns = TURNS[name]
    path = shared(place)
    path.parent.chmod(folder)
    path.chmod(mode)
    if entries and not acl(path, *entries):
        pytest.skip("no ACLs here")
    if locker is not None:
        lock = path.with_name(f".{path.name}.lock")
        lock.touch(0o600)
        os.chown(lock, locker.uid, locker.uid)
        lock.chmod(0o660)
    for turn in turns:
        content = ('{"n": 1}',) if turn.operation == "write" else ()
        done = installed.of(turn.who, turn.umask).call(language, turn.operation, *content, path, cwd=place)
        assert done.code == 0, (turn, done)
    assert all(ALICE.may(copy) == "rw" for copy in path.parent.glob("*.bak"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_its_owner_keeps_what_write_takes_away(installed: Installed, place: Path, language: str) -> None:
    """write(2) of another than root takes set-user-ID away; the new file had none to lose, and gets it at the end."""
    path = ones_own(place).rename(place / "s" / "tool")
    path.chmod(0o4755)
    assert installed.of(ALICE).call(language, "write", "new", path, cwd=place).code == 0
    assert (path.read_text(), path.stat().st_mode & 0o7777) == ("new\n", 0o4755)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_folder_that_may_not_be_listed(installed: Installed, place: Path, language: str) -> None:
    path = shared(place)
    path.parent.chmod(0o2733)
    done = installed.of(CAROL).call(language, "recover", path.with_name("none.json"), "--restore-missing", cwd=place)
    assert (done.code, done.refused) == (73, True), done
    assert "readable" in done.err
