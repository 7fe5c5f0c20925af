"""Backups: whole, byte for byte, never over another, in an order that both languages agree on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import atomicops
from atomicops import _publish


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.json"
    path.write_bytes(b"\x00\xff not even JSON")
    return path


def backup_names(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path.parent) if name.endswith(".bak"))


def test_a_backup_is_named_by_the_second_and_is_the_same(path: Path) -> None:
    path.chmod(0o640)
    before = int(time.time())
    made = atomicops.create_backup(str(path))
    after = int(time.time())
    assert made in [f"{path}.{second}.bak" for second in range(before, after + 1)]
    assert Path(made).read_bytes() == path.read_bytes()
    assert os.stat(made).st_mode == path.stat().st_mode
    assert os.stat(made).st_ino != path.stat().st_ino
    assert os.stat(made).st_nlink == 1
    assert sorted(os.listdir(path.parent)) == [".x.json.lock", "x.json", os.path.basename(made)]


def test_extended_attributes_are_kept(path: Path) -> None:
    try:
        os.setxattr(path, "user.origin", b"here")
    except (OSError, AttributeError):
        pytest.skip("no user extended attributes here")
    assert os.getxattr(atomicops.create_backup(path), "user.origin") == b"here"


def test_a_taken_name_gets_a_counter(path: Path) -> None:
    (path.parent / "x.json.s.2.bak").symlink_to("nowhere")  # a name is taken also by a dangling symlink
    made = [atomicops.create_backup(path, "s") for _ in range(4)]
    assert made == [f"{path}.s.bak", f"{path}.s.1.bak", f"{path}.s.3.bak", f"{path}.s.4.bak"]


def test_backups_made_at_once_by_many_are_all_there(path: Path) -> None:
    code = (
        "import sys, atomicops\nfor _ in range(10): print(atomicops.create_backup(sys.argv[1], 's', durability='none'))"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    made = [line for child in children for line in child.communicate()[0].splitlines()]
    assert len(set(made)) == 40
    assert sorted(os.path.basename(name) for name in made) == backup_names(path)


def test_the_path_is_given_as_it_was_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path.parent / "in").mkdir()
    (path.parent / "in" / "link").symlink_to("../x.json")
    monkeypatch.chdir(path.parent)
    assert atomicops.create_backup("x.json", "a") == "x.json.a.bak"
    assert atomicops.create_backup("./x.json", "b") == "./x.json.b.bak"
    assert atomicops.create_backup("in/link", "c") == "in/../x.json.c.bak"
    assert sorted(atomicops.list_backups("x.json")) == ["x.json.a.bak", "x.json.b.bak", "x.json.c.bak"]


@pytest.mark.parametrize("suffix", ["", "a/b", "/", "a\0b"])
def test_a_suffix_that_is_no_part_of_a_name_is_refused(path: Path, suffix: str) -> None:
    with pytest.raises(ValueError, match="suffix"):
        atomicops.create_backup(path, suffix)
    assert os.listdir(path.parent) == ["x.json"]


def test_errors_leave_nothing_behind(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        atomicops.create_backup(path.parent / "missing")
    assert caught.value.filename == str(path.parent / "missing")
    with pytest.raises(FileNotFoundError):
        atomicops.create_backup(path.parent / "no" / "missing")
    with pytest.raises(IsADirectoryError):
        atomicops.create_backup(path.parent)
    with pytest.raises(OSError, match="too long") as too_long:
        atomicops.create_backup(path, "s" * 255)
    assert (too_long.value.errno, too_long.value.filename) == (errno.ENAMETOOLONG, str(path))
    assert [name for name in os.listdir(path.parent) if not name.endswith(".lock")] == ["x.json"]


def test_the_order_is_that_of_modification_whatever_the_names_say(path: Path) -> None:
    times = {
        "x.json.1704985200.bak": 5,
        "x.json.1704985200.2.bak": 6,
        "x.json.1704985200.10.bak": 6,  # then by our own second and counter
        "x.json.99.bak": 4,
        "x.json.20261121014301.bak": 3,
        "x.json.by-hand.bak": 9,
        "x.json.by-hand.1.bak": 10,
    }
    for name, seconds in times.items():
        (path.parent / name).write_text("")
        os.utime(path.parent / name, (seconds, seconds))
    for other in ("x.json.bak", "x.json..bak", "y.json.1.bak", "x.json.1.bakk", "x.json.1.corrupt", "x.jsonn.1.bak"):
        (path.parent / other).write_text("")
    (path.parent / "x.json.5.bak").mkdir()
    (path.parent / "x.json.6.bak").symlink_to("x.json")
    expected = [
        "x.json.by-hand.1.bak", "x.json.by-hand.bak", "x.json.1704985200.10.bak", "x.json.1704985200.2.bak",
        "x.json.1704985200.bak", "x.json.99.bak", "x.json.20261121014301.bak",
    ]  # fmt: skip
    assert atomicops.list_backups(path) == [str(path.parent / name) for name in expected]


def test_pruning_keeps_the_newest(path: Path) -> None:
    for second in range(5):
        atomicops.create_backup(path, str(second))
    with pytest.raises(ValueError, match="keep"):
        atomicops.prune_backups(path, -1)
    removed = atomicops.prune_backups(path, keep=2)
    assert removed == [f"{path}.{second}.bak" for second in (2, 1, 0)]
    assert atomicops.list_backups(path) == [f"{path}.{second}.bak" for second in (4, 3)]
    assert atomicops.prune_backups(path, keep=9) == []
    atomicops.prune_backups(path, keep=0)
    assert backup_names(path) == []
    assert path.exists()


def test_pruning_stops_where_its_lock_is_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for second in range(3):
        atomicops.create_backup(path, str(second))
    unlink = os.unlink

    def and_the_lock(name: bytes, **options: int) -> None:
        unlink(name, **options)
        unlink(path.parent / ".x.json.lock")

    monkeypatch.setattr(os, "unlink", and_the_lock)
    with pytest.raises(atomicops.LockLost):
        atomicops.prune_backups(path, 0)
    monkeypatch.undo()
    assert backup_names(path) == ["x.json.0.bak", "x.json.1.bak"]


def test_pruning_leaves_the_backups_of_a_file_with_a_longer_name(path: Path) -> None:
    """``x.json.emergency.5.bak`` could be a backup of ``x.json``, with the suffix ``emergency`` and the counter 5."""
    emergency = path.parent / "x.json.emergency"
    emergency.write_text("{}")
    kept = atomicops.create_backup(emergency, "5")
    mine = atomicops.create_backup(path, "5")
    assert atomicops.prune_backups(path, keep=0) == [mine]
    assert os.path.exists(kept)


def no_links(*_: object, **__: object) -> None:
    raise PermissionError(errno.EPERM, "no hard links here")


def test_without_hard_links_a_backup_still_never_replaces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("renameat2 is Linux's")
    monkeypatch.setattr(os, "link", no_links)
    made = [atomicops.create_backup(path, "s") for _ in range(3)]
    assert made == [f"{path}.s.bak", f"{path}.s.1.bak", f"{path}.s.2.bak"]
    assert {Path(name).read_bytes() for name in made} == {path.read_bytes()}
    assert len(os.listdir(path.parent)) == 5


def test_where_neither_is_to_be_had_it_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(_publish, "_rename_new", lambda *_: errno.EINVAL)
    with pytest.raises(PermissionError) as caught:
        atomicops.create_backup(path)
    assert caught.value.filename == str(path)
    assert sorted(os.listdir(path.parent)) == [".x.json.lock", "x.json"]


def test_a_reader_never_sees_half_a_backup(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is called ``.bak`` at any step is complete."""
    path.write_bytes(b"0123456789" * 100)
    real = {
        name: getattr(os, name) for name in ("open", "write", "fsync", "link", "unlink", "close", "copy_file_range")
    }
    seen = 0

    def watch(name: str) -> None:
        def call(*arguments: object, **options: object) -> object:
            nonlocal seen
            result = real[name](*arguments, **options)
            for backup in path.parent.glob("*.bak"):
                seen += 1
                assert backup.stat().st_size == 1000
            return result

        monkeypatch.setattr(os, name, call)

    for name in real:
        watch(name)
    atomicops.create_backup(path)
    assert seen
