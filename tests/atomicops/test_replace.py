"""Replacing a file: what is kept of the old one, what is refused, and what an error leaves behind."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import stat
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import atomicops
from atomicops import _attributes, _paths

WRITERS: list[Callable[[Path], object]] = [
    lambda path: atomicops.atomic_write_json({"new": 1}, path),
    lambda path: atomicops.atomic_write_text("new", path),
    lambda path: atomicops.atomic_write_bytes(b"new", path),
    lambda path: atomicops.atomic_append_text("new", path),
]


def strangers(folder: Path) -> list[str]:
    """What lies in the folder besides lock files."""
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def python(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_the_content_is_what_was_given(tmp_path: Path) -> None:
    atomicops.atomic_write_text("one\r\ntwo ü", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == "one\r\ntwo ü".encode()
    atomicops.atomic_write_bytes(b"\x00\xff", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"
    atomicops.atomic_write_bytes(bytearray(b"\x00"), tmp_path / "a")  # type: ignore[arg-type]
    assert (tmp_path / "a").read_bytes() == b"\x00"
    atomicops.atomic_write_json({"ü": [1, None, True, 1.5]}, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == '{"ü": [1, null, true, 1.5]}\n'.encode()
    atomicops.atomic_write_json([1], tmp_path / "a", indent=1)
    assert (tmp_path / "a").read_text() == "[\n 1\n]\n"


@pytest.mark.parametrize("durability", ["full", "file", "none"])
def test_every_durability_writes(tmp_path: Path, durability: str) -> None:
    atomicops.atomic_write_json({"a": 1}, tmp_path / "x.json", durability=durability)
    assert strangers(tmp_path) == ["x.json"]


def test_an_unknown_durability_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'full', 'file', 'none'"):
        atomicops.atomic_write_text("a", tmp_path / "new" / "x", durability="half")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("bits", [0o600, 0o644, 0o664, 0o755, 0o400, 0o1666, 0o2755])
def test_an_existing_file_keeps_its_mode(tmp_path: Path, write: Callable[[Path], object], bits: int) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(bits)
    if bits & 0o200 or os.geteuid() == 0:
        write(path)
        assert "new" in path.read_text()
    else:  # open(2) for writing refuses it, too
        with pytest.raises(PermissionError):
            write(path)
        assert path.read_text() == "old"
    assert mode(path) == bits


@pytest.mark.parametrize(("umask", "bits"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0, 0o666)])
def test_a_new_file_gets_the_umask_of_the_kernel(tmp_path: Path, umask: int, bits: int) -> None:
    code = """if True:
        import os, sys
        os.umask(int(sys.argv[2]))
        os.umask = None  # setting it for a moment would be seen by other threads
        import atomicops
        atomicops.atomic_write_text("a", sys.argv[1] + "/folder/x")
        """
    assert python(code, tmp_path, umask).stderr == ""
    assert mode(tmp_path / "folder" / "x") == bits
    assert mode(tmp_path / "folder") == 0o777 & ~umask


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to somebody else")
def test_an_existing_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    os.chown(path, 4321, 1234)
    path.chmod(0o4750)
    atomicops.atomic_write_text("new", path)
    assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (4321, 1234, 0o4750)


def acl(user: int) -> bytes:
    """A POSIX ACL in the kernel's form: u::rw-, u:{user}:rw-, g::r--, m::rw-, o::---."""
    entries = ((0x01, 6, -1), (0x02, 6, user), (0x04, 4, -1), (0x10, 6, -1), (0x20, 0, -1))
    packed = (kind.to_bytes(2, "little") + bits.to_bytes(2, "little") + (who & 0xFFFFFFFF).to_bytes(4, "little")
              for kind, bits, who in entries)  # fmt: skip
    return (2).to_bytes(4, "little") + b"".join(packed)


