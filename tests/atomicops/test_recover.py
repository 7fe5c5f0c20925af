"""Recovery: what counts as valid, which backup is taken, what is kept, and what is said."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import atomicops

BAD = b'{"torn": '


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with three backups: the newest is corrupt, the one before it is good."""
    path = tmp_path / "x.json"
    for second, content in ((1, b'{"n": 1}'), (2, b'{"n": 2}'), (3, b'{"n": ')):
        path.write_bytes(content)
        atomicops.create_backup(path, str(second))
    path.write_bytes(b'{"n": 4}')
    return path


def beside(path: Path, end: str) -> list[str]:
    return sorted(str(found) for found in path.parent.iterdir() if found.name.endswith(end))


def test_a_valid_file_is_left_alone(path: Path) -> None:
    before = path.stat()
    done = atomicops.recover(path)
    assert (done.status, done.ok, done.restored_from, done.evidence, done.rejected) == ("valid", True, None, None, ())
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert "nothing to do" in done.report()
    assert len(beside(path, ".bak")) == 3
    with_backup = atomicops.recover(path, backup=True)
    assert with_backup.safety_backup in atomicops.list_backups(path)
    assert str(with_backup.safety_backup) in with_backup.report()


@pytest.mark.parametrize("corrupt", [b"", BAD, b"\xff\xff", b"{}\0\0", b"{} {}", b"NaN"])
def test_the_newest_valid_backup_is_restored_and_the_evidence_kept(path: Path, corrupt: bytes) -> None:
    path.write_bytes(corrupt)
    path.chmod(0o640)
    done = atomicops.recover(path)
    assert (done.status, done.ok) == ("restored", True)
    assert done.restored_from == f"{path}.2.bak"
    assert done.rejected == (f"{path}.3.bak",)
    assert path.read_bytes() == b'{"n": 2}'
    assert path.stat().st_mode & 0o777 == 0o640
    assert [done.evidence] == beside(path, ".corrupt")
    assert Path(str(done.evidence)).read_bytes() == corrupt
    assert len(beside(path, ".bak")) == 3  # what it was restored from is still there
    report = done.report()
    for said in (str(path), f"{path}.2.bak", f"{path}.3.bak", str(done.evidence), str(done.reason)):
        assert said in report
    assert atomicops.recover(path).status == "valid"
    assert len(beside(path, ".corrupt")) == 1


def test_a_missing_file_is_reported_and_not_guessed(path: Path) -> None:
    path.unlink()
    done = atomicops.recover(path)
    assert (done.status, done.ok, done.restored_from) == ("missing", False, f"{path}.2.bak")
    assert "missing" in done.report()
    assert "not restored" in done.report()
    assert not path.exists()
    os.chmod(f"{path}.2.bak", 0o600)
    done = atomicops.recover(path, restore_missing=True)
    assert (done.status, done.ok, done.restored_from) == ("missing-restored", True, f"{path}.2.bak")
    assert path.read_bytes() == b'{"n": 2}'
    assert path.stat().st_mode & 0o777 == 0o600
    assert done.evidence is None


def test_a_missing_file_without_backups(tmp_path: Path) -> None:
    done = atomicops.recover(tmp_path / "x.json", restore_missing=True)
    assert (done.status, done.ok, done.restored_from) == ("missing", False, None)
    assert "no valid backup" in done.report()
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        atomicops.recover(tmp_path / "no" / "x.json")


def test_without_a_valid_backup_the_file_stays_and_the_evidence_is_kept_once(path: Path) -> None:
    path.write_bytes(BAD)
    for backup in atomicops.list_backups(path):
        Path(backup).write_bytes(b"corrupt too")
    for _ in range(3):
        done = atomicops.recover(path)
        assert (done.status, done.ok, done.restored_from, len(done.rejected)) == ("unrecoverable", False, None, 3)
        assert path.read_bytes() == BAD
        assert beside(path, ".corrupt") == [done.evidence]
    path.write_bytes(BAD + b"x")  # other damage is other evidence
    done = atomicops.recover(path)
    assert Path(str(done.evidence)).read_bytes() == BAD + b"x"
    assert len(beside(path, ".corrupt")) == 2


def test_other_files_have_other_validators(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("# good")
    atomicops.create_backup(path, "1")
    path.write_text("bad")

    def check(data: bytes) -> None:
        if not data.startswith(b"#"):
            raise ValueError("no heading")

    assert atomicops.recover(path, validate=check).reason == "no heading"
    assert path.read_text() == "# good"
    path.write_text("bad")
    assert atomicops.recover(path, validate=lambda data: data.startswith(b"#")).status == "restored"
    assert atomicops.recover(path, validate=check).status == "valid"


def test_an_error_is_not_taken_for_corruption(path: Path) -> None:
    def broken(data: bytes) -> None:
        raise RuntimeError("the validator is broken")

    path.write_bytes(BAD)
    with pytest.raises(RuntimeError):
        atomicops.recover(path, validate=broken)
    with pytest.raises(IsADirectoryError):
        atomicops.recover(path.parent)
    assert path.read_bytes() == BAD
    assert beside(path, ".corrupt") == []


def test_the_file_behind_a_symlink_is_restored(path: Path) -> None:
    (path.parent / "in").mkdir()
    (path.parent / "in" / "link").symlink_to("../x.json")
    path.write_bytes(BAD)
    done = atomicops.recover(path.parent / "in" / "link")
    assert done.status == "restored"
    assert os.path.samefile(str(done.restored_from), f"{path}.2.bak")
    assert (path.parent / "in" / "link").is_symlink()
    assert path.read_bytes() == b'{"n": 2}'


def test_two_that_run_at_once_restore_once(path: Path) -> None:
    path.write_bytes(BAD)
    code = "import sys, atomicops\nprint(atomicops.recover(sys.argv[1]).status)"
    children = [
        subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert sorted(child.communicate()[0].strip() for child in children) == ["restored", "valid", "valid", "valid"]
    assert len(beside(path, ".corrupt")) == 1


def test_what_was_found_does_not_change(path: Path) -> None:
    done = atomicops.recover(path)
    with pytest.raises(AttributeError):
        done.status = "restored"
    assert "status='valid'" in repr(done)


def test_what_was_found_comes_back_from_another_process(path: Path) -> None:
    """A pool whose result cannot be read back waits for ever."""
    path.write_bytes(BAD)
    for found in (atomicops.recover(path), atomicops.sweep_orphans(path.parent)):
        assert repr(pickle.loads(pickle.dumps(found))) == repr(copy.copy(found)) == repr(found)
