"""A batch: some schedules of one case, with operations of its own, explored by one process at a time.

Which batches there are, and what is in them, depends on the plan alone: not on how many processes share them, or how
fast they are.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

from stress import anomalies
from stress.checkers.elsewhere import ADVICE, what_lies_there
from stress.engine import run_checkers
from stress.exploring.case import Case, Testbed, cases
from stress.exploring.evidence import Evidence
from stress.exploring.plan import SEARCHES, ExplorePlan
from stress.exploring.recorder import Counting, Edges
from stress.exploring.search import LESSER, Failing, Search, executing, scheduler_of, shrunk, step
from stress.history.history import History
from stress.history.kinds import End, Language
from stress.history.record import ABSENT, INITIAL, Operation
from stress.history.skipped import Skipped
from stress.host.interrupts import temporary_directory
from stress.options import UsageError
from stress.resolve import abilities, scenarios_named, target_named
from stress.result import Finding, Verdict
from stress.schedulers.execution import Run, Tally
from stress.syscalls import Ran, Supervisor
from stress.syscalls.calls import Scheduler
from stress.workload.target import Target

ANOMALIES = {
    "deadlock": anomalies.DEADLOCK,
    "livelock": anomalies.LIVELOCK,
    "endless": anomalies.LIVELOCK,
    "starvation": anomalies.STARVATION,
    "readable": anomalies.READABLE,
}
"""What the engine sees by itself → how it is reported."""

_SIZE, _SIZE_SLOW = 50, 20
_SHARE, _SHARE_SLOW = 8, 1
"""Of the schedules of a scenario: a process of Bash takes ten times as long as one of Python."""
_SAMPLE = 50
"""Executions of each case whose operations are judged together: whether they say anything at all."""
_PROCESSES = 64
_JUDGED_MAX = 5_000
STUCK_MAX = 3
"""Where so many executions were all that there are, and none of them came to its end, the next will not either."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some schedules of one case.

    Attributes:
        number: Its place among all batches.
        case: Index among the cases of the plan.
        round: Which operations the processes do: each round draws others.
        schedules: At most; None: until none is left.
    """

    number: int
    case: int
    round: int
    schedules: int | None


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a batch.

    Attributes:
        points: File syscalls of the longest execution.
        pct_runs: Executions that count for PCT's guarantee.
        proved, words: What a search that comes to an end has reached.
        sample: Operations of the first executions.
        sampled: How many executions they are of.
        dead: In words, how processes ended, or were ended, that should not have been.
        found: The failing schedule.
        lesser: Where there is none, as of a `Search`.
        doubt: Why nothing can be said of the case, in words.
    """

    batch: Batch
    tally: Tally
    points: int
    pct_runs: int
    proved: bool
    words: str
    sample: tuple[Operation, ...]
    sampled: int
    dead: tuple[str, ...]
    found: Failing | None
    lesser: Failing | None
    doubt: str
    interrupted: bool = False

    @property
    def failing(self) -> Failing | None:
        """The failing schedule that shows the worst."""
        return self.found or self.lesser

    @property
    def is_hopeless(self) -> bool:
        """Whether another batch of the case would say no more."""
        return bool(self.doubt) or bool(self.dead and not self.sampled and self.found is None)


@dataclass
class Exploring:
    """One case, while it is explored.

    Attributes:
        history: Of the execution that was judged last.
        doubt: As of a `BatchReport`.
        judged: `Evidence.essence` of executions → what was found in them.
    """

    case: Case
    testbed: Testbed
    search: Search
    allow: frozenset[str]
    run: Run = field(init=False)
    sample: list[Operation] = field(default_factory=list)
    sampled: int = 0
    dead: list[str] = field(default_factory=list)
    history: History | None = None
    doubt: str = ""
    judged: dict[Hashable, list[Finding]] = field(default_factory=dict)


def batches(plan: ExplorePlan, all_cases: Sequence[Case], is_over: Callable[[int], bool]) -> Iterator[Batch]:
    """The batches of a plan, in order; without end where the plan has no limit on schedules.

    Args:
        is_over: Whether a case, by its index, needs no more of them.
    """
    left = [_share(plan, case, all_cases) for case in all_cases]
    number = count()
    if plan.scheduler in SEARCHES:
        for index in range(len(all_cases)):
            yield Batch(next(number), index, 0, left[index])
        return
    for round in count():
        going = [index for index in range(len(all_cases)) if left[index] != 0 and not is_over(index)]
        if not going:
            return
        for index in going:
            size = _SIZE_SLOW if all_cases[index].is_slow else _SIZE
            schedules = size if left[index] is None else min(size, left[index] or 0)
            left[index] = None if left[index] is None else (left[index] or 0) - schedules
            yield Batch(next(number), index, round, schedules)


