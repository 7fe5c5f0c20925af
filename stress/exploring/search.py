"""The search: executions of a case until a schedule fails, none is left, or it is time; then the schedule is shrunk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from stress.anomalies import LEFTOVER_TEMP, METADATA_LOST, READABLE
from stress.result import Finding
from stress.schedulers.critical import Critical, critical_steps
from stress.schedulers.dpor import Dpor
from stress.schedulers.execution import Ending, Execution, Run, Tally
from stress.schedulers.exhaustive import Exhaustive
from stress.schedulers.guarantee import guarantee
from stress.schedulers.mix import Mix, random_and_pct
from stress.schedulers.pct import Pct
from stress.schedulers.random import Random
from stress.schedulers.shrink import shrink
from stress.syscalls.calls import Abandoned, Call, Diverged, Scheduler, Step
from stress.syscalls.ran import Ran
from stress.units import counted

LESSER = frozenset((METADATA_LOST, READABLE, LEFTOVER_TEMP))
"""What shows in nearly every schedule of a target that has it: the search goes on, as data may be lost in another."""

_SHRINK_RUNS, _CRITICAL_RUNS, _RUNS_MIN = 150, 40, 11
_SHRINK_STEPS = 20_000
"""At most, of all runs of a shrinking together. A livelock, with thousands of steps in each, is not shrunk."""

_NEVER_GAVE_UP = "; but who polled in vain was not let poll again before something had changed, so nobody gave up"


Judge = Callable[[Ran], tuple[Finding, ...]]
"""What is wrong with an execution, the most telling first."""


@dataclass(frozen=True, slots=True)
class Failing:
    """A failing schedule.

    Attributes:
        execution: As it was found, or shrunk.
        after: In which schedule it was found, from 1.
        critical: What it needs, where that was found out.
    """

    execution: Execution
    after: int
    critical: Critical | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with it."""
        return self.execution.findings

    @property
    def is_lesser(self) -> bool:
        """Whether there may be worse: see `LESSER`."""
        return all(finding.anomaly in LESSER for finding in self.findings)

    @property
    def words(self) -> str:
        """The steps that it needs, in a sentence; empty where that is not known."""
        return "" if self.critical is None else self.critical.words

    @property
    def steps(self) -> tuple[int, ...]:
        """Their indices."""
        return () if self.critical is None else self.critical.steps


@dataclass(slots=True)
class Search:
    """What a search came to, so far.

    Attributes:
        tally: Of all executions.
        found: The first failing schedule.
        lesser: The first in which nothing worse was found than `LESSER`.
        seconds: Time it took.
        points: File syscalls of the longest execution.
        pct_runs: Executions that PCT chose.
    """

    scheduler: Scheduler
    processes: int
    depth: int
    tally: Tally = field(default_factory=Tally)
    found: Failing | None = None
    lesser: Failing | None = None
    seconds: float = 0.0
    points: int = 0
    over: bool = False

    @property
    def schedules(self) -> int:
        """How many were executed."""
        return self.tally.executions

    @property
    def proved(self) -> bool:
        """Whether every interleaving was executed, or one equivalent to it, and none failed."""
        scheduler = self.scheduler
        if self.tally.failed:
            return False
        if isinstance(scheduler, Dpor):
            return scheduler.proved(self.tally)
        exhausted = isinstance(scheduler, Exhaustive) and scheduler.exhausted and scheduler.bound is None
        return exhausted and self.tally.complete

    @property
    def counted(self) -> int:
        """Executions that count for PCT's guarantee."""
        pct = _pct(self.scheduler)
        return 0 if pct is None else pct.counted

    @property
    def coverage(self) -> str:
        """How far a search that comes to an end is, in a few words."""
        scheduler = self.scheduler
        if isinstance(scheduler, Dpor):
            return f"{scheduler.executed:,} executed of about {scheduler.schedules:.1g}"
        if isinstance(scheduler, Exhaustive) and scheduler.covered >= 0:
            return f"all with at most {scheduler.covered} preemptions done"
        return ""

    def words(self) -> str:
        """What was reached, in words."""
        scheduler = self.scheduler
        if self.proved and isinstance(scheduler, Dpor):
            exactly = scheduler.exact and scheduler.schedules < 1e6
            there = f"{scheduler.schedules:,.0f}" if exactly else f"about {scheduler.schedules:.1g}"
            return (
                f"proved: every interleaving of the file syscalls of these {self.processes} processes, "
                f"{scheduler.executed:,} schedules executed of {there}"
            ) + (_NEVER_GAVE_UP if scheduler.withheld else "")
        if isinstance(scheduler, Exhaustive):
            if self.proved:
                return f"proved: every one of {self.schedules:,} schedules"
            covered = (
                f"every schedule with at most {scheduler.covered} preemptions" if scheduler.covered >= 0 else "a part"
            )
            return f"explored, not proved: {covered} ({self.schedules:,} schedules, up to {self.points} file syscalls)"
        pct_runs = None if _pct(scheduler) is None else self.counted
        return explored_words(self.tally, pct_runs, self.processes, self.points, self.depth)


