"""An exception that comes at any moment leaves nothing: no lock, no descriptor, no temp file, no wrong belief."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atomicops import (
    atomic_append_text,
    atomic_write_json,
    create_backup,
    file_lock,
    list_backups,
    prune_backups,
    read_json,
    recover,
    safe_read_json,
    sweep_orphans,
    update_json,
)
from tests.atomicops.alarms import interrupts
from tests.atomicops.both import LIMIT_S, Helpers
from tests.atomicops.faults.scene import is_free

HELPERS = Helpers()
ALARMS = 150


class Alarm(Exception):
    """What the handler raises, as pytest-timeout's, or an application's own, does."""


def _hold(path: Path) -> None:
    with file_lock(path, timeout=5):
        pass


def _nested(path: Path) -> None:
    with file_lock(path, timeout=5):
        update_json(path, lambda d: d, durability="none", timeout=5)


def _prune(path: Path) -> None:
    create_backup(path, "x", durability="none", timeout=5)
    prune_backups(path, 0, timeout=5)


OPERATIONS: dict[str, Callable[[Path], object]] = {
    "file_lock": _hold,
    "update": lambda path: update_json(path, lambda d: d, durability="none", timeout=5),
    "update under file_lock": _nested,
    "write": lambda path: atomic_write_json({"n": 0}, path, durability="none", timeout=5),
    "append in place": lambda path: atomic_append_text("\n", path, in_place=True, durability="none", timeout=5),
    "append": lambda path: atomic_append_text("\n", path, durability="none", timeout=5),
    "backup and prune": _prune,
    "recover": lambda path: recover(path, durability="none", timeout=5),
    "reading": lambda path: (read_json(path), safe_read_json(path), list_backups(path)),
    "sweep": lambda path: sweep_orphans(path.parent),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    atomic_write_json({"n": 0}, tmp_path / "s.json")
    (tmp_path / ".s.json.lock").touch()
    return tmp_path / "s.json"


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


@pytest.mark.parametrize("operation", OPERATIONS)
def test_alarms_at_random_moments(path: Path, operation: str) -> None:
    draw = random.Random(operation)
    action, lock = OPERATIONS[operation], path.with_name(".s.json.lock")
    action(path)
    descriptors = set(os.listdir("/proc/self/fd"))
    takes_s = min(seconds(lambda: action(path)) for _ in range(5))
    raised = 0
    for number in range(ALARMS):
        if interrupts(lambda: action(path), draw.uniform(1e-6, takes_s), Alarm):
            raised += 1
            assert is_free(lock, 0), f"alarm {number}: the lock stays locked"
    assert raised > ALARMS // 20
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert [name for name in os.listdir(path.parent) if name.endswith("-tmp")] == []
    assert read_json(path).data == {"n": 0}
    update_json(path, lambda d: {"n": 1}, timeout=0)


def test_what_is_acknowledged_between_alarms_is_kept(path: Path) -> None:
    """Whoever sees no exception may rely on it; whoever sees one knows that it is done or not, and never half."""
    draw = random.Random(1)
    least = most = 0
    for _ in range(ALARMS):
        raised = interrupts(
            lambda: update_json(path, lambda d: {"n": d["n"] + 1}, durability="none", timeout=5),
            draw.uniform(1e-6, 1e-3),
            Alarm,
        )
        least, most = least + (not raised), most + 1
    assert least <= read_json(path).data["n"] <= most


@pytest.mark.parametrize("number", ["INT", "TERM", "HUP"])
@pytest.mark.parametrize(
    "call",
    [
        "with_lock s.json f",
        "atomic_write '{}' s.json",
        "atomic_recover s.json",
        "atomic_update s.json .",
        "atomic_backup s.json",
    ],
)
def test_a_signal_at_commands_of_the_bash_helpers(path: Path, call: str, number: str) -> None:
    """A DEBUG trap, which functions inherit, sends it at the k-th command: the lock is free then, and nothing left."""
    script = f"""
    . "$0/atomicops.sh"
    f() {{ true; }}
    set -T
    at() {{ ((++k != $1)) || kill -s {number} $BASHPID; }}
    trap 'at "$1"' DEBUG
    {call} >/dev/null
    """
    for moment in (1, 2, 3, 5, 8, 13, 21, 34):
        HELPERS.bash(script.replace('"$1"', str(moment)).replace("$1", str(moment)), cwd=path.parent)
        assert is_free(path.with_name(".s.json.lock"), 1), f"command {moment}: the lock stays locked"
        assert [name for name in os.listdir(path.parent) if name.endswith("-tmp")] == [], f"command {moment}"
        assert read_json(path).data in ({"n": 0}, {})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_command_line_by_that_signal(tmp_path: Path, number: signal.Signals) -> None:
    """With the input still open: it has begun, and waits."""
    command = [
        HELPERS.python,
        "-m",
        "atomicops",
        "update",
        "s.json",
        "--default",
        "{}",
        "--",
        "sh",
        "-c",
        "echo on >&2; sleep 30",
    ]
    child = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, env=HELPERS.environment(), text=True)
    assert child.stderr is not None
    assert child.stderr.readline() == "on\n"
    child.send_signal(number)
    code = child.wait(LIMIT_S)
    subprocess.run(["true"], check=True)
    assert code in (-number, 128 + number)
    child.stderr.close()
    assert not (tmp_path / "s.json").exists()
    assert is_free(tmp_path / ".s.json.lock", 1)
    assert [name for name in os.listdir(tmp_path) if name.endswith("-tmp")] == []
