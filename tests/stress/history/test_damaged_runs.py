"""A saved run of which something is gone is refused: without a writer's journal what others saw of it looks made up."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import stress
from stress.history.journal import _HEADER_SIZE, _WHAT_AT
from stress.history.run_directory import RunDirectory
from stress.plan import Plan


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a correct target."""
    runs = tmp_path_factory.mktemp("runs")
    result = stress.run(Plan("session_count", mix={"python": 3}, readers=1, ops=300, runs=str(runs)))
    assert result.verdict.exit_code == 0
    return Path(result.run)


def _halved(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b""), _halved])
@pytest.mark.parametrize("name", ["p000002.ops", "p000002.extra"])
def test_a_journal_that_is_not_whole_is_named(
    saved: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    damage(run / "journal" / name)
    with pytest.raises(stress.HarnessError, match=name):
        stress.check(str(run))


@pytest.mark.parametrize("name", ["final.json", "world.json", "plan.json", "events.jsonl"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_file_of_a_run_that_is_gone_is_named(
    saved: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    damage(run / name)
    with pytest.raises(stress.HarnessError, match=name):
        stress.check(str(run))


def _of_no_kind(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[_HEADER_SIZE + _WHAT_AT] = 0
    path.write_bytes(content)


def _changed(old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        ("journal/p000002.ops", _of_no_kind, "p000002.ops holds what is no operation"),
        ("plan.json", _changed(b'"session_count"', b"[]"), "plan.json: scenarios are no names"),
        ("cpu.json", _changed(b": ", b": [], "), "cpu.json"),
        ("cpu.json", lambda path: path.write_text('{"python_operations_s": "x"}'), "can be read"),
    ],
)
def test_what_is_no_record_is_no_error_of_ours(
    saved: Path, tmp_path: Path, name: str, damage: Callable[[Path], None], says: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(saved, run)
    damage(run / name)
    with pytest.raises(stress.HarnessError, match=says):
        stress.check(str(run))


def test_evidence_that_is_cut_off_is_named(tmp_path: Path) -> None:
    run = Path(stress.run(Plan("backups", mix={"python": 2}, readers=1, ops=100, runs=str(tmp_path))).run)
    _halved(run / "journal" / "p000001.notes")
    with pytest.raises(stress.HarnessError, match=r"p000001\.notes is cut off"):
        stress.check(str(run))


def test_a_run_directory_for_which_there_is_no_room_is_not_left_behind(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            RunDirectory.make(tmp_path, "mine", {"target": "mine"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
