"""Sweeping: orphans go, and nothing that could be anything else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import atomicops
from atomicops import _paths

DIGITS = "0123456789abcdef" * 2

# Stops in the midst of a write: its temp file is there, its lock is held.
WRITER = """if True:
    import os, sys, atomicops
    real = os.write

    def stuck(fd, data):
        real(fd, bytes(data)[:3])
        print("writing", flush=True)
        sys.stdin.readline()
        return 3

    os.write = stuck
    atomicops.atomic_write_text("content", sys.argv[1])
    """


def temps(folder: Path) -> list[str]:
    return sorted(str(folder / name) for name in os.listdir(folder) if name.endswith(".atomicops-tmp"))


@pytest.mark.parametrize("lock_is_there", [True, False])
@pytest.mark.parametrize("name", ["x", "n" * 255, "ü", "a b\nc"])
def test_a_live_writers_temp_file_stays_and_a_dead_ones_goes(tmp_path: Path, name: str, lock_is_there: bool) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        there = temps(tmp_path)
        assert len(there) == 1
        os.utime(there[0], (0, 0))  # age proves nothing
        if not lock_is_there:  # a cleaner that removes dotfiles took it
            os.unlink(next(path for path in tmp_path.iterdir() if path.name.endswith(".lock")))
        swept = atomicops.sweep_orphans(tmp_path)
        assert (list(swept.in_use), swept.removed) == (there, ())
        assert temps(tmp_path) == there
        child.send_signal(signal.SIGKILL)
        child.wait()
        swept = atomicops.sweep_orphans(str(tmp_path))
        assert (list(swept.removed), swept.in_use) == (there, ())
        assert temps(tmp_path) == []
    finally:
        child.kill()
        child.communicate()
    atomicops.atomic_write_text("after", tmp_path / name)  # a left-over file wedges nobody


NOT_OURS = [
    f"x.{DIGITS}.atomicops-tmp", f".{DIGITS}.atomicops-tmp", f"..{DIGITS}.atomicops-tmp",
    f".x.{DIGITS[1:]}.atomicops-tmp", f"ax.{DIGITS}.atomicops-tmp",
    f".x.{DIGITS}0.atomicops-tmp", f".x.{DIGITS.upper()}.atomicops-tmp", f".x.{DIGITS}.atomicops-tmp~",
    f".x.{DIGITS[1:]}g.atomicops-tmp", f".x{DIGITS}.atomicops-tmp", f".x.{DIGITS}.tmp", ".x.lock", ".tmp.x", "x.part",
    f".x.{DIGITS}.atomicops-tmp\n", f".{'n' * 181}.{DIGITS}.atomicops-tmp",
]  # fmt: skip


@pytest.mark.parametrize("name", NOT_OURS, ids=ascii)
def test_what_is_not_named_to_the_letter_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert atomicops.sweep_orphans(tmp_path).removed == ()
    assert (tmp_path / name).exists()


def test_only_regular_files_go(tmp_path: Path) -> None:
    (tmp_path / f".a.{DIGITS}.atomicops-tmp").mkdir()
    (tmp_path / f".b.{DIGITS}.atomicops-tmp").symlink_to("precious")
    os.mkfifo(tmp_path / f".c.{DIGITS}.atomicops-tmp")
    (tmp_path / "precious").write_text("here")
    assert atomicops.sweep_orphans(tmp_path).removed == ()
    assert len(temps(tmp_path)) == 3


def test_every_name_that_we_make_is_recognised(tmp_path: Path) -> None:
    names = [b"x", b"n" * 180, b"n" * 255, b"\xff\n", b".hidden", b"a.b." + DIGITS.encode()]
    for name in names:
        (tmp_path / os.fsdecode(_paths.temp_name(_paths.stem(name)))).touch()
    removed = atomicops.sweep_orphans(os.fsencode(tmp_path)).removed
    assert len(removed) == len(names)
    assert temps(tmp_path) == []


def test_one_busy_target_does_not_protect_another(tmp_path: Path) -> None:
    for name in ("busy", "free", "busy.too"):
        (tmp_path / f".{name}.{DIGITS}.atomicops-tmp").touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / f".x.{DIGITS}.atomicops-tmp").touch()
    code = "import sys, atomicops\nwith atomicops.file_lock(sys.argv[1]): print(flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "busy")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        swept = atomicops.sweep_orphans(tmp_path)
    finally:
        child.communicate()
    assert [os.path.basename(name) for name in swept.in_use] == [f".busy.{DIGITS}.atomicops-tmp"]
    assert len(swept.removed) == 2
    assert len(temps(tmp_path / "below")) == 1


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomicops.sweep_orphans(tmp_path / "no")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        atomicops.sweep_orphans(tmp_path / "file")


def test_writing_never_sweeps(tmp_path: Path) -> None:
    orphan = tmp_path / f".x.{DIGITS}.atomicops-tmp"
    orphan.touch()
    atomicops.atomic_write_text("a", tmp_path / "x")
    atomicops.create_backup(tmp_path / "x")
    assert orphan.exists()
