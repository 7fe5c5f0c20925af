"""The driver of workers over pipes: what it makes of their answers, and of times that Bash can only tell by the wall
clock.
"""

from __future__ import annotations

import os
import re
import time
from itertools import count
from pathlib import Path

import pytest

from stress.execution.drivers.driver import Numbered
from stress.execution.drivers.shell import ShellDriver, _monotonic_less_wall, start_shell
from stress.history.record import Kind
from stress.workload.scenario import Request

AHEAD_NS = 7_000_000_000


@pytest.mark.parametrize("preempted", range(3))
def test_a_driver_that_is_preempted_between_its_clocks_shifts_no_hold(
    monkeypatch: pytest.MonkeyPatch, preempted: int
) -> None:
    """Both bounds stand on either side of the true difference, and a pause of 4 ms does not get between them."""
    now, calls = [1_000_000], count()

    def tick() -> int:
        now[0] += 4_000_000 if next(calls) == preempted else 100
        return now[0]

    monkeypatch.setattr(time, "monotonic_ns", lambda: tick() + AHEAD_NS)
    monkeypatch.setattr(time, "time_ns", tick)
    least, most = _monotonic_less_wall()
    assert least <= AHEAD_NS <= most
    assert most - least < 1000


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("cd /", "the worker changed its directory (to /), and paths are relative to it"),
        ("echo 1 done", "the worker answered '1 done' to operation 1"),
        ("echo 2 0", "the worker answered '2 0' to operation 1"),
    ],
)
def test_an_answer_that_is_none_ends_the_worker_and_says_why(does: str, said: str, tmp_path: Path) -> None:
    argv = ["bash", "-c", f"echo hello 1 write; read -r; {does}; echo 1 0; read -r"]
    process = start_shell(argv, tmp_path, tmp_path, dict(os.environ))
    driver = ShellDriver(process, tmp_path, frozenset({"write"}), exclusive=False)
    try:
        driver.wait_for_hello(20)
        op = Numbered(Request(Kind.WRITE, "a.json", shape={}), 0, 0, "object", 1, 1 << 32 | 1)
        with pytest.raises(ValueError, match=re.escape(said)):
            driver.prepare(op, lambda _: None)()
    finally:
        driver.close()
        process.wait(20)
