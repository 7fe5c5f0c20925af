"""A schedule is replayed to the same trace, exit statuses, output, messages, files, modes and times.

``STRESS_SCHEDULES`` is the number of random schedules for each set of agents; a thousand take some minutes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from stress.syscalls import Forked, Kind, Program, Supervisor, Warm, mark

from .schedules import at_random, in_order, tree

SCHEDULES = int(os.environ.get("STRESS_SCHEDULES", "4"))


def increment(number: int = 0) -> None:
    """Reads, and replaces through a temp file with a random name; says when."""
    mark(f"begins {time.time_ns()}")
    value = int(Path("x").read_text("ascii"))
    with tempfile.NamedTemporaryFile("w", dir=".", delete=False) as file:
        print(value + 1, file=file)
    os.replace(file.name, "x")
    mark(f"ends {time.time_ns()} {os.getpid()} {os.urandom(4).hex()}")


BASH = Program(
    [
        "bash",
        "-c",
        "exec 9> lock; flock 9; jq '. + 1' x > x.$$; mv x.$$ x; flock -u 9; "
        "temp=$(mktemp -p .); echo $RANDOM $SRANDOM $EPOCHREALTIME >> $temp; sleep 0.$RANDOM; "
        "cat $temp >> log; rm $temp",
    ]
)
PATIENT = Program(
    ["bash", "-c", "exec 9> lock; flock -w 2 9 && sleep 1; echo $? $SECONDS >> log; (echo a | cat; sleep 0.5 & wait)"]
)
PYTHON = Program(
    [
        sys.executable,
        "-IS",
        "-c",
        "import os, random, time; v = int(open('x').read()); n = f'{random.random()}.{os.getpid()}.{time.time_ns()}'\n"
        "open(n, 'w').write(f'{v + 1}'); os.replace(n, 'x'); print(n, {'a', 'b', 'c'}, id(n))",
    ]
)
AGENTS: dict[str, Sequence[Kind]] = {
    "warm": (Warm(increment), Warm(increment), Warm(increment)),
    "forked": (Forked(increment), Forked(increment), Forked(increment)),
    "bash": (BASH, BASH),
    "python": (PYTHON, PYTHON),
    "locks": (PATIENT, PATIENT, PATIENT),
    "mixed": (BASH, PYTHON, Warm(increment)),
}


def replays(supervisor: Supervisor, shared: Path, agents: Sequence[Kind]) -> None:
    traces = set()
    for seed in range(SCHEDULES):
        results = []
        scheduler = at_random(seed)
        for _ in range(2):
            for path in shared.iterdir():
                path.unlink()
            (shared / "x").write_text("0")
            ran = supervisor.run(agents, scheduler)
            results.append((ran, tree(shared)))
            scheduler = in_order(*ran.decisions)
        assert results[0] == results[1]
        assert results[0][0].ending == "done"
        traces.add(ran.decisions)
    assert len(traces) == SCHEDULES


@pytest.mark.parametrize("name", AGENTS)
def test_a_random_schedule_is_replayed_to_the_same_end(supervisor: Supervisor, shared: Path, name: str) -> None:
    replays(supervisor, shared, AGENTS[name])


@pytest.mark.parametrize("name", ["warm", "mixed"])
def test_so_it_is_where_supervisor_and_agents_run_on_any_cpu(shared: Path, refusal: str | None, name: str) -> None:
    if refusal is not None:
        pytest.skip(refusal)
    with Supervisor(shared) as supervisor:
        replays(supervisor, shared, AGENTS[name])