def set_attribute(path: Path, name: str, value: bytes) -> None:
    if not hasattr(os, "setxattr"):
        pytest.skip("no extended attributes on this system")
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"no {name} on this file system: {error.strerror}")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("chdir", [False, True])
def test_extended_attributes_and_acls_are_kept(
    tmp_path: Path, write: Callable[[Path], object], chdir: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    set_attribute(path, "user.origin", b"here\0there")
    set_attribute(path, "system.posix_acl_access", acl(4321))
    before = mode(path)
    if chdir:
        monkeypatch.chdir(tmp_path)
    write(Path("x") if chdir else path)
    assert os.getxattr(path, "user.origin") == b"here\0there"
    assert os.getxattr(path, "system.posix_acl_access") == acl(4321)
    assert mode(path) == before


@pytest.mark.parametrize("bits", [0o640, 0o600])  # with 0600 nothing else differs, and a chmod(2) would open it later
def test_an_acl_that_the_directory_hands_down_is_not_added_to_an_existing_file(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(bits)
    set_attribute(tmp_path, "system.posix_acl_default", acl(4321))
    atomicops.atomic_write_text("new", path)
    assert "system.posix_acl_access" not in os.listxattr(path)
    assert mode(path) == bits


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a file of another user, or group")
@pytest.mark.parametrize(("owner", "group", "bits"), [(5001, -1, 0o4777), (-1, 5001, 0o2755)])
def test_a_file_that_becomes_anothers_lends_nobodys_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, group: int, bits: int
) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    os.chown(path, owner, group)
    path.chmod(bits)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", refused)
    atomicops.atomic_write_text("new", path)
    assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (0, tmp_path.stat().st_gid, bits & 0o777)


def test_a_temp_file_is_not_open_to_others_where_they_may_more_than_the_owner(tmp_path: Path) -> None:
    """Until it has its owner the old one may be one of the others: root replaces a file of somebody's."""
    path = tmp_path / "x"
    path.touch()
    path.chmod(0o066)
    assert _attributes.first_mode(path.stat(), []) == 0
    path.chmod(0o644)
    assert _attributes.first_mode(path.stat(), []) == 0o644
    assert _attributes.first_mode(path.stat(), ["system.posix_acl_access"]) == 0o600  # it may shut somebody out


def test_a_symlink_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "x").write_text("old")
    (tmp_path / "dir").symlink_to("real/deep")
    (tmp_path / "one").symlink_to("dir/../x")  # by the kernel's reading: real/x
    (tmp_path / "two").symlink_to(tmp_path / "one")
    atomicops.atomic_write_text("new", tmp_path / "two")
    assert (tmp_path / "two").is_symlink()
    assert (tmp_path / "one").is_symlink()
    assert (tmp_path / "real" / "x").read_text() == "new"
    assert (tmp_path / "real" / ".x.lock").exists()
    assert strangers(tmp_path) == ["dir", "one", "real", "two"]


def test_a_dangling_symlinks_target_is_made_with_its_parents(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a/b/x")
    atomicops.atomic_write_text("new", tmp_path / "link")
    assert (tmp_path / "a" / "b" / "x").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_a_parent_that_another_makes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.mkdir

    def overtaken(*arguments: Any, **where: Any) -> None:
        real(*arguments, **where)
        real(*arguments, **where)

    monkeypatch.setattr(os, "mkdir", overtaken)
    atomicops.atomic_write_text("new", tmp_path / "a" / "b" / "x")
    assert (tmp_path / "a" / "b" / "x").read_text() == "new"


def test_symlinks_in_a_ring_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="a") as caught:
        atomicops.atomic_write_text("new", tmp_path / "a")
    assert caught.value.errno == errno.ELOOP
    assert strangers(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("write", WRITERS)
def test_what_is_not_a_regular_file_is_refused(tmp_path: Path, write: Callable[[Path], object]) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "folder", tmp_path / "folder" / ".", tmp_path / "folder" / "..", Path("/")):
        with pytest.raises(IsADirectoryError) as caught:
            write(path)
        assert caught.value.filename == str(path)
    with pytest.raises(OSError, match="not a regular file") as other:
        write(tmp_path / "fifo")
    assert (other.value.errno, other.value.filename) == (errno.EINVAL, str(tmp_path / "fifo"))
    with pytest.raises(NotADirectoryError):
        write(Path("/dev/null/x"))
    assert strangers(tmp_path) == ["fifo", "folder"]
    assert strangers(tmp_path / "folder") == []


def test_an_empty_path_and_a_trailing_slash_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomicops.atomic_write_text("a", "")
    with pytest.raises(IsADirectoryError):
        atomicops.atomic_write_text("a", f"{tmp_path}/x/")
    with pytest.raises(ValueError, match="null"):
        atomicops.atomic_write_text("a", f"{tmp_path}/x\0y")
    assert os.listdir(tmp_path) == []


