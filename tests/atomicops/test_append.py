"""Appending: what readers see, what a failure leaves, and how a torn tail is told from a text."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

import atomicops
from atomicops import _append, _copy, _inplace


def marks_are_kept(folder: Path) -> bool:
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, _inplace.MARK, b"x")
    except (OSError, AttributeError):
        return False
    finally:
        probe.unlink()
    return True


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text("first\n")
    return path


@pytest.fixture
def marked_log(log: Path) -> Path:
    if not marks_are_kept(log.parent):
        pytest.skip("no user extended attributes on this file system")
    return log


def strangers(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("durability", ["full", "file", "none"])
def test_text_is_added_as_it_is(log: Path, in_place: bool, durability: str) -> None:
    for text in ("second\n", "", "no newline", ", and more ü\r\n"):
        atomicops.atomic_append_text(text, log, in_place=in_place, durability=durability)
    assert log.read_bytes() == "first\nsecond\nno newline, and more ü\r\n".encode()
    assert strangers(log.parent) == ["log"]


@pytest.mark.parametrize("in_place", [False, True])
def test_a_missing_file_is_made(tmp_path: Path, in_place: bool) -> None:
    atomicops.atomic_append_text("a", tmp_path / "new" / "log", in_place=in_place)
    assert (tmp_path / "new" / "log").read_text() == "a"


def test_the_inode_tells_the_two_ways_apart(marked_log: Path) -> None:
    before = marked_log.stat().st_ino
    atomicops.atomic_append_text("a", marked_log, in_place=True)
    assert marked_log.stat().st_ino == before
    assert _inplace.MARK not in os.listxattr(marked_log)  # nothing is under way any more
    with marked_log.open() as reader:  # a reader of the old file keeps the old file
        atomicops.atomic_append_text("b", marked_log)
        assert reader.read() == "first\na"
    assert marked_log.stat().st_ino != before


def test_a_log_in_place_is_not_copied(marked_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("copied")

    monkeypatch.setattr(_append, "copy_content", never)
    atomicops.atomic_append_text("a", marked_log, in_place=True)
    with pytest.raises(AssertionError, match="copied"):
        atomicops.atomic_append_text("a", marked_log)


COPIES = {
    "as the system has it": (),
    "without reflinks": ("ioctl",),
    "without copy_file_range": ("ioctl", "copy_file_range"),
}


@pytest.mark.parametrize("broken", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("size_bytes", [0, 1, 5 * 1024 * 1024 + 3])
def test_each_way_to_copy_copies_all(
    log: Path, monkeypatch: pytest.MonkeyPatch, broken: tuple[str, ...], size_bytes: int
) -> None:
    content = os.urandom(1024) * (size_bytes // 1024) + b"x" * (size_bytes % 1024)
    log.write_bytes(content)

    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    for name in broken:
        monkeypatch.setattr(fcntl if name == "ioctl" else os, name, unsupported)
    atomicops.atomic_append_text("end", log)
    assert log.read_bytes() == content + b"end"


def test_a_copy_that_the_kernel_gives_up_halfway_is_finished(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "copy_file_range"):
        pytest.skip("no copy_file_range on this system")
    log.write_bytes(b"0123456789" * 1000)
    real = os.copy_file_range
    calls = 0

    def half(source: int, target: int, count: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.EIO, "no more")
        return real(source, target, 7)

    monkeypatch.setattr(fcntl, "ioctl", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOTTY, "")))
    monkeypatch.setattr(os, "copy_file_range", half)
    atomicops.atomic_append_text("end", log)
    assert log.read_bytes() == b"0123456789" * 1000 + b"end"


def test_a_copy_that_shares_its_blocks_is_added_to_at_its_end(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As XFS and btrfs do it: the descriptor's offset is still at the start then."""

    def share(target: int, _: int, source: int) -> None:
        os.pwrite(target, os.pread(source, 100, 0), 0)

    monkeypatch.setattr(fcntl, "ioctl", share)
    atomicops.atomic_append_text("second\n", log)
    assert log.read_text() == "first\nsecond\n"


