"""The nemesis strikes about as often as it is asked to, and takes back what does not last."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from stress.execution.nemesis import Fault, Nemesis, clean
from stress.workload import catalog
from stress.workload.layout import belonging
from stress.workload.world import compose


def test_strokes_come_about_as_often_as_asked_and_never_before_an_interval() -> None:
    nemesis = Nemesis({"kill": 0.2}, random.Random(1))
    nemesis.begin(100.0)
    assert nemesis.due(100.09, [1, 2, 3]) == []
    faults = [fault for step in range(1000) for fault in nemesis.due(100.0 + step * 0.02, [1, 2, 3])]
    assert 75 < len(faults) < 125
    assert {fault.pid for fault in faults} == {1, 2, 3}
    assert nemesis.count("kill") == len(faults)


def test_nobody_to_hit_is_no_fault() -> None:
    nemesis = Nemesis({"kill": 0.1}, random.Random(1))
    nemesis.begin(0.0)
    assert nemesis.due(50.0, []) == []
    assert len(nemesis.due(50.0, [7])) == 1


def test_a_stroke_says_how_long_it_lasts() -> None:
    for seed in range(20):
        nemesis = Nemesis({"kill": 0.1, "pause": 0.1}, random.Random(seed))
        nemesis.begin(0.0)
        # Asked once: a second time would end the pauses, and so send signals.
        for fault in nemesis.due(10.0, [7, 8, 9]):
            assert fault.lasts_s == 0.0 if fault.kind == "kill" else 0.02 <= fault.lasts_s <= 0.5


def _stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_pause_ends_by_itself_and_at_the_end_of_the_run() -> None:
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        nemesis = Nemesis({"pause": 1.0}, random.Random(1))
        nemesis.begin(0.0)
        for end in ("by itself", "with the run"):
            (fault,) = nemesis.due(10.0, [child.pid])
            assert not nemesis.is_due(10.0)
            assert nemesis.is_due(10.0 + fault.lasts_s), "its end, before the next is due"
            nemesis.apply(fault)
            while not _stopped(child.pid):
                pass
            if end == "by itself":
                nemesis.due(10.7, [child.pid])
            else:
                nemesis.lift(child.pid)
            while _stopped(child.pid):
                pass
            nemesis.begin(0.0)
    finally:
        child.kill()
        child.wait()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit(2)")
def test_a_full_disk_is_a_soft_limit_that_is_taken_back() -> None:
    child = subprocess.Popen(["sleep", "300"])
    try:
        before = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
        nemesis = Nemesis({"fill": 1.0}, random.Random(1))
        nemesis.begin(0.0)
        (fault,) = nemesis.due(10.0, [child.pid])
        nemesis.apply(fault)
        soft, hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
        assert 0 < soft < 10000
        assert hard == before[1]
        nemesis.lift(child.pid)
        assert resource.prlimit(child.pid, resource.RLIMIT_FSIZE) == (hard, hard)
    finally:
        child.kill()
        child.wait()


def test_a_pause_of_a_given_length_waits_for_who_is_inside_a_lock() -> None:
    nemesis = Nemesis({"pause": 1.0}, random.Random(1), pause_s=6.0)
    nemesis.begin(0.0)
    assert nemesis.due(1.2, [7, 8, 9]) == []
    assert nemesis.due(1.3, [7, 8, 9], lambda pids: 8) == [Fault("pause", 8, 6.0)]
    asked: list[int] = []

    def nobody(pids: Sequence[int]) -> int | None:
        asked.extend(pids)
        return None

    for step in range(20):
        assert asked or nemesis.due(1.3 + step * 0.1, [7, 8, 9], nobody) == []
    assert asked == [7, 9], "who is paused already is not asked for"


def test_where_nobody_is_inside_a_lock_for_a_second_any_is_paused() -> None:
    nemesis = Nemesis({"pause": 1.0}, random.Random(1), pause_s=6.0)
    nemesis.begin(0.0)
    (fault,) = nemesis.due(3.0, [7, 8, 9])
    assert fault.pid in (7, 8, 9)
    assert fault.lasts_s == 6.0


def test_a_cleaner_removes_what_does_not_belong_and_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    directory = tmp_path / "shared"
    for name in (".claude/state.json", ".claude/state.json.1.bak", "a.lock", ".claude/.tmp.1", "lock/owner"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    (directory / "elsewhere").symlink_to(outside)
    kept = {".claude", ".claude/state.json", ".claude/state.json.1.bak"}
    assert clean(directory, kept.__contains__) == 5
    assert {str(path.relative_to(directory)) for path in directory.rglob("*")} == kept
    assert (outside / "kept").exists()


def test_a_cleaner_does_not_follow_a_link_that_a_target_has_put_in_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").touch()
    (tmp_path / "shared").symlink_to("data")
    assert clean(tmp_path / "shared", lambda path: False) == 0
    assert (tmp_path / "data" / "precious").exists()
    assert clean(tmp_path / "gone", lambda path: False) == 0


def test_what_belongs_to_a_scenario() -> None:
    catalog.load()
    world, _ = compose(["bridge"], frozenset({"write", "read", "update", "append", "backup", "recover"}))
    belongs = belonging(world)
    for path in (".claude/handoff-context.json", "state/feature_list.json", "feature_list.json", ".claude", "."):
        assert belongs(path), path
    assert belongs(".claude/handoff-context.json.20260131.bak")
    corrupt = next(file for file in world.files if file.recovery == "restore")
    assert belongs(f"{corrupt.path}.corrupt.1"), "evidence is not the target's to lose"
    for path in (".claude/.handoff-context.json.lock", "state/.tmp.1", ".claude/lock"):
        assert not belongs(path), path
