"""``stress bench explore``: what a schedule costs, by kind of process, as figures of this machine.

CPU time of the supervisor and of all its processes, as they share a CPU and one of them runs at a time. Costs that come
once (start-up, the first judgements) cancel out: they are the same in a short batch and in a long one. Beside it stands
what the same processes take one after another without a scheduler: no supervisor can be faster than that.
"""

from __future__ import annotations

import functools
import gc
import os
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, chdir
from dataclasses import dataclass

from stress.anomalies import ANOMALIES
from stress.bench.measure import Figure, LeftOut, Setting, Sheet
from stress.exploring.batch import Batch, cases_of, directory, explore_batch
from stress.exploring.case import Testbed
from stress.exploring.plan import ExplorePlan
from stress.resolve import target_named
from stress.syscalls import Denied, require
from stress.syscalls.agents import once
from stress.syscalls.template import anew

SCENARIO, PROCESSES = "session_count", 3
_FEW, _MANY, _RUNS = 30, 230, 3
_TURNS = 1_000_000


@dataclass(frozen=True, slots=True)
class Kind:
    """Processes of one kind.

    Attributes:
        share: Of the schedules that others do: what takes long is done less often.
    """

    name: str
    target: str
    language: str
    share: float = 1.0
    is_copied: bool = False
    """Whether the target is taken for a stranger's, whose processes are new in each schedule."""


KINDS = (
    Kind("open and write, processes kept", "naive", "python"),
    Kind("atomicops, processes kept", "atomicops", "python"),
    Kind("open and write, processes forked", "naive", "python", 0.25, is_copied=True),
    Kind("open and write, Bash and jq", "naive", "bash", 0.05),
)


def sheets(setting: Setting) -> Iterator[Sheet | LeftOut]:
    """Schedules of two writers and a reader; every process does one operation."""
    try:
        require()
    except Denied as error:
        yield LeftOut(f"no schedule can be executed here: {error}")
        return
    for kind in KINDS:
        yield Sheet(kind.name, functools.partial(_figures, setting, kind))


def _figures(setting: Setting, kind: Kind) -> Iterator[Figure]:
    target = kind.target
    if kind.is_copied:
        target = str(shutil.copy(target_named(kind.target).path, setting.directory))
    allow = tuple(ANOMALIES)
    plan = ExplorePlan((SCENARIO,), target, PROCESSES, languages=(kind.language,), seed=1, allow=allow)
    few, many = (max(1, round(times * kind.share)) for times in (_FEW, _MANY))
    if setting.quick:
        few, many = 0, 1
    runs = 1 if setting.quick else _RUNS
    how = f"CPU time, least of {runs}: {many} schedules less {few}"
    costs, alone = [], []
    for _ in range(runs):
        loop_s = _loop_s()
        first = _cost(plan, few)[0] if few else 0.0
        second, points = _cost(plan, many)
        costs.append((max(second - first, 1e-9) / (many - few), loop_s, points))
        alone.append(max(_alone_s(plan, many) - (_alone_s(plan, few) if few else 0.0), 1e-9) / (many - few))
    least, loop_s, points = min(costs)
    yield Figure("schedules", 1 / least, "/s of a CPU", how)
    yield Figure("a schedule", least * 1e3, "ms", f"supervisor and {PROCESSES} processes")
    yield Figure("a file syscall", least / points * 1e6, "µs", f"a schedule, by the {points} of the longest")
    yield Figure("the processes alone", min(alone) * 1e3, "ms", "the same, one after another, without a scheduler")
    turns = f"turns of an empty loop of Python, of which a million took {loop_s * 1e3:.0f} ms"
    yield Figure("a schedule, for other machines", least / loop_s * _TURNS, "turns", turns)


def _cost(plan: ExplorePlan, schedules: int) -> tuple[float, int]:
    """CPU seconds of this process and of those that it started; file syscalls of the longest schedule."""
    before = _spent_s()
    report = explore_batch(plan, Batch(0, 0, 0, schedules), lambda search: True)
    return _spent_s() - before, report.points


def _alone_s(plan: ExplorePlan, times: int) -> float:
    """CPU seconds of the processes of so many schedules, and of laying out their files, without a supervisor."""
    with ExitStack() as stack:
        shared = stack.enter_context(directory(None))
        testbed = Testbed(cases_of(plan)[0], shared, stack.enter_context(directory(None)))
        stack.callback(testbed.close)

        def work() -> int:
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # as a scheduled one has it
            gc.freeze()
            for _ in range(times):
                testbed.lay_out()
                for kind in testbed.agents:
                    once(kind)
            return 0

        with chdir(shared):
            before = _spent_s()
            anew(work)
            return _spent_s() - before


def _spent_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + usage.ru_utime + usage.ru_stime


def _loop_s() -> float:
    began = time.process_time()
    for _ in range(_TURNS):
        pass
    return time.process_time() - began