def test_a_copy_begins_at_the_start_wherever_the_source_is_read(log: Path) -> None:
    with log.open("rb", buffering=0) as source, log.with_name("copy").open("wb", buffering=0) as target:
        source.read(3)
        _copy.copy_content(source.fileno(), target.fileno())
    assert log.with_name("copy").read_text() == "first\n"


@pytest.mark.parametrize("in_place", [False, True])
def test_short_writes_are_continued(log: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    atomicops.atomic_append_text("0123456789", log, in_place=in_place)
    monkeypatch.undo()
    assert log.read_text() == "first\n0123456789"


@pytest.mark.parametrize("in_place", [False, True])
def test_a_failed_append_is_cut_off_again(log: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool) -> None:
    real = os.write
    left = 2

    def full_disk(fd: int, data: bytes) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, "no space left on device")
        left -= 1
        return real(fd, bytes(data)[:3])

    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(OSError, match="no space") as caught:
        atomicops.atomic_append_text("0123456789", log, in_place=in_place)
    monkeypatch.undo()
    assert caught.value.filename == str(log)
    assert log.read_text() == "first\n"
    assert strangers(log.parent) == ["log"]
    atomicops.atomic_append_text("next\n", log, in_place=in_place)
    assert log.read_text() == "first\nnext\n"


def test_a_sync_that_fails_in_place_is_not_tried_again(marked_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def broken(fd: int) -> None:
        nonlocal calls
        calls += 1
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="disk is gone") as caught:
        atomicops.atomic_append_text("more", marked_log, in_place=True)
    assert not isinstance(caught.value, atomicops.CommittedNotDurable)
    assert (calls, marked_log.read_text()) == (1, "first\n")
    assert os.listxattr(marked_log) == []  # or what a stranger appends there would be taken for a torn end

    def no_way_back(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "nor that")

    monkeypatch.setattr(os, "ftruncate", no_way_back)
    with pytest.raises(atomicops.CommittedNotDurable):
        atomicops.atomic_append_text("more", marked_log, in_place=True)
    assert (calls, marked_log.read_text()) == (2, "first\nmore")
    monkeypatch.undo()
    atomicops.atomic_append_text("!", marked_log, in_place=True)
    assert marked_log.read_text() == "first\nmore!"


