"""A worker's whole tree ends, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stress.host import process_tree

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: prctl(2) and /proc")

# Run in a process of its own: becoming a subreaper, and ending orphans, must not touch the tests' other children.
_PROLOGUE = """
import os, subprocess, sys, time
from stress.host import process_tree
process_tree.become_subreaper()
def gone(pid):
    return not os.path.exists(f"/proc/{pid}")
"""


def _run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PROLOGUE + script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@linux
def test_a_group_ends_with_its_grandchildren(tmp_path: Path) -> None:
    _run(
        """
pids = sys.argv[1]
tree = subprocess.Popen(["bash", "-c", f"(sleep 300 & echo $! >>{pids}; sleep 300) & echo $! >>{pids}; wait"],
                        start_new_session=True)
while not os.path.exists(pids) or open(pids).read().count("\\n") < 2:
    time.sleep(0.01)
process_tree.end_group(tree.pid, tree.wait)
assert all(gone(pid) for pid in open(pids).read().split())
assert not process_tree.children()
""",
        str(tmp_path / "pids"),
    )


@linux
def test_what_left_the_group_is_told_by_its_mark() -> None:
    _run(
        """
mine = subprocess.Popen(["sleep", "300"])
stray = "import os; os.fork() and os._exit(0); os.setsid(); os.execvp('sleep', ['sleep', '300'])"
for mark in ("run:1:", "run:2:"):
    environment = {**os.environ, "STRESS_PROCESS": mark}
    leader = subprocess.Popen([sys.executable, "-c", stray], env=environment, start_new_session=True)
    leader.wait()
while sum(open(f"/proc/{pid}/comm").read() == "sleep\\n" for pid in process_tree.children()) < 3:
    time.sleep(0.01)
assert process_tree.end_orphans({mine.pid}, b"run:1:") == 1
assert len(process_tree.children()) == 2
assert process_tree.end_orphans({mine.pid}) == 1
assert process_tree.children() == [mine.pid]
mine.kill(); mine.wait()
"""
    )


@linux
def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _PROLOGUE
            + """
parent = os.getpid()
child = subprocess.Popen(["sleep", "300"], preexec_fn=lambda: process_tree.die_with_parent(parent))
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(300)
""",
            str(pid_file),
        ]
    )
    while not pid_file.exists() or not pid_file.read_text():
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    child = int(pid_file.read_text())
    for _ in range(500):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            return
        time.sleep(0.01)
    os.kill(child, 9)
    raise AssertionError("the child outlived its parent")


@linux
@pytest.mark.parametrize(
    ("script", "asleep"),
    [
        ("sleep 60", True),
        ("sleep 60 & wait", True),
        ("while :; do :; done", False),
        ("while :; do :; done & wait", False),
    ],
)
def test_asleep_is_who_waits_while_nobody_that_it_has_started_works(script: str, asleep: bool) -> None:
    process = subprocess.Popen(["bash", "-c", f"echo; {script}"], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        seen, until = [], time.monotonic() + (20 if asleep else 0.3)
        while True not in seen and time.monotonic() < until:
            seen.append(process_tree.all_asleep(process.pid))
            time.sleep(0.01)
        assert seen
        assert (True in seen) is asleep
    finally:
        process_tree.end_group(process.pid, process.wait)
        process.stdout.close()
