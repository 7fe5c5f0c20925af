"""The driver of workers over pipes: what it makes of their answers, and of times that Bash can only tell by the wall
clock.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from stress.execution.drivers.driver import Numbered
from stress.execution.drivers.shell import ShellDriver, _monotonic_less_wall, environment, start_shell
from stress.history.kinds import Kind
from stress.host import process_tree
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
    driver = ShellDriver(process, tmp_path, exclusive=False)
    try:
        driver.wait_for_hello(20)
        op = Numbered(Request(Kind.WRITE, "a.json", shape={}), 0, 0, "object", 1, 1 << 32 | 1)
        with pytest.raises(ValueError, match=re.escape(said)):
            driver.prepare(op, lambda _: None)()
    finally:
        driver.close()
        process.wait(20)


@pytest.mark.skipif(sys.platform != "linux", reason="a process dies with its parent by prctl(2)")
@pytest.mark.parametrize("by", ["setpriv", "a function"])
def test_a_worker_dies_with_who_started_it(by: str, tmp_path: Path) -> None:
    """It does not read its input, whose end would tell it."""
    if by == "setpriv" and not process_tree.dying_with_parent():
        pytest.skip("setpriv(1) is not there, or can't do it")
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys, pathlib, time\n"
            "from stress.execution.drivers import shell\n"
            + ("" if by == "setpriv" else "shell.dying_with_parent = lambda: ()\n")
            + "here = pathlib.Path(sys.argv[1])\n"
            "process = shell.start_shell(['bash', '-c', 'echo here; exec sleep 300'], here, here, dict(os.environ))\n"
            "process.stdout.readline()\n"
            "print(process.pid, flush=True)\n"
            "time.sleep(300)\n",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
    )
    with starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        worker = os.pidfd_open(pid)  # its number may be another's later
        try:
            starter.kill()
            starter.wait(20)
            ended, _, _ = select.select([worker], [], [], 20)
            if not ended:
                signal.pidfd_send_signal(worker, signal.SIGKILL)
            assert ended, "the worker outlived who had started it"
        finally:
            os.close(worker)


def test_a_worker_in_bash_has_the_options_that_bash_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the shell from which the tool was started are in the environment where they are exported."""
    for name, value in {"SHELLOPTS": "noclobber:nounset", "BASHOPTS": "failglob", "BASH_ENV": "/none"}.items():
        monkeypatch.setenv(name, value)
    argv = ["bash", "--norc", "-c", 'echo "$-"; shopt -q failglob || echo not']
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["hBc", "not"]
    assert done.stderr == ""
