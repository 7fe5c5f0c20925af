"""Absence is no proof: a temp file that is gone has not therefore become the target."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomicops import CommittedNotDurable, atomic_append_text, atomic_write_text, create_backup, recover, update_json
from tests.atomicops.both import Helpers
from tests.atomicops.faults.inject import STRACE, cannot_inject

HELPERS = Helpers()
OLD, NEW = '{"is": "old"}\n', '{"is": "new"}\n'


def remove(temp: Path) -> None:
    temp.unlink()


def put_another_there(temp: Path) -> None:
    temp.unlink()
    temp.write_text('{"is": "not ours"}\n')


def move_it_away(temp: Path) -> None:
    temp.rename(temp.with_name("moved"))


def make_it_a_link(temp: Path) -> None:
    temp.unlink()
    temp.symlink_to("elsewhere")


CLEANERS = [remove, put_another_there, move_it_away, make_it_a_link]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "s.json").write_text(OLD)
    (tmp_path / "elsewhere").write_text('{"is": "elsewhere"}\n')
    return tmp_path / "s.json"


def at_the_fsync(monkeypatch: pytest.MonkeyPatch, folder: Path, cleaner: Callable[[Path], None]) -> None:
    """Let the cleaner come when the temp file is complete, and not yet renamed."""
    real = os.fsync

    def fsync(fd: int) -> None:
        for temp in folder.glob(".*-tmp"):
            cleaner(temp)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)


WRITERS: dict[str, Callable[[Path], object]] = {
    "write": lambda path: atomic_write_text(NEW, path),
    "update": lambda path: update_json(path, lambda d: {"is": "new"}),
    "append": lambda path: atomic_append_text("\n", path),
}


@pytest.mark.parametrize("cleaner", CLEANERS)
@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_success_only_if_it_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, writer: Callable[[Path], object], cleaner: Callable[[Path], None]
) -> None:
    at_the_fsync(monkeypatch, path.parent, cleaner)
    try:
        writer(path)
        done = True
    except OSError:
        done = False
    monkeypatch.undo()
    assert not path.is_symlink()
    assert path.read_text() == OLD if not done else path.read_text() in (NEW, OLD + "\n", '{"is": "new"}')


@pytest.mark.parametrize("cleaner", CLEANERS)
def test_a_backup_is_the_file_or_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, cleaner: Callable[[Path], None]
) -> None:
    at_the_fsync(monkeypatch, path.parent, cleaner)
    try:
        backup = Path(create_backup(path, "x"))
        assert (backup.is_symlink(), backup.read_text()) == (False, OLD)
    except OSError:
        assert not any(one.read_text() != OLD for one in path.parent.glob("*.bak"))


@pytest.mark.parametrize("cleaner", CLEANERS)
def test_recover_restores_or_says_that_it_could_not(
    path: Path, monkeypatch: pytest.MonkeyPatch, cleaner: Callable[[Path], None]
) -> None:
    path.with_name("s.json.1.bak").write_text(NEW)
    path.write_text("{torn")
    at_the_fsync(monkeypatch, path.parent, cleaner)
    try:
        done = recover(path).ok
    except OSError:
        done = False
    texts = [one.read_text() for one in (path, *path.parent.glob("*.corrupt"))]
    assert "{torn" in texts
    assert (path.read_text() == NEW) == done


CLEANING = {
    "remove": "os.unlink(t)",
    "put another there": "os.unlink(t); open(t, 'w').write('{\"is\": \"not ours\"}')",
    "make it a link": "os.unlink(t); os.symlink('elsewhere', t)",
}


@pytest.mark.parametrize("cleaning", CLEANING.values(), ids=CLEANING)
@pytest.mark.parametrize(
    "call", ["atomic_write - s.json", "atomic_append - s.json", "atomic_update s.json '.is = \"new\"'"]
)
def test_the_same_of_the_bash_helpers(path: Path, call: str, cleaning: str) -> None:
    """strace holds up the first fsync until the cleaner has been there."""
    if (why := cannot_inject()) is not None:
        pytest.skip(why)
    path.with_name("input").write_text(NEW if "write" in call else "\n")
    cleaner = f"""if True:
        import glob, os, sys, time
        ends = time.monotonic() + 20
        open('ready', 'w').close()
        while not (there := [t for t in glob.glob('.*-tmp') if os.path.getsize(t)]) and time.monotonic() < ends:
            time.sleep(0.005)
        for t in there:
            {cleaning}
        """
    delayed = f"{STRACE} -qq -f -o /dev/null -e trace=fsync -e inject=fsync:delay_enter=150000:when=1"
    wait = "until [ -e ready ]; do sleep 0.005; done"
    script = f'{sys.executable} -S -c "$1" & {wait}; exec {delayed} bash -c "$2" "$0" <input'
    done = HELPERS.bash(script, cleaner, f'. "$0/atomicops.sh"; {call}', cwd=path.parent)
    assert not path.is_symlink()
    text = "".join(path.read_text().split())
    assert text == "".join(OLD.split()) if done.code or "append" in call else text == "".join(NEW.split()), done
    if "append" in call:
        assert (path.read_text() == OLD + "\n") == (done.code == 0)


def test_a_cleaner_of_dotfiles_costs_an_error_at_most(tmp_path: Path) -> None:
    """It removes whatever begins with a dot, all the time: locks and temp files."""
    code = (
        "import glob, os, sys\nwhile True:\n for p in glob.glob('.*.*'):\n  try: os.unlink(p)\n  except OSError: pass"
    )
    cleaner = subprocess.Popen([sys.executable, "-S", "-c", code], cwd=tmp_path)
    try:
        last = None
        for number in range(60):
            try:
                atomic_write_text(f"{number}\n", tmp_path / "f", durability="none", timeout=5)
                last = number
            except OSError:
                continue
            assert (tmp_path / "f").read_text() == f"{number}\n"
        assert last is None or (tmp_path / "f").read_text() == f"{last}\n"
    finally:
        cleaner.kill()
        cleaner.wait()


@pytest.mark.parametrize("durability", ["full", "none"])
def test_what_is_there_after_the_rename_is_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    """Somebody without the lock puts his file there at once: what was written is gone, and that is told."""
    rename = os.rename

    def rename_and_be_overtaken(*arguments: Any, **where: Any) -> None:
        rename(*arguments, **where)
        path.with_name("foreign").write_text("foreign")
        path.with_name("foreign").replace(path)

    monkeypatch.setattr(os, "rename", rename_and_be_overtaken)
    with pytest.raises(CommittedNotDurable, match="another file"):
        atomic_write_text("{}", path, durability=durability)
    assert path.read_text() == "foreign"


def test_what_is_there_after_the_rename_is_looked_at_in_bash(path: Path) -> None:
    if (why := cannot_inject()) is not None:
        pytest.skip(why)
    delayed = f"{STRACE} -qq -f -o /dev/null -e trace=rename -e inject=rename:delay_exit=150000"
    other = f'until [ "$(cat {path.name})" = "{{}}" ]; do :; done; echo foreign >foreign; mv foreign {path.name}'
    ours = f'{delayed} bash -c "$2" "$0"'
    script = f'sh -c "$1" & other=$!; {ours}; code=$?; kill $other 2>/dev/null; wait; exit $code'
    done = HELPERS.bash(script, other, f'. "$0/atomicops.sh"; atomic_write "{{}}" {path.name}', cwd=path.parent)
    assert (done.code, done.refused) == (74, True), done
    assert "another file" in done.err
    assert path.read_text() == "foreign\n"


def test_a_temp_file_that_goes_at_the_rename_is_no_missing_target(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOENT would be told as a wrong name of the target."""
    real = os.rename

    def rename(old: bytes, new: bytes, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        os.unlink(old, dir_fd=src_dir_fd)
        real(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="temp file") as caught:
        atomic_write_text(NEW, path)
    assert not isinstance(caught.value, FileNotFoundError)
    assert path.read_text() == OLD