def _share(plan: ExplorePlan, case: Case, all_cases: Sequence[Case]) -> int | None:
    """Schedules of a case: those of its scenario are divided among its cases."""
    if plan.schedules is None:
        return None
    together = [_weight(other) for other in all_cases if other.scenario == case.scenario]
    return max(1, round(plan.schedules * _weight(case) / sum(together)))


def _weight(case: Case) -> int:
    return _SHARE_SLOW if case.is_slow else _SHARE


def explore_batch(
    plan: ExplorePlan, batch: Batch, go_on: Callable[[Search], bool], cpu: int | None = None
) -> BatchReport:
    """Explore a batch. Stops early where ``go_on``, called after each schedule, says so, or at the first failing one.

    Args:
        cpu: Where the processes run: see `Supervisor`.
    """
    case, interrupted = cases_of(plan, batch.round)[batch.case], False
    with ExitStack() as stack:
        one = start(plan, case, stack, batch.round, cpu)
        search = one.search
        try:
            while batch.schedules is None or search.schedules < batch.schedules:
                if not step(search, one.run, keep_going=plan.keep_going):
                    break
                if not go_on(search) or one.doubt or (not one.sampled and len(one.dead) >= STUCK_MAX):
                    break
        except KeyboardInterrupt:
            interrupted = True
        return report_of(batch, one, interrupted)


def report_of(batch: Batch, one: Exploring, interrupted: bool = False) -> BatchReport:
    """What became of a batch."""
    search = one.search
    return BatchReport(
        batch, search.tally, search.points, search.counted, search.proved, search.words(),
        tuple(one.sample), one.sampled, tuple(one.dead), search.found, search.lesser, one.doubt, interrupted,
    )  # fmt: skip


def shrunk_of(plan: ExplorePlan, report: BatchReport) -> Failing:
    """The failing schedule of a report, shrunk."""
    failing = report.failing
    assert failing is not None
    case = cases_of(plan, report.batch.round)[report.batch.case]
    with ExitStack() as stack:
        one = start(plan, case, stack, report.batch.round)
        return shrunk(one.run, failing, case.short_names)


def cases_of(plan: ExplorePlan, round: int = 0) -> list[Case]:
    """Each scenario of the plan, in each mix of languages. Raises `UsageError`."""
    scenarios_named(plan.scenarios)
    target = target_named(plan.target)
    supported, left_out = _abilities(target)
    why = "".join(f"; {each}" for each in left_out)
    for name in plan.languages:
        if name not in {language.label for language in supported}:
            offered = ", ".join(sorted(language.label for language in supported))
            raise UsageError("--languages", name, f"is no side of the target {target.name}; it has: {offered}{why}")
    chosen = [tuple(map(Language.named, plan.languages))] if plan.languages else _mixes(list(supported))
    made = [
        case
        for languages in chosen
        for case in cases(
            plan.scenarios,
            target,
            supported,
            languages,
            processes=plan.processes,
            ops=plan.ops_of(round),
            seed=_seed(plan, round),
        )
    ]
    if not made:
        raise UsageError("--target", target.name, f"can do none of the scenarios {', '.join(plan.scenarios)}{why}")
    return made


def _abilities(target: Target) -> tuple[Mapping[Language, frozenset[str]], Sequence[Skipped]]:
    """The same as `abilities`, asked for once: that starts Bash or the target's own worker, and each batch needs it."""
    path = os.environ.get("PATH")
    if not _asked or _asked[0][:2] != (target, path):
        _asked[:] = [(target, path, *abilities(target))]
    return _asked[0][2:]


_asked: list[tuple[Target, str | None, Mapping[Language, frozenset[str]], Sequence[Skipped]]] = []
"""Which target, found on which PATH, was asked last."""


def _mixes(supported: list[Language]) -> list[tuple[Language, ...]]:
    """Each language by itself, and all in turn."""
    alone: list[tuple[Language, ...]] = [(language,) for language in supported]
    return [*alone, tuple(supported)] if len(supported) > 1 else alone


def _seed(plan: ExplorePlan, round: int) -> int:
    return plan.seed + (round << 64)


