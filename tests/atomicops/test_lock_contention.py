"""Many processes on one lock: who holds it when, who gets it how often, and whether every update survives.

Every contender writes down when it had the lock, by the one clock that all processes share. Two intervals that overlap
are two holders at once.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import atomicops

JOIN_S = 100

# Waits for its start, then takes the lock again and again and prints [start_ns, end_ns] of each hold.
CONTENDER = """if True:
    import json, sys, time
    kind, path, lock, turns, duration_s = *sys.argv[1:4], int(sys.argv[4]), float(sys.argv[5])
    if kind == "filelock":
        import filelock
        take = lambda: filelock.FileLock(lock, is_singleton=False, poll_interval=0.001)
    else:
        import atomicops
        take = lambda: atomicops.file_lock(path, None if kind == "blocking" else 60)
    print("ready", flush=True)
    sys.stdin.readline()
    held, end = [], time.monotonic() + duration_s
    while len(held) < turns and time.monotonic() < end:
        with take():
            start = time.monotonic_ns()
            if duration_s < 1000:
                time.sleep(0)
            else:
                time.sleep(0.0002)
            held.append((start, time.monotonic_ns()))
    print(json.dumps(held))
    """
# The same with flock(1): the clock is read by the program that flock runs, while the lock is held.
FLOCK = 'for ((i = 0; i < $2; i++)); do flock "$1" "$3" -c "$4"; done'
CLOCK = "import time; a = time.monotonic_ns(); time.sleep(0.0002); print(a, time.monotonic_ns())"


def contend(kinds: list[str], path: Path, turns: int, duration_s: float) -> list[list[tuple[int, int]]]:
    """Run one contender of each kind, all at once. Returns their hold intervals."""
    lock = path.parent / f".{path.name}.lock"
    children = []
    try:
        for kind in kinds:
            command = [sys.executable, "-c", CONTENDER, kind, str(path), str(lock), str(turns), str(duration_s)]
            if kind == "flock":
                command = [
                    "bash",
                    "-c",
                    f"echo ready; read; {FLOCK}",
                    "bash",
                    str(lock),
                    str(turns // 10),
                    sys.executable,
                    CLOCK,
                ]
            children.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        outputs = [child.communicate(timeout=JOIN_S)[0] for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    intervals = []
    for kind, output in zip(kinds, outputs, strict=True):
        if kind == "flock":
            intervals.append([(int(a), int(b)) for a, b in (row.split() for row in output.splitlines())])
        else:
            intervals.append([(a, b) for a, b in json.loads(output)])
    return intervals


def overlaps(intervals: list[list[tuple[int, int]]]) -> int:
    flat = sorted(interval for held in intervals for interval in held)
    return sum(after[0] < before[1] for before, after in itertools.pairwise(flat))


def test_overlaps_are_seen() -> None:
    assert overlaps([[(0, 10), (20, 30)], [(10, 20)]]) == 0
    assert overlaps([[(0, 10), (20, 30)], [(9, 19)]]) == 1


def test_ours_flock_and_filelock_exclude_each_other(tmp_path: Path) -> None:
    pytest.importorskip("filelock")
    if shutil.which("flock") is None:
        pytest.skip("flock(1) is not installed (package util-linux)")
    turns = 100
    intervals = contend(["ours", "blocking", "filelock", "flock", "ours", "flock"], tmp_path / "x", turns, 10_000)
    assert [len(held) for held in intervals] == [turns, turns, turns, turns // 10, turns, turns // 10]  # nobody starved
    assert overlaps(intervals) == 0


def test_sixteen_processes_share_the_lock_fairly(tmp_path: Path) -> None:
    """In as much time as they need to show it: the slowest gets at least half of a sixteenth."""
    shares, others = [], []
    for _ in range(5):  # one slice of a busy machine may go to anybody; five in a row may not
        before, before_s = os.times(), computed_s()
        intervals = contend(["ours"] * 16, tmp_path / "x", 10**9, 2.0)
        after = os.times()
        others.append(computed_s() - before_s - sum(after[:4]) + sum(before[:4]))
        others[-1] /= (after.elapsed - before.elapsed) * (os.cpu_count() or 1)
        counts = [len(held) for held in intervals]
        assert overlaps(intervals) == 0
        assert min(counts) > 0
        shares.append(min(counts) / (sum(counts) / 16))
        if shares[-1] >= 0.5:
            return
    # Where many compute, whose turn it is with the lock is whose turn it is with a CPU.
    if min(others) > 0.5:
        pytest.skip(f"others had {min(others):.0%} of this machine, and more")
    pytest.fail(f"{shares} of a fair share, where others had {others} of the machine")


def computed_s() -> float:
    """CPU seconds of all processes of this machine, since it runs."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_no_wake_up_is_lost(tmp_path: Path) -> None:
    """Each of 8 needs 200 turns: whoever was forgotten would never end."""
    intervals = contend(["ours", "blocking"] * 4, tmp_path / "x", 200, 10_000)
    assert [len(held) for held in intervals] == [200] * 8
    assert overlaps(intervals) == 0


UPDATER = """if True:
    import sys, atomicops
    path, how = sys.argv[1:]
    for i in range(100):
        if how == "update":
            atomicops.update_json(path, lambda d: {"n": d["n"] + 1}, durability="none")
        elif how == "lock":
            with atomicops.file_lock(path):
                state = atomicops.safe_read_json(path)
                state["n"] += 1
                atomicops.atomic_write_json(state, path, durability="none")
        elif how == "swap":
            while True:
                data, version = atomicops.read_json(path)
                try:
                    atomicops.atomic_write_json({"n": data["n"] + 1}, path, if_version=version, durability="none")
                    break
                except atomicops.VersionConflict:
                    pass
        else:
            text = f"{sys.argv[0]} {how} {i}\\n"
            atomicops.atomic_append_text(text, path, durability="none", in_place=how.startswith("in_place"))
    """


def run_all(path: Path, hows: list[str]) -> None:
    children = [subprocess.Popen([sys.executable, "-c", UPDATER, str(path), how]) for how in hows]
    try:
        assert [child.wait(JOIN_S) for child in children] == [0] * len(hows)
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_no_update_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomicops.atomic_write_json({"n": 0}, path)
    run_all(path, ["update", "lock", "swap", "update", "lock", "swap"])
    assert atomicops.read_json(path).data == {"n": 600}


def test_every_acknowledged_append_is_there_exactly_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    hows = ["whole-1", "in_place-1", "whole-2", "in_place-2"]
    run_all(path, hows)
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(f"-c {how} {i}" for how in hows for i in range(100))
    for how in hows:  # and each process's own in its order
        assert [line for line in lines if how in line] == [f"-c {how} {i}" for i in range(100)]
