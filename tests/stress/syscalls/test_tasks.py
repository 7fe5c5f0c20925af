"""What a task is found to do, as its own user finds it, and how those that end are taken in."""

from __future__ import annotations

import os
import sys

import pytest

from stress.syscalls import population
from stress.syscalls.agents import Agent, Forked
from stress.syscalls.tasks import Process, Task, look

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

NOBODY = 65534


def test_one_that_has_ended_is_found_dead_though_its_files_are_root_s_now() -> None:
    """Those in /proc of a task without memory are, whoever's it was (proc(5)). For root that makes no difference."""
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            dead = os.fork()
            if not dead:
                os._exit(0)
            os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
            agent = Agent(0, Forked(lambda: None), dead, -1, (-1, -1), "/")
            task = Task(dead, Process(dead, agent, (), None), ())
            os._exit(0 if look(task, frozenset()) == -1 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("line", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_a_process_is_reaped_when_those_that_it_descends_from_are(
    line: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is the parent of the next, and a child of ours when that one has been reaped."""
    reaped: list[int] = []

    def reap(pid: int, wait: bool = False) -> bool:
        assert wait
        is_ours = pid in line[len(reaped) : len(reaped) + 1]
        reaped.extend([pid] if is_ours else [])
        return is_ours

    monkeypatch.setattr(population, "_reap", reap)
    population._reap_all({*line, 4})
    assert reaped == [*line]
