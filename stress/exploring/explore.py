"""Exploring the operations of scenarios, and replaying a schedule that was saved."""

from __future__ import annotations

import dataclasses
import math
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stress import anomalies
from stress.engine import HarnessError, checkers_of, run_checkers
from stress.exploring.case import Case, Stage, cases
from stress.exploring.plan import ExplorePlan
from stress.exploring.recorder import Counting
from stress.exploring.search import Failure, Search, executing, scheduler_of, step
from stress.files import write_text
from stress.history.history import History
from stress.history.record import End, Kind, Language, Operation
from stress.host.tools import version_of_tool
from stress.options import UsageError
from stress.resolve import abilities, scenarios_named, target_named
from stress.result import Exploration, Finding, Result, Verdict
from stress.schedulers.execution import Execution, Run
from stress.schedulers.replay import Replay
from stress.schedulers.saved import SUFFIX, SavedSchedule
from stress.schedulers.table import table
from stress.stats import run_stats
from stress.syscalls import Denied, Ran, Supervisor
from stress.syscalls.calls import Call, Diverged, Scheduler, Step
from stress.workload.target import BUILT_IN

__all__ = ["Progress", "explore", "replay"]

ANOMALIES = {"deadlock": anomalies.DEADLOCK, "livelock": anomalies.LIVELOCK, "readable": anomalies.READABLE}
"""What the engine sees by itself → how it is reported."""