def test_what_cannot_be_cut_off_again_is_by_the_next_append(marked_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not appended, and is not said to have been: a part of it is no more than what a killed one leaves."""
    real = os.write

    def full_disk(fd: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", no_way_back)
        return real(fd, bytes(data)[:3])

    def no_way_back(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "write", full_disk)
    monkeypatch.setattr(os, "ftruncate", no_way_back)
    with pytest.raises(OSError, match="no space") as caught:
        atomicops.atomic_append_text("0123456789", marked_log, in_place=True)
    assert not isinstance(caught.value, atomicops.CommittedNotDurable)
    monkeypatch.undo()
    assert marked_log.read_text() == "first\n012"
    atomicops.atomic_append_text("next\n", marked_log, in_place=True)
    assert marked_log.read_text() == "first\nnext\n"


def test_a_child_that_is_forked_meanwhile_does_not_keep_the_log_locked(
    marked_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    hold, release = os.pipe()
    children = []

    def fork_first(fd: int, data: bytes) -> int:
        child = os.fork()
        if not child:
            os.close(release)
            os.read(hold, 1)
            os._exit(0)
        children.append(child)
        return real(fd, data)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fork_first)
            atomicops.atomic_append_text("more\n", marked_log, in_place=True)
        with marked_log.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(release)
        os.close(hold)
        for child in children:
            os.waitpid(child, 0)
    assert len(children) == 1


def test_a_log_that_is_locked_under_another_name_is_not_written(marked_log: Path) -> None:
    """The lock file goes by name, and who came by another name has another one: both lock the log itself."""
    other = marked_log.with_name("other")
    other.hardlink_to(marked_log)
    with other.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(atomicops.LockTimeout):
            atomicops.atomic_append_text("more", marked_log, in_place=True, timeout=0)
    assert other.read_text() == "first\n"
    atomicops.atomic_append_text("more", marked_log, in_place=True, timeout=0)
    assert other.read_text() == "first\nmore"


def test_who_has_lost_the_lock_meanwhile_does_not_append_in_place(
    marked_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.setxattr

    def remove_the_lock(*arguments: object, **options: object) -> None:
        (marked_log.parent / ".log.lock").unlink()
        real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "setxattr", remove_the_lock)
    with pytest.raises(atomicops.LockLost):
        atomicops.atomic_append_text("more", marked_log, in_place=True)
    assert marked_log.read_text() == "first\n"


TEAR = """if True:
    import os, signal, sys, atomicops
    real = os.write

    def torn(fd, data):
        real(fd, bytes(data)[:int(sys.argv[2])])
        os.kill(os.getpid(), signal.SIGKILL)

    os.write = torn
    atomicops.atomic_append_text("torn line\\n", sys.argv[1], in_place=True)
    """


def tear(log: Path, written_bytes: int) -> None:
    """An append in place, killed in the midst of its write."""
    code = subprocess.run([sys.executable, "-c", TEAR, str(log), str(written_bytes)], check=False).returncode
    assert code == -signal.SIGKILL
    assert log.read_text().endswith("torn line\n"[:written_bytes])


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("written_bytes", [1, 5, 9])
def test_a_torn_tail_is_cut_off_by_the_next_append_and_kept(
    marked_log: Path, in_place: bool, written_bytes: int
) -> None:
    tear(marked_log, written_bytes)
    atomicops.atomic_append_text("second\n", marked_log, in_place=in_place)
    atomicops.atomic_append_text("third\n", marked_log, in_place=in_place)
    assert marked_log.read_text() == "first\nsecond\nthird\n"
    kept = [name for name in strangers(marked_log.parent) if name != "log"]
    assert [name.startswith("log.") and name.endswith(".corrupt") for name in kept] == [True]
    assert (marked_log.parent / kept[0]).read_text() == "torn line\n"[:written_bytes]


@pytest.mark.parametrize("written_bytes", [0, 10])
def test_a_write_that_was_not_begun_or_was_finished_is_not_torn(marked_log: Path, written_bytes: int) -> None:
    tear(marked_log, written_bytes)
    atomicops.atomic_append_text("second\n", marked_log, in_place=True)
    assert marked_log.read_text() == "first\n" + "torn line\n"[:written_bytes] + "second\n"
    assert strangers(marked_log.parent) == ["log"]


def test_a_text_without_a_newline_is_never_taken_for_a_torn_one(marked_log: Path) -> None:
    atomicops.atomic_append_text("no newline", marked_log, in_place=True)
    atomicops.atomic_append_text("; nor here", marked_log, in_place=True)
    with marked_log.open("a") as foreign:
        foreign.write("; nor by others")
    atomicops.atomic_append_text("\n", marked_log, in_place=True)
    assert marked_log.read_text() == "first\nno newline; nor here; nor by others\n"


def test_a_mark_is_worth_nothing_on_other_content(marked_log: Path) -> None:
    """A replaced, rotated or copied log may have the attribute still, and a length that fits by chance."""
    tear(marked_log, 4)
    mark = os.getxattr(marked_log, _inplace.MARK)
    replaced = marked_log.parent / "replaced"
    replaced.write_text("12345678")
    os.setxattr(replaced, _inplace.MARK, mark)
    os.rename(replaced, marked_log)
    atomicops.atomic_append_text("9\n", marked_log, in_place=True)
    assert marked_log.read_text() == "123456789\n"
    assert strangers(marked_log.parent) == ["log"]


def test_a_replaced_file_does_not_inherit_the_mark(marked_log: Path) -> None:
    tear(marked_log, 4)
    atomicops.atomic_write_text("12345678", marked_log)
    assert _inplace.MARK not in os.listxattr(marked_log)


def test_without_attributes_the_file_is_replaced(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mark, no mending: so in_place gives up its speed there, not its promise."""

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(os, "setxattr", unsupported)
    before = log.stat().st_ino
    atomicops.atomic_append_text("second\n", log, in_place=True)
    assert log.read_text() == "first\nsecond\n"
    assert log.stat().st_ino != before