NAMES = [
    b"n" * 255,
    b"n" * 181,
    b"n" * 180,
    "ü".encode() * 127,
    b"two\nlines",
    b"-rf",
    b"*",
    b" ",
    b"\xff\xfe.json",
    b"...",
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_any_legal_name_will_do(tmp_path: Path, name: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (name, os.fsdecode(name), os.path.join(os.fsencode(tmp_path), name)):
        atomicops.atomic_write_json({"a": 1}, path)
        assert atomicops.update_json(path, lambda data: {"a": data["a"] + 1}) == {"a": 2}
        atomicops.atomic_append_text(" ", path)
        assert atomicops.read_json(path).data == {"a": 2}
    assert sorted(os.listdir(b".")) == sorted((name, _paths.lock_name(_paths.stem(name))))
    assert len(_paths.temp_name(_paths.stem(name))) <= 255


@pytest.mark.parametrize("name", [b"a" * 180, b"a" * 181, b"a" * 255])
def test_long_names_share_no_lock(name: bytes) -> None:
    other = name[:-1] + b"b"
    assert _paths.lock_name(_paths.stem(name)) != _paths.lock_name(_paths.stem(other))
    assert _paths.stem_of_temp(_paths.temp_name(_paths.stem(name))) == _paths.stem(name)


def test_temp_names_carry_128_random_bits_and_no_pid() -> None:
    names = {_paths.temp_name(b"x") for _ in range(1000)}
    assert len(names) == 1000
    assert all(len(name) == len(b".x.") + 32 + len(b".atomicops-tmp") for name in names)


UNSERIALISABLE = [
    {1, 2}, {"a": {1}}, 1j, {"a": b"bytes"}, float("nan"), [float("inf")], {"a": -float("inf")}, "\ud800",
    {"\udfff": 1}, {1: 2}, {"a": [{None: 1}]}, {True: 1, "True": 2}, [({1.5: 1},)], {("a",): 1},
]  # fmt: skip


@pytest.mark.parametrize("data", UNSERIALISABLE, ids=ascii)
def test_what_would_not_come_back_is_a_value_error_and_the_disk_is_not_touched(tmp_path: Path, data: object) -> None:
    with pytest.raises(ValueError, match=r"cannot be (serialized|written)"):
        atomicops.atomic_write_json(data, tmp_path / "new" / "x.json")
    assert os.listdir(tmp_path) == []


def test_endless_and_bottomless_data_are_value_errors(tmp_path: Path) -> None:
    ring: list[object] = []
    ring.append(ring)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for data in (ring, deep):
        with pytest.raises(ValueError, match="cannot be serialized"):
            atomicops.atomic_write_json(data, tmp_path / "x.json")
    assert os.listdir(tmp_path) == []


def test_a_text_with_a_surrogate_is_a_value_error(tmp_path: Path) -> None:
    for write in (atomicops.atomic_write_text, atomicops.atomic_append_text):
        with pytest.raises(ValueError, match="index 1"):
            write("a\ud800", tmp_path / "x")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", ["", "\n", "{", "{} {}", "NaN", "{}\0", "'a'", "[1,]", "01"])
def test_a_json_target_takes_one_json_value_only(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    (tmp_path / "link").symlink_to("x.json")
    (tmp_path / "link.json").symlink_to("plain")
    for named in (path, tmp_path / "link", tmp_path / "link.json"):
        with pytest.raises(ValueError, match="exactly one JSON value"):
            atomicops.atomic_write_text(content, named)
    assert path.read_text() == "{}"
    assert strangers(tmp_path) == ["link", "link.json", "x.json"]
    for name in ("x.json.emergency", "x.JSON", "plain"):
        atomicops.atomic_write_text(content, tmp_path / name)
    atomicops.atomic_write_text(content, path, validate=False)
    assert path.read_bytes() == content.encode()


def test_an_appended_json_file_has_to_stay_json(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomicops.atomic_write_json({}, path)
    atomicops.atomic_append_text("\n", path)
    for in_place in (False, True):
        with pytest.raises(ValueError, match="exactly one JSON value"):
            atomicops.atomic_append_text("{}", path, in_place=in_place)
    assert path.read_text() == "{}\n\n"


def test_compare_and_swap(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomicops.atomic_write_json({"n": 1}, path, if_version=atomicops.ABSENT)
    with pytest.raises(atomicops.VersionConflict) as caught:
        atomicops.atomic_write_json({"n": 2}, path, if_version=atomicops.ABSENT)
    assert isinstance(caught.value, OSError)
    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, str(path))
    assert caught.value.expected == "absent"
    data, version = atomicops.read_json(path)
    assert (data, caught.value.found) == ({"n": 1}, version)
    atomicops.atomic_write_text('{"n": 3}', path, if_version=version)
    with pytest.raises(atomicops.VersionConflict):
        atomicops.atomic_write_bytes(b"{}", path, if_version=version)
    path.unlink()
    with pytest.raises(atomicops.VersionConflict, match="found absent"):
        atomicops.atomic_write_bytes(b"{}", path, if_version=version)
    assert strangers(tmp_path) == []


@pytest.mark.parametrize("limit_bytes", [0, 1, 4096, 8191])
def test_a_short_write_is_not_taken_for_success(tmp_path: Path, limit_bytes: int) -> None:
    """As with a full quota, the kernel takes a part of the data first and refuses the rest only when asked again."""
    path = tmp_path / "x.json"
    path.write_text('{"old": 1}')
    code = """if True:
        import sys, atomicops
        for write in (
            lambda: atomicops.atomic_write_json({"new": "n" * 8192}, sys.argv[1]),
            lambda: atomicops.atomic_append_text(" " * 8192, sys.argv[1]),
            lambda: atomicops.atomic_append_text(" " * 8192, sys.argv[1], in_place=True),
            lambda: atomicops.create_backup(sys.argv[1]),
        ):
            try:
                write()
                print("success")
            except OSError as error:
                print(error.errno, error.filename == sys.argv[1])
        """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    # No byte code: Python 3.11 leaves what the limit cuts off, and whoever comes next cannot import that module.
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(path)], preexec_fn=limit, stdout=subprocess.PIPE, check=False, text=True
    )
    refused = f"{errno.EFBIG} True"
    small_backup = "success" if limit_bytes > 10 else refused
    assert done.stdout.splitlines() == [refused, refused, refused, small_backup]
    assert path.read_text() == '{"old": 1}'
    assert len(strangers(tmp_path)) == (2 if small_backup == "success" else 1)


@pytest.mark.parametrize(
    "buffer", [array("I", range(1000)), memoryview(array("H", range(1000))), bytearray(b"x" * 999)]
)
def test_a_buffer_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer: bytes) -> None:
    """Though the kernel takes as many bytes as it has items, which is not all of it."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, memoryview(data).cast("B")[:1000]))
    atomicops.atomic_write_bytes(buffer, tmp_path / "x", durability="none")
    assert (tmp_path / "x").read_bytes() == bytes(memoryview(buffer))


@pytest.mark.parametrize("write", [atomicops.atomic_write_text, atomicops.atomic_write_bytes])
@pytest.mark.parametrize("content", [None, 5, ["x"]])
def test_what_is_neither_text_nor_bytes(tmp_path: Path, write: Callable[..., None], content: object) -> None:
    with pytest.raises(TypeError):
        write(content, tmp_path / "x")
    assert strangers(tmp_path) == []


def test_a_failed_sync_leaves_the_old_file_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    calls = []

    def broken(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(os, "fsync", broken)
    for number, write in enumerate(WRITERS, 1):
        with pytest.raises(OSError, match="the disk is gone") as caught:
            write(path)
        assert not isinstance(caught.value, atomicops.CommittedNotDurable)
        assert caught.value.filename == str(path)
        assert len(calls) == number
    assert path.read_text() == "old"
    assert strangers(tmp_path) == ["x"]


@pytest.mark.parametrize("write", WRITERS)
def test_a_directory_that_cannot_be_synced_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], object]
) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    real = os.fsync

    def broken(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, "the disk is gone")
        real(fd)

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(atomicops.CommittedNotDurable, match="may not survive") as caught:
        write(path)
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(path))
    assert "new" in path.read_text()
    assert strangers(tmp_path) == ["x"]


def test_the_syncs_of_each_durability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And their order: the content before the rename, the directory after it; new parents' entries before both."""
    log: list[str] = []
    fsync, rename, mkdir = os.fsync, os.rename, os.mkdir

    def spy_fsync(fd: int) -> None:
        log.append(
            f"sync {os.path.basename(os.readlink(f'/proc/self/fd/{fd}'))}"
            if os.path.isdir(f"/proc/self/fd/{fd}")
            else "sync"
        )
        fsync(fd)

    monkeypatch.setattr(os, "fsync", spy_fsync)

    def spy_rename(old: bytes, new: bytes, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        log.append("rename")
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def spy_mkdir(path: bytes, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if os.fsdecode(path).startswith(str(tmp_path)):  # and not where pytest keeps what it compiles of a late import
            log.append(f"mkdir {os.path.basename(os.fsdecode(path))}")
        mkdir(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rename", spy_rename)
    monkeypatch.setattr(os, "mkdir", spy_mkdir)
    here = tmp_path.name
    expected = {
        "none": ["mkdir none", "mkdir b", "rename"],
        "file": ["mkdir file", "mkdir b", "sync", "rename"],
        "full": ["mkdir full", f"sync {here}", "mkdir b", "sync full", "sync", "rename", "sync b"],
    }
    for durability, events in expected.items():
        log.clear()
        atomicops.atomic_write_text("a", tmp_path / durability / "b" / "x", durability=durability)
        assert log == events


def test_a_rename_whose_answer_was_lost_is_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over NFS: the server renamed, the reply was lost, the client's second try found no temp file."""
    path = tmp_path / "x"
    rename = os.rename

    def renamed_twice(old: bytes, new: bytes, **options: int) -> None:
        rename(old, new, src_dir_fd=options["src_dir_fd"], dst_dir_fd=options["dst_dir_fd"])
        raise FileNotFoundError(errno.ENOENT, "no such file")

    monkeypatch.setattr(os, "rename", renamed_twice)
    atomicops.atomic_write_text("new", path)
    assert path.read_text() == "new"


def test_a_quota_that_only_closing_tells_of_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS sends what was written when the file is closed, and where nothing is synced that alone says it was refused."""
    target = tmp_path / "s.txt"
    target.write_text("old")
    close = os.close

    def refused(fd: int) -> None:
        name = os.readlink(f"/proc/self/fd/{fd}")
        close(fd)
        if name.endswith(".atomicops-tmp"):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "close", refused)
    with pytest.raises(OSError, match=os.strerror(errno.EDQUOT)) as caught:
        atomicops.atomic_write_text("new", target, durability="none")
    monkeypatch.undo()
    assert caught.value.errno == errno.EDQUOT
    assert target.read_text() == "old"
    assert strangers(tmp_path) == ["s.txt"]


def test_a_child_that_is_made_meanwhile_does_not_keep_the_new_file_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temp file is locked, a child by fork has the same open file, and the temp file becomes the target."""
    target, write = tmp_path / "s.log", os.write
    target.write_text("old\n")
    inherited, kept = os.pipe()
    children: list[int] = []

    def forks(fd: int, data: bytes | memoryview) -> int:
        if not children:
            children.append(os.fork())
            if not children[0]:
                os.close(kept)
                os._exit(len(os.read(inherited, 1)))
        return write(fd, data)

    monkeypatch.setattr(os, "write", forks)
    try:
        atomicops.atomic_append_text("new\n", target)
        monkeypatch.undo()
        assert children
        # Not at once: the child has the lock beside the file too, until it comes to run and closes that.
        atomicops.atomic_append_text("newer\n", target, in_place=True, timeout=10)
    finally:
        os.close(kept)
        os.close(inherited)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
    assert target.read_text() == "old\nnew\nnewer\n"


@pytest.mark.parametrize("broken", ["rename", "fsync", "fchmod", "write"])
def test_no_failure_leaves_a_temp_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o666)  # beyond the umask, so that it has to be set
    real = getattr(os, broken)
    armed = True

    def interrupted(*arguments: object, **options: object) -> object:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(os, broken, interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomicops.atomic_write_text("new", path)
    monkeypatch.undo()
    assert strangers(tmp_path) == ["x"]
    assert path.read_text() == "old"
    atomicops.atomic_write_text("later", path, timeout=0)  # and the lock was released


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    def open_there() -> list[str]:
        """What this process has open in the folder, deleted files too."""
        found = []
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/self/fd/{fd}"))
        return [name for name in found if name.startswith(str(tmp_path))]

    with open(tmp_path / "seen", "w"):
        assert open_there() == [str(tmp_path / "seen")]
    path = tmp_path / "x.json"
    atomicops.atomic_write_json({}, path)
    for action in (
        lambda: atomicops.atomic_write_text("{", path),
        lambda: atomicops.atomic_write_json({}, path, if_version="absent"),
        lambda: atomicops.atomic_write_json({}, tmp_path),
        lambda: atomicops.update_json(path, lambda data: {1: 2}),
        lambda: atomicops.read_json(tmp_path),
    ):
        with pytest.raises((OSError, ValueError)):
            action()
    atomicops.create_backup(path)
    atomicops.recover(path)
    atomicops.sweep_orphans(tmp_path)
    atomicops.atomic_append_text("\n", path, in_place=True)
    assert open_there() == []


def test_a_chdir_between_two_steps_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")

    def elsewhere(data: dict[str, int]) -> dict[str, int]:
        os.chdir(tmp_path / "b")
        return {"n": data["n"] + 1}

    atomicops.atomic_write_json({"n": 1}, "x.json")
    atomicops.update_json("x.json", elsewhere)
    assert json.loads((tmp_path / "a" / "x.json").read_text()) == {"n": 2}
    assert os.listdir(tmp_path / "b") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(PermissionError) as caught:
        atomicops.atomic_write_text("a", tmp_path / "locked" / "x")
    assert caught.value.filename == str(tmp_path / "locked" / "x")
