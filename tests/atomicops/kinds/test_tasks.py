"""Tasks that take turns in one thread, and libraries that put them in the place of threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WITH_GEVENT = """
import sys
from gevent import monkey
order, steps, path = sys.argv[1:]
if order == "patched before":
    monkey.patch_all()
import atomicops, atomicops._lock, atomicops._wait
if order == "patched after":
    monkey.patch_all()
import gevent

def update(timeout):
    def change(document):
        gevent.sleep(0.01)
        return {"count": document["count"] + 1}
    atomicops.update_json(path, change, timeout=timeout)

def group(timeout):
    with atomicops.file_lock(path, timeout=timeout):
        document = atomicops.safe_read_json(path)
        gevent.sleep(0.01)
        atomicops.atomic_write_json({"count": document["count"] + 1}, path, timeout=timeout)

def one(timeout):
    try:
        {"update": update, "group": group}[steps](timeout)
        return 1
    except RuntimeError:
        return 0

atomicops.atomic_write_json({"count": 0}, path)
tasks = [gevent.spawn(one, timeout) for timeout in (10, None, 10)]
gevent.joinall(tasks)
print(sum(task.value for task in tasks), atomicops.safe_read_json(path)["count"])
"""
WITH_TRIO = """
import sys
import trio
from atomicops import atomic_write_json, file_lock, safe_read_json
import greenlet
path, done = sys.argv[1], []

async def group():
    try:
        with file_lock(path):
            document = safe_read_json(path)
            await trio.sleep(0)
            atomic_write_json({"count": document["count"] + 1}, path)
        done.append(1)
    except RuntimeError:
        pass

async def all_of_them():
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(group)

with file_lock(path):  # it is for all that runs in the block, whatever takes turns there
    atomic_write_json({"count": 0}, path)
    trio.run(trio.sleep, 0)
trio.run(all_of_them)
print(len(done), safe_read_json(path)["count"])
with file_lock(path):
    trio.run(group)
async def part_of_a_task():
    with file_lock(path):
        greenlet.greenlet(lambda: atomic_write_json({"count": 7}, path)).switch()
trio.run(part_of_a_task)
print(len(done), safe_read_json(path)["count"])
"""


def _run(script: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("steps", ["update", "group"])
@pytest.mark.parametrize("order", ["patched before", "patched after", "not patched"])
def test_greenlets(tmp_path: Path, order: str, steps: str) -> None:
    """Those that are threads wait for each other; others are refused, for nothing may be acknowledged and lost."""
    pytest.importorskip("gevent")
    (line,) = _run(WITH_GEVENT, order, steps, str(tmp_path / "s.json"))
    assert line == ("3 3" if order == "patched before" else "1 1")


def test_tasks_of_trio_and_greenlets_inside_of_them(tmp_path: Path) -> None:
    pytest.importorskip("trio")
    pytest.importorskip("greenlet")
    assert _run(WITH_TRIO, str(tmp_path / "s.json")) == ["1 1", "2 7"]
