"""Nothing grows over many schedules, and nothing is left. ``STRESS_SCHEDULES`` is how many."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from stress.syscalls import Forked, Kind, Program, Supervisor, Warm

from .schedules import at_random, run

SCHEDULES = int(os.environ.get("STRESS_SCHEDULES", "100"))


def replace(number: int = 0) -> None:
    Path(f"x.{os.getpid()}").write_text(str(number))
    os.rename(f"x.{os.getpid()}", "x")


def resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4


@pytest.mark.parametrize("name", ["warm", "forked", "bash"])
def test_memory_descriptors_and_processes_do_not_grow(supervisor: Supervisor, shared: Path, name: str) -> None:
    agents: dict[str, Sequence[Kind]] = {
        "warm": [Warm(replace), Warm(replace)],
        "forked": [Forked(replace), Forked(replace)],
        "bash": [Program(["bash", "-c", "echo 1 > x.$$; mv x.$$ x; (flock 9) 9> l"])] * 2,
    }
    kinds = agents[name]
    count = max(SCHEDULES // {"warm": 1, "forked": 10, "bash": 20}[name], 6)

    def schedules(numbers: range) -> tuple[int, int, int]:
        for number in numbers:
            assert run(supervisor, kinds, at_random(number), number).ending == "done"
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()
        return resident_kb(), len(os.listdir("/proc/self/fd")), len(children)

    schedules(range(count // 2))
    before, after = schedules(range(count // 2)), schedules(range(count))
    # Of a task that is asked whether it is blocked three descriptors stay, and an agent's first lives as long as we do.
    assert abs(after[1] - before[1]) <= 3 * len(kinds)
    assert after[2] == before[2]
    assert after[0] < before[0] + 2_000


def test_no_process_outlives_a_supervisor_that_is_killed(shared: Path, refusal: str | None) -> None:
    if refusal is not None:
        pytest.skip(refusal)
    script = textwrap.dedent(
        f"""
        import time
        from stress.syscalls import Forked, Kind, Program, Supervisor
        from stress.syscalls.probe import First

        class Shows(First):
            def pick(self, enabled, trace):
                for agent in supervisor._agents:
                    print(agent.root, flush=True)
                print("end", flush=True)
                time.sleep(60)

        with Supervisor({str(shared)!r}) as supervisor:
            supervisor.run([Program(["touch", "x"]), Forked(lambda: open("y", "w"))], Shows())
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(line) for line in iter(process.stdout.readline, "end\n")]
    assert len(pids) == 2
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.01)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