def start(plan: ExplorePlan, case: Case, stack: ExitStack, round: int = 0, cpu: int | None = None) -> Exploring:
    """Get a case ready to be executed; ``stack`` ends it."""
    shared = stack.enter_context(directory(plan.directory))
    told = plan.scheduler == "dpor"  # for it, what was over before what began is what a schedule means
    testbed = Testbed(case, shared, stack.enter_context(directory(None)), marks=told)
    stack.callback(testbed.close)
    supervisor = stack.enter_context(Supervisor(shared, cpu=a_cpu() if cpu is None else cpu))
    search = Search(scheduler_of(plan.scheduler, _seed(plan, round), plan.depth), len(case.duties), plan.depth)

    def execute(scheduler: Scheduler) -> Ran:
        if told:
            scheduler = Edges(scheduler, lambda: supervisor.marks)
        return supervisor.run(testbed.agents, Counting(scheduler, testbed.steps))

    def judge(ran: Ran) -> tuple[Finding, ...]:
        return _judge(one, ran)

    one = Exploring(case, testbed, search, frozenset((*plan.allow, *case.target.allow)))
    one.run = executing(testbed.lay_out, execute, judge)
    return one


@contextmanager
def directory(where: str | None) -> Iterator[Path]:
    """A new directory in ``where``, or in memory; removed at the end. Raises `UsageError`."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with ExitStack() as stack:
        try:
            made = stack.enter_context(temporary_directory(where=where or memory))
        except OSError as error:
            advice = f"{error.strerror}; give a directory that can be written to"
            raise UsageError("--dir", f"{where!r}: {advice}") from error
        yield Path(made).resolve()


def may_keep(folder: str) -> None:
    """Raise `UsageError` where a failing schedule could not be kept: before the work is done, not after it."""
    path = Path(folder).absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise UsageError("--runs", f"{folder!r}: nothing can be made there; give a directory that can be written to")


def _judge(one: Exploring, ran: Ran) -> tuple[Finding, ...]:
    """What was wrong with an execution: what the engine saw, and, where it ended, what the checkers say."""
    scenario = one.case.scenario
    findings = []
    seen_here = [
        Finding(ANOMALIES[seen.kind], "explore", scenario, "", f"After {seen.step} file syscalls: {seen.text}.")
        for seen in ran.findings
        if seen.kind in ANOMALIES
    ]
    if ran.ending == "done":
        evidence = one.testbed.evidence(ran)
        dead = (facts.status for facts in evidence.processes if facts.end is End.DIED)
        one.dead += [f"a process ended by itself: {status}" for status in islice(dead, 5 - len(one.dead))]
        if one.sampled < _SAMPLE:
            _sample(one, evidence, len(ran.trace))
        findings = _checked(one, evidence)
    else:
        one.dead += [seen.text for seen in ran.findings if seen.kind == "stuck" and len(one.dead) < 5]
        one.doubt = next((seen.text for seen in ran.findings if seen.kind == "undecided"), one.doubt)
    return () if one.doubt else tuple(found for found in (*findings, *seen_here) if found.anomaly not in one.allow)


def _checked(one: Exploring, evidence: Evidence) -> list[Finding]:
    """What the checkers find. They are not asked again about the same; but words that will be shown are of this one."""
    essence = evidence.essence
    known = one.judged.get(essence)
    unsaid = one.allow | LESSER if one.search.lesser is not None else one.allow
    if known is not None and (one.search.found is not None or unsaid.issuperset(found.anomaly for found in known)):
        return known
    one.history = one.testbed.history(evidence)
    if len(one.judged) >= _JUDGED_MAX:
        one.judged.clear()
    found = run_checkers(one.history, always=frozenset())  # doubts are of the whole exploration
    found = one.judged[essence] = [each for each in found if each.verdict is Verdict.FAIL]
    if found and not one.doubt:
        one.doubt = _kept_elsewhere(one)
    return found


def _kept_elsewhere(one: Exploring) -> str:
    """What tells that the file is not the document, in words: its own reader finds what was written, and nobody else
    does. Empty where that is not so, or not known.
    """
    history, target = one.history, one.case.target
    if history is None or not target.observe or "read" not in target.operations:
        return ""
    unchanged = [
        index
        for index, final in enumerate(history.final)
        if history.files[index].form.is_document and final.version <= INITIAL
    ]
    read = one.testbed.by_reader(history.final) if unchanged else ()
    for index in unchanged:
        if read[index].version > INITIAL:
            final, path = history.final[index], history.files[index].path
            what = what_lies_there(path, final.version if final.exists else ABSENT, final.content)
            return f"{what}, and yet the target's own reader finds what was written: {ADVICE}"
    return ""


def _sample(one: Exploring, evidence: Evidence, steps: int) -> None:
    """Keep the operations, as those of processes and times of their own."""
    later = one.sampled * (steps + 10_000) * 1_000_000
    for op in evidence.operations:
        one.sample.append(
            dataclasses.replace(
                op, process=op.process + _PROCESSES * one.sampled, invoke=op.invoke + later, ret=op.ret + later
            )
        )
    one.sampled += 1


def a_cpu() -> int:
    """The CPU for a supervisor of this process: not the same for all."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[os.getpid() % len(cpus)]