_SAMPLE = 50
"""Executions of each case whose operations are judged together: whether they say anything at all."""
_PROCESSES = 64


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an exploration is."""

    elapsed_s: float
    schedules: int
    interleavings: int
    case: str
    reached: str


Watch = Callable[[Progress], None]
Show = Callable[[Call, Sequence[Step]], None]


@dataclass
class _Run:
    """One case, while it is explored."""

    case: Case
    stage: Stage
    supervisor: Supervisor
    search: Search
    run: Run
    last: dict[str, object]
    sample: list[Operation] = dataclasses.field(default_factory=list)
    sampled: int = 0
    dead: list[str] = dataclasses.field(default_factory=list)
    history: History | None = None
    allow: frozenset[str] = frozenset()


def explore(plan: ExplorePlan, watch: Watch | None = None, *, folder: str = ".stress") -> Result:
    """Explore the scenarios of ``plan``, each by itself; ``folder`` is where a failing schedule is saved.

    Stops at the first failing schedule, unless the plan says ``keep_going``.

    Raises `UsageError`, and `HarnessError` where the kernel or the container denies what it takes.
    """
    interrupted = False
    with ExitStack() as stack:
        try:
            runs = [_start(plan, case, stack) for case in _cases_of(plan)]
            _search(plan, runs, watch)
        except KeyboardInterrupt:
            interrupted = True
            runs = locals().get("runs", [])
        except Denied as denied:
            raise HarnessError(
                f"syscalls can't be scheduled here: {denied}; `stress run` needs nothing of it"
            ) from denied
        return _result(plan, runs, folder, interrupted)


class Watched:
    """A scheduler that shows each call before it is done."""

    def __init__(self, scheduler: Replay, show: Show) -> None:
        self._scheduler, self._show = scheduler, show
        self.begin, self.draw, self.end, self.source = scheduler.begin, scheduler.draw, scheduler.end, scheduler.source

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """What the scheduler picks."""
        chosen = self._scheduler.pick(enabled, trace)
        self._show(enabled[chosen], trace)
        return chosen


def replay(saved: SavedSchedule, show: Show | None = None) -> tuple[Execution, Result]:
    """Execute a saved schedule once more, and judge it. ``Execution.diverged`` says where it went another way.

    Args:
        show: Called with each call before it is done, and the steps so far.
    """
    plan = ExplorePlan.from_json(saved.plan)
    with ExitStack() as stack:
        try:
            named = {case.name: case for case in _cases_of(plan)}
            case = named.get(str(saved.plan.get("case")))
            if case is None:
                raise UsageError("FILE", f"names the case {saved.plan.get('case')!r}, which there is not (any more)")
            one = _start(plan, case, stack)
            scheduler: Scheduler = saved.replay() if show is None else Watched(saved.replay(), show)
            scheduler.begin()
            execution = one.run(scheduler)
        except Denied as denied:
            raise HarnessError(f"syscalls can't be scheduled here: {denied}") from denied
        one.search.tally.add(execution)
        one.search.points = len(execution.trace)
        failure = one.last.get("failure")
        findings: tuple[Finding, ...] = failure.findings if isinstance(failure, Failure) else ()
        lines = tuple(table(execution.trace, case.names, blocked=execution.blocked, width=100, fold=False))
        verdict = Verdict.UNKNOWN if execution.diverged else max((f.verdict for f in findings), default=Verdict.PASS)
        result = _made(plan, [one], findings, verdict, one.history, False, critical=saved.critical, lines=lines)
        return execution, result


def _cases_of(plan: ExplorePlan) -> list[Case]:
    scenarios_named(plan.scenarios)
    target = target_named(plan.target)
    able = {language: can for language, can in abilities(target)[0].items() if language.label in BUILT_IN}
    if not able:
        why = f"has workers in {target.language} alone, and those can't be scheduled; `stress run` runs them"
        raise UsageError("--target", target.name, why)
    for name in plan.languages:
        if name not in {language.label for language in able}:
            offered = ", ".join(sorted(language.label for language in able))
            raise UsageError("--languages", name, f"is no side of the target {target.name}; it has: {offered}")
    chosen = [tuple(map(Language.named, plan.languages))] if plan.languages else _mixes(list(able))
    made = [
        case
        for languages in chosen
        for case in cases(
            plan.scenarios, target, able, languages, processes=plan.processes, ops=plan.ops, seed=plan.seed
        )
    ]
    if not made:
        raise UsageError("--target", target.name, f"can do none of the scenarios {', '.join(plan.scenarios)}")
    return made


def _mixes(able: list[Language]) -> list[tuple[Language, ...]]:
    """Each language by itself, and all in turn."""
    alone: list[tuple[Language, ...]] = [(language,) for language in able]
    return [*alone, tuple(able)] if len(able) > 1 else alone


def _start(plan: ExplorePlan, case: Case, stack: ExitStack) -> _Run:
    shared = stack.enter_context(_directory(plan.directory))
    stage = Stage(case, shared, stack.enter_context(_directory(None)))
    stack.callback(stage.close)
    supervisor = stack.enter_context(Supervisor(shared, cpu=a_cpu()))
    search = Search(scheduler_of(plan.scheduler, plan.seed, plan.depth), len(case.duties), plan.depth)

    def execute(scheduler: Scheduler) -> Ran:
        return supervisor.run(stage.agents, Counting(scheduler, stage.steps))

    def judge(ran: Ran) -> Failure | None:
        return _judge(one, ran)

    run, last = executing(stage.lay_out, execute, judge)
    one = _Run(case, stage, supervisor, search, run, last, allow=frozenset(plan.allow))
    return one


@contextmanager
def _directory(where: str | None) -> Iterator[Path]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    try:
        made = tempfile.TemporaryDirectory(prefix="stress-", dir=where or memory, ignore_cleanup_errors=True)
    except OSError as error:
        raise UsageError("--dir", str(where), f"{error.strerror}; give a directory that can be written to") from error
    with made as directory:
        yield Path(directory).resolve()


def _judge(one: _Run, ran: Ran) -> Failure | None:
    """What was wrong with an execution: what the engine saw, and, where it ended, what the checkers say."""
    scenario = one.case.world.scenarios[0].name
    findings = []
    seen_here = [
        Finding(ANOMALIES[seen.kind], "explore", scenario, "", f"After {seen.step} file syscalls: {seen.text}.")
        for seen in ran.findings
        if seen.kind in ANOMALIES
    ]
    if ran.ending == "done":
        history = one.stage.history(ran)
        one.history = history
        one.dead += [facts.status for facts in history.processes if facts.end is End.DIED and len(one.dead) < 5]
        if one.sampled < _SAMPLE:
            _sample(one, history, len(ran.trace))
        findings = [found for found in run_checkers(history) if found.verdict is Verdict.FAIL]
    else:
        one.dead += [seen.text for seen in ran.findings if seen.kind == "stuck" and len(one.dead) < 5]
    findings = [found for found in (*findings, *seen_here) if found.anomaly not in one.allow]
    return Failure(tuple(findings)) if findings else None


def _sample(one: _Run, history: History, steps: int) -> None:
    """Keep the operations, as those of processes and times of their own."""
    later = one.sampled * (steps + 10_000) * 1_000_000
    for row in range(len(history.ops)):
        op = history.operation(row)
        one.sample.append(
            dataclasses.replace(
                op, process=op.process + _PROCESSES * one.sampled, invoke=op.invoke + later, ret=op.ret + later
            )
        )
    one.sampled += 1


def _search(plan: ExplorePlan, runs: list[_Run], watch: Watch | None) -> None:
    """Go on with the case that had the least time, until all are over."""
    began = shown = time.monotonic()
    while going := [one for one in runs if not _is_over(plan, one, runs)]:
        one = min(going, key=lambda one: one.search.seconds)
        step(one.search, one.run, one.last, one.case.short_names, keep_going=plan.keep_going)
        if one.search.found is not None and not plan.keep_going:
            return
        now = time.monotonic()
        if plan.duration_s is not None and now - began >= plan.duration_s:
            return
        if watch is not None and now - shown >= 0.25:
            shown = now
            schedules = sum(one.search.schedules for one in runs)
            interleavings = sum(len(one.search.tally.interleavings) for one in runs)
            watch(Progress(now - began, schedules, interleavings, one.case.name, one.search.words()))


def _is_over(plan: ExplorePlan, one: _Run, runs: list[_Run]) -> bool:
    name = one.case.world.scenarios[0].name
    done = sum(other.search.schedules for other in runs if other.case.world.scenarios[0].name == name)
    enough = plan.until is not None and one.search.missed <= 1 - plan.until
    return one.search.over or enough or (plan.schedules is not None and done >= plan.schedules)


# What it came to


def _result(plan: ExplorePlan, runs: list[_Run], folder: str, interrupted: bool) -> Result:
    failed = next((one for one in runs if one.search.found is not None), None)
    doubts = [doubt for one in runs for doubt in _doubts(one)] if failed is None and not interrupted else []
    if failed is None or failed.search.found is None:
        verdict = Verdict.UNKNOWN if doubts or not runs else Verdict.PASS
        return _made(plan, runs, tuple(doubts), verdict, None, interrupted)
    found, case = failed.search.found, failed.case
    findings = found.failure.findings
    critical = "" if found.critical is None else found.critical.words
    saved = SavedSchedule.of(
        found.execution,
        plan.to_json() | {"case": case.name},
        names=case.names,
        finding=findings[0].message,
        critical=critical,
        versions=versions(),
    )
    path = Path(folder, f"{time.strftime('%Y%m%d-%H%M%S')}-{case.target.name}-{secrets.token_hex(3)}{SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(str(path), saved.to_json())
    except OSError as error:
        raise HarnessError(f"the schedule could not be kept as {path}: {error.strerror or error}") from error
    marked = () if found.critical is None else found.critical.steps
    lines = table(found.execution.trace, case.names, critical=marked, blocked=found.execution.blocked, width=100)
    return _made(
        plan, runs, findings, Verdict.FAIL, failed.history, interrupted,
        critical=critical, lines=tuple(lines), file=str(path), after=found.after,
    )  # fmt: skip


def _made(
    plan: ExplorePlan,
    runs: list[_Run],
    findings: tuple[Finding, ...],
    verdict: Verdict,
    history: History | None,
    interrupted: bool,
    *,
    critical: str = "",
    lines: tuple[str, ...] = (),
    file: str = "",
    after: int = 0,
) -> Result:
    operations = [op for one in runs for op in one.sample]
    facts = tuple(facts for one in runs for facts in one.case.world.facts)
    whole = History.of(operations, facts, scenarios=[one.case.world.scenarios[0].name for one in runs])
    checkers: dict[str, frozenset[str]] = {}
    for one in runs:
        for name, names in checkers_of(History.of([], one.case.world.facts)).items():
            checkers[name] = checkers.get(name, frozenset()) | names
    readers = sum(duty.part == "reader" for duty in runs[0].case.duties) if runs else 0
    return Result(
        verdict=verdict,
        findings=findings,
        stats=run_stats(whole),
        checkers=checkers,
        plan=plan.to_json() | {"writers": plan.processes - readers, "readers": readers},
        interrupted=interrupted,
        began=1,
        history=history,
        exploration=Exploration(
            schedules=sum(one.search.schedules for one in runs),
            interleavings=sum(len(one.search.tally.interleavings) for one in runs),
            seconds=math.fsum(one.search.seconds for one in runs),
            cases=tuple((one.case.name, one.search.words()) for one in runs if one.search.schedules),
            proved=bool(runs) and all(one.search.proved for one in runs),
            failing=sum(one.search.tally.failed for one in runs),
            found_after=after,
            critical=critical,
            table=lines,
            file=file,
        ),
    )


def _doubts(one: _Run) -> Iterator[Finding]:
    """Why the executions of a case say nothing, all of them together."""
    scenario = one.case.world.scenarios[0].name

    def doubt(anomaly: anomalies.Anomaly, message: str) -> Finding:
        return Finding(anomaly, "vacuity", scenario, "", f"{one.case.name}: {message}", verdict=Verdict.UNKNOWN)

    if one.dead:
        yield doubt(anomalies.WORKER_DIED, f"a process ended by itself: {one.dead[0]}.")
    if not one.sampled:
        yield doubt(anomalies.TOO_FEW_OPERATIONS, "no execution came to its end: nothing was tested.")
        return
    kinds = frozenset(request.kind for duty in one.case.duties for request in duty.requests)
    done = {op.kind for op in one.sample if op.outcome.label == "ok"}
    for kind in sorted(kinds - done):
        note = next((op.note for op in one.sample if op.kind is kind), None)
        yield doubt(anomalies.TOO_FEW_OPERATIONS, f"no {Kind(kind).label} succeeded ({note or 'no reason was given'}).")
    if len(one.case.duties) > 1 and not _overlap(one.sample):
        yield doubt(anomalies.NO_OVERLAP, "no operation overlapped another: nothing about concurrency was shown.")


def _overlap(operations: list[Operation]) -> bool:
    ordered = sorted(operations, key=lambda op: op.invoke)
    until = 0
    for op in ordered:
        if op.invoke < until:
            return True
        until = max(until, op.ret)
    return False


def a_cpu() -> int:
    """The CPU for a supervisor of this process: not the same for all."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[os.getpid() % len(cpus)]


def versions() -> dict[str, str]:
    """Of what has a say in which syscalls are made."""
    made = {"python": sys.version.split()[0], "hash seed": os.environ.get("PYTHONHASHSEED", "random")}
    for tool in ("bash", "jq"):
        if version := version_of_tool(tool):
            made[tool] = version
    return made


def diverged(error: Diverged) -> str:
    """Where and why, for people."""
    return f"step {error.index + 1} went another way: expected {error.expected}; found {error.found}"