def explored_words(tally: Tally, pct_runs: int | None, processes: int, points: int, depth: int) -> str:
    """What a search without an end has reached, in words; ``pct_runs``: see `guarantee`."""
    schedules = tally.executions
    said = f"explored, not proved: {counted(schedules, 'schedule')}, {len(tally.interleavings):,} different"
    if tally.endings[Ending.CUT]:
        said += f", {tally.endings[Ending.CUT]:,} cut short"
    if tally.endings[Ending.DIVERGED]:
        said += f", {tally.endings[Ending.DIVERGED]:,} diverged"
    return said if pct_runs is None else f"{said}; {guarantee(pct_runs, processes, points, depth)}"


def scheduler_of(name: str, seed: int, depth: int) -> Scheduler:
    """A new scheduler of that name."""
    makers: dict[str, Callable[[], Scheduler]] = {
        "random": lambda: Random(seed),
        "pct": lambda: Pct(seed, depth),
        "mix": lambda: random_and_pct(seed, depth),
        "dpor": Dpor,
        "exhaustive": lambda: Exhaustive(depth),
    }
    return makers[name]()


def _pct(scheduler: Scheduler) -> Pct | None:
    parts = scheduler.schedulers if isinstance(scheduler, Mix) else (scheduler,)
    return next((part for part in parts if isinstance(part, Pct)), None)


def executing(prepare: Callable[[], None], execute: Callable[[Scheduler], Ran], judge: Judge) -> Run:
    """A `Run`: lay the files out, execute, judge."""

    def run(scheduler: Scheduler) -> Execution:
        prepare()
        recording = _Recording(scheduler)
        try:
            ran = execute(recording)
        except Diverged as error:
            return Execution(recording.trace, Ending.DIVERGED, blocked=recording.blocked, diverged=error)
        except Abandoned:
            return Execution(recording.trace, Ending.ABANDONED, blocked=recording.blocked)
        findings = judge(ran)
        return Execution(
            ran.trace,
            Ending.CUT if ran.ending == "stuck" else Ending(ran.ending),
            outcome=tuple(finding.anomaly for finding in findings),
            failed=bool(findings),
            blocked=ran.blocked,
            draws=tuple(scheduler.source.drawn),
            interrupted=ran.interrupted,
            findings=findings,
        )

    return run


class _Recording:
    """Passes on to a scheduler, and keeps what an execution that is abandoned had done."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.begin, self.pick, self.source = scheduler.begin, scheduler.pick, scheduler.source
        self.trace: tuple[Step, ...] = ()
        self.blocked: tuple[Call, ...] = ()

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """The execution is over."""
        self.trace, self.blocked = tuple(trace), tuple(blocked)
        self._scheduler.end(trace, blocked)


def step(search: Search, run: Run, *, keep_going: bool) -> bool:
    """One more execution; False if none is left, or the first failing one has been found."""
    if search.over:
        return False
    began = time.monotonic()
    try:
        if not search.scheduler.begin():
            search.over = True
            return False
        execution = run(search.scheduler)
        search.tally.add(execution)
        search.points = max(search.points, len(execution.trace))
        if execution.ending is Ending.DIVERGED:
            search.over = isinstance(search.scheduler, (Dpor, Exhaustive))
        if execution.failed and search.found is None:
            failing = Failing(execution, search.schedules)
            if failing.is_lesser:
                search.lesser = search.lesser or failing
            else:
                search.found, search.over = failing, not keep_going
        return not search.over
    finally:
        search.seconds += time.monotonic() - began


def shrunk(run: Run, failing: Failing, names: Sequence[str]) -> Failing:
    """The simplest schedule that shows the same, and what it needs."""
    execution = failing.execution
    wanted = execution.findings[0].anomaly

    def same(other: Execution) -> bool:
        return any(finding.anomaly == wanted for finding in other.findings)

    runs = _SHRINK_STEPS // (len(execution.trace) or 1)
    runs = runs if runs >= _RUNS_MIN else 0
    small = shrink(run, execution, same=same, runs_max=min(runs, _SHRINK_RUNS)).execution
    critical = critical_steps(run, small, same=same, names=names, runs_max=min(runs, _CRITICAL_RUNS))
    return replace(failing, execution=small, critical=critical)
