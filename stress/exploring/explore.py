"""Exploring the operations of scenarios, and replaying a schedule that was saved."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress import anomalies
from stress.engine import HarnessError, checkers_of
from stress.exploring.batch import (
    Batch,
    BatchReport,
    batches,
    cases_of,
    directory,
    may_keep,
    report_of,
    shrunk_of,
    start,
)
from stress.exploring.case import Case
from stress.exploring.jobs import reports
from stress.exploring.plan import AGENTS, SEARCHES, ExplorePlan
from stress.exploring.search import Failing, explored_words
from stress.files import write_text
from stress.history.history import FileFacts, History
from stress.history.kinds import Kind
from stress.history.notes import words_of
from stress.history.record import Operation
from stress.host.machine import version_of_tool
from stress.options import UsageError
from stress.resolve import abilities, target_named
from stress.result import Exploration, Finding, Result, Verdict
from stress.schedulers.execution import Execution, Tally
from stress.schedulers.guarantee import missed_after, pct_probability
from stress.schedulers.replay import Replay
from stress.schedulers.saved import SUFFIX, SavedSchedule
from stress.schedulers.table import rows, table
from stress.stats import run_stats
from stress.syscalls import Denied
from stress.syscalls.calls import Call, Diverged, Scheduler, Step

SHOW_EVERY_S = 0.25
"""Progress is told about this often."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an exploration is; ``reached``: the coverage of the case that is under way, in a few words."""

    elapsed_s: float
    schedules: int
    interleavings: int
    case: str
    reached: str


Watch = Callable[[Progress], None]
Show = Callable[[Call, Sequence[Step]], None]


class CaseReport:
    """What the reports of one case come to. Of a long search there are many: only the first's operations are kept.

    Attributes:
        sample: Operations of the first executions.
        is_hopeless: See `BatchReport.is_hopeless`.
    """

    def __init__(self, plan: ExplorePlan, case: Case) -> None:
        self.case = case
        self.sample: tuple[Operation, ...] = ()
        self.is_hopeless = False
        self._plan = plan
        self._reports: list[BatchReport] = []
        self._first = math.inf
        self._points = self._pct_runs = 0

    def add(self, report: BatchReport) -> None:
        """Take in the report of a batch."""
        if report.batch.number < self._first:
            self._first, self.sample = report.batch.number, report.sample
        self.is_hopeless = self.is_hopeless or report.is_hopeless
        self._count(report)
        self._reports.append(dataclasses.replace(report, sample=(), found=None, lesser=None))

    def _count(self, report: BatchReport) -> None:
        self._points, self._pct_runs = max(self._points, report.points), self._pct_runs + report.pct_runs

    def keep(self, last: float) -> None:
        """Forget the batches after ``last``."""
        kept = [report for report in self._reports if report.batch.number <= last]
        self._reports = sorted(kept, key=lambda report: report.batch.number)
        self._points = self._pct_runs = 0
        for report in kept:
            self._count(report)
        self.sample = self.sample if kept else ()

    @property
    def has_ended(self) -> bool:
        """Whether an execution came to its end, among those of the first report."""
        return bool(self._reports and self._reports[0].sampled)

    @property
    def schedules(self) -> int:
        """Executions."""
        return sum(report.tally.executions for report in self._reports)

    @property
    def proved(self) -> bool:
        """Whether every interleaving was executed, or one equivalent to it, and none failed."""
        return bool(self._reports) and all(report.proved for report in self._reports)

    def before(self, number: int) -> Iterator[BatchReport]:
        """The reports of the batches before that one."""
        return (report for report in self._reports if report.batch.number < number)

    @property
    def dead(self) -> Iterator[str]:
        """How processes ended that should not have."""
        return (said for report in self._reports for said in report.dead)

    @property
    def missed(self) -> float:
        """Probability at most that one given bug of the depth was missed."""
        probability = pct_probability(len(self.case.duties), self._points, self._plan.depth)
        return missed_after(self._pct_runs, probability) if probability else 1.0

    @property
    def coverage(self) -> str:
        """What PCT has reached, in a few words; empty where it is nothing that could be said."""
        if not self._pct_runs:
            return ""
        return f"a bug of depth {self._plan.depth} missed: {self.missed:.1%} at most"

    @property
    def is_over(self) -> bool:
        """Whether as much was reached as is wanted, or can be."""
        return self.is_hopeless or (self._plan.until is not None and self.missed <= 1 - self._plan.until)

    @property
    def doubt(self) -> str:
        """See `BatchReport.doubt`."""
        return next((report.doubt for report in self._reports if report.doubt), "")

    @property
    def tally(self) -> Tally:
        """Of all."""
        whole = Tally()
        for report in self._reports:
            whole.endings += report.tally.endings
            whole.failed += report.tally.failed
            whole.interleavings |= {hash((report.batch.round, each)) for each in report.tally.interleavings}
        return whole

    def words(self) -> str:
        """What was reached, in words."""
        if self._plan.scheduler in SEARCHES or not self._reports:
            return "; ".join(report.words for report in self._reports)
        runs = None if self._plan.scheduler == "random" else self._pct_runs
        return explored_words(self.tally, runs, len(self.case.duties), self._points, self._plan.depth)


def explore(plan: ExplorePlan, watch: Watch | None = None, *, folder: str = ".stress") -> Result:
    """Explore the scenarios of ``plan``, each by itself; ``folder`` is where a failing schedule is saved.

    Stops at the first failing schedule that shows more than `LESSER`, unless the plan says ``keep_going``. With a limit
    on schedules the result depends on the plan alone, and not on how many jobs share the work.

    Raises `UsageError`, and `HarnessError` where the kernel or the container denies what it takes.
    """
    began = time.monotonic()
    may_keep(folder)
    cases = cases_of(plan)
    with directory(plan.directory):  # that a file can be made there
        pass
    reached = [CaseReport(plan, case) for case in cases]
    heard = _Progressing(plan, reached, watch)
    failing: BatchReport | None = None
    lesser: BatchReport | None = None
    interrupted, found = False, None
    work = batches(plan, cases, lambda index: reached[index].is_over)
    jobs = plan.jobs or len(os.sched_getaffinity(0))
    if plan.scheduler in SEARCHES:
        jobs = min(jobs, len(cases))
    try:
        for report in reports(plan, work, jobs, heard):
            reached[report.batch.case].add(report)
            heard.over(report)
            interrupted = interrupted or report.interrupted
            if report.found is not None:
                failing = _earlier(report, failing)
            elif report.lesser is not None:
                lesser = _earlier(report, lesser)
    except KeyboardInterrupt:
        interrupted = True
    except Denied as denied:
        raise HarnessError(f"syscalls can't be scheduled here: {denied}; `stress run` needs nothing of it") from denied
    failed = failing or lesser
    for each in reached:
        each.keep(failing.batch.number if failing is not None and not plan.keep_going else math.inf)
    if failed is not None:
        found = failed.failing
        try:
            if not interrupted:
                heard.shrinks(failed)
                found = shrunk_of(plan, failed)
        except KeyboardInterrupt:
            interrupted = True
    left_out = () if plan.languages else tuple(abilities(target_named(plan.target))[1])
    return dataclasses.replace(_result(plan, reached, failed, found, folder, interrupted, began), skipped=left_out)


def _earlier(report: BatchReport, other: BatchReport | None) -> BatchReport:
    return report if other is None or report.batch.number < other.batch.number else other


class _Progressing:
    """Adds up what the batches under way say, and shows it now and then."""

    def __init__(self, plan: ExplorePlan, reached: Sequence[CaseReport], watch: Watch | None) -> None:
        self._plan, self._reached, self._watch = plan, reached, watch
        self._began = self._shown = time.monotonic()
        self._under_way: dict[Batch, tuple[int, int]] = {}
        self._done = (0, 0)

    def __call__(self, batch: Batch, schedules: int, different: int, coverage: str) -> bool:
        """Whether there is time left."""
        self._under_way[batch] = schedules, different
        now = time.monotonic()
        if self._watch is not None and now - self._shown >= SHOW_EVERY_S:
            self._shown = now
            all_schedules, all_different = map(sum, zip(self._done, *self._under_way.values(), strict=True))
            one = self._reached[batch.case]
            self._watch(
                Progress(now - self._began, all_schedules, all_different, one.case.name, coverage or one.coverage)
            )
        return self._plan.duration_s is None or now - self._began < self._plan.duration_s

    def shrinks(self, report: BatchReport) -> None:
        """The search is over, and a failing schedule is made simpler."""
        if self._watch is not None:
            name = self._reached[report.batch.case].case.name
            spent_s = time.monotonic() - self._began
            self._watch(Progress(spent_s, *self._done, name, "a failing schedule was found, and is made simpler"))

    def over(self, report: BatchReport) -> None:
        """A batch is over."""
        self._under_way.pop(report.batch, None)
        done = report.tally.executions, len(report.tally.interleavings)
        self._done = self._done[0] + done[0], self._done[1] + done[1]


class Shown:
    """A scheduler that shows each call before it is done."""

    def __init__(self, scheduler: Replay, show: Show) -> None:
        self._scheduler, self._show = scheduler, show
        self.begin, self.end, self.source = scheduler.begin, scheduler.end, scheduler.source

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
    began = time.monotonic()
    if saved.plan.get("mode") == AGENTS:
        who = ", ".join(saved.names)
        raise UsageError("FILE", f"is a schedule of {who}: the test that explores these shows it, with replay=FILE")
    plan, round = ExplorePlan.from_json(saved.plan), int(saved.plan.get("round", 0))
    with ExitStack() as stack:
        try:
            named = {case.name: case for case in cases_of(plan, round)}
            case = named.get(str(saved.plan.get("case")))
            if case is None:
                raise UsageError("FILE", f"names the case {saved.plan.get('case')!r}, which there is not (any more)")
            one = start(plan, case, stack, round)
            scheduler: Scheduler = saved.replay() if show is None else Shown(saved.replay(), show)
            scheduler.begin()
            execution = one.run(scheduler)
        except Denied as denied:
            raise HarnessError(f"syscalls can't be scheduled here: {denied}") from denied
        findings = execution.findings
        one.search.tally.add(execution)
        marked = saved.marked
        report = report_of(Batch(0, 0, round, 1), one)
        reached = CaseReport(plan, case)
        reached.add(report)
        in_doubt = execution.diverged or one.doubt
        verdict = Verdict.UNKNOWN if in_doubt else max((f.verdict for f in findings), default=Verdict.PASS)
        result = _made(
            plan, [reached], findings, verdict, one.history, False, began, critical=saved.critical,
            table=tuple(table(execution, case.names, critical=marked, width=100, fold=False)),
            names=case.names, rows=rows(execution, critical=marked, fold=False),
        )  # fmt: skip
        assert result.exploration is not None
        one_schedule = dataclasses.replace(result.exploration, cases=())  # of which no search says anything
        return execution, dataclasses.replace(result, exploration=one_schedule)


# What it came to


def _result(
    plan: ExplorePlan,
    reached: list[CaseReport],
    failed: BatchReport | None,
    found: Failing | None,
    folder: str,
    interrupted: bool,
    began: float,
) -> Result:
    if failed is None or found is None:
        doubts = [] if interrupted else [doubt for one in reached for doubt in _doubts(one)]
        verdict = Verdict.UNKNOWN if doubts or not reached else Verdict.PASS
        return _made(plan, reached, tuple(doubts), verdict, None, interrupted, began)
    batch, case = failed.batch, cases_of(plan, failed.batch.round)[failed.batch.case]
    executed = plan.to_json() | {"case": case.name, "round": batch.round}
    path = keep(found, executed, case.names, Path(folder), f"{case.target.name}-", case.target.files)
    before = sum(report.tally.executions for one in reached for report in one.before(batch.number))
    return _made(
        plan, reached, found.findings, Verdict.FAIL, _history(plan, batch, found.execution), interrupted, began,
        critical=found.words, table=tuple(table(found.execution, case.names, critical=found.steps, width=100)),
        names=case.names, rows=rows(found.execution, critical=found.steps), file=path,
        found_after=before + found.after,
    )  # fmt: skip


def keep(
    found: Failing,
    plan: Mapping[str, Any],
    names: Sequence[str],
    folder: Path,
    label: str = "",
    files: Iterable[Path] = (),
) -> str:
    """Save a failing schedule in ``folder``; returns its path. Raises `HarnessError`.

    Args:
        plan: What was executed, with its ``seed``.
        names: Of the processes.
        label: What the file's name has before its random part.
        files: Those that were executed.
    """
    saved = SavedSchedule.of(
        found.execution,
        plan,
        names=tuple(names),
        finding=found.findings[0].message,
        critical=found.words,
        marked=found.steps,
        versions=versions(),
        hashes=hashes(files),
    )
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{label}{secrets.token_hex(3)}{SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(str(path), saved.to_json())
    except OSError as error:
        why = f"the schedule could not be kept as {path}: {error.strerror or error}"
        raise HarnessError(f"{why}; the seed {plan['seed']} finds it again: {saved.finding}") from error
    return str(path)


def _history(plan: ExplorePlan, batch: Batch, execution: Execution) -> History | None:
    """What the operations of a failing schedule did, which may have failed in another process: it is executed again."""
    with ExitStack() as stack:
        one = start(plan, cases_of(plan, batch.round)[batch.case], stack, batch.round)
        scheduler = Replay(execution.decisions, draws=execution.draws)
        scheduler.begin()
        one.run(scheduler)
        return one.history


def _made(
    plan: ExplorePlan,
    reached: list[CaseReport],
    findings: tuple[Finding, ...],
    verdict: Verdict,
    history: History | None,
    interrupted: bool,
    began: float,
    **schedule: Any,
) -> Result:
    """Of an exploration that began at that moment (`time.monotonic`); ``schedule``: fields of `Exploration`."""
    operations: list[Operation] = []
    facts: list[FileFacts] = []
    checkers: dict[str, frozenset[str]] = {}
    for index, one in enumerate(reached):
        operations += [dataclasses.replace(op, file=op.file + len(facts), scenario=index) for op in one.sample]
        facts += one.case.world.facts
        for name, names in checkers_of(History.of([], one.case.world.facts)).items():
            checkers[name] = checkers.get(name, frozenset()) | names
    whole = History.of(operations, tuple(facts), scenarios=[one.case.scenario for one in reached])
    readers = sum(duty.part == "reader" for duty in reached[0].case.duties) if reached else 0
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
            schedules=sum(one.schedules for one in reached),
            interleavings=sum(len(one.tally.interleavings) for one in reached),
            seconds=time.monotonic() - began,  # however many supervisors worked at once, a person waited once
            cases=tuple((one.case.name, one.words()) for one in reached if one.schedules),
            proved=bool(reached) and all(one.proved for one in reached),
            failing=sum(one.tally.failed for one in reached),
            **schedule,
        ),
    )


def _doubts(one: CaseReport) -> Iterator[Finding]:
    """Why the executions of a case say nothing, all of them together."""

    def doubt(anomaly: anomalies.Anomaly, message: str) -> Finding:
        return Finding(
            anomaly, "vacuity", one.case.scenario, "", f"{one.case.name}: {message}", verdict=Verdict.UNKNOWN
        )

    if one.doubt:
        yield doubt(anomalies.NOT_JUDGED, f"{one.doubt}.")
        return
    for dead in one.dead:
        yield doubt(anomalies.WORKER_DIED, f"{dead}.")
        break
    if not one.has_ended:
        yield doubt(anomalies.TOO_FEW_OPERATIONS, "no execution came to its end: nothing was tested.")
        return
    kinds = frozenset(request.kind for duty in one.case.duties for request in duty.requests)
    done = {op.kind for op in one.sample if op.outcome.label == "ok"}
    for kind in sorted(kinds - done):
        note = next((op.note for op in one.sample if op.kind is kind), None)
        why = words_of(note) or "no reason was given"
        yield doubt(anomalies.TOO_FEW_OPERATIONS, f"no {Kind(kind).label} succeeded ({why}).")
    if len(one.case.duties) > 1 and not _overlap(one.sample):
        yield doubt(anomalies.NO_OVERLAP, "no operation overlapped another: nothing about concurrency was shown.")


def _overlap(operations: Sequence[Operation]) -> bool:
    ordered = sorted(operations, key=lambda op: op.invoke)
    until = 0
    for op in ordered:
        if op.invoke < until:
            return True
        until = max(until, op.ret)
    return False


def versions() -> dict[str, str]:
    """Of what has a say in which syscalls are made."""
    made = {"python": sys.version.split()[0], "hash seed": os.environ.get("PYTHONHASHSEED", "random")}
    for tool in ("bash", "jq"):
        if version := version_of_tool(tool):
            made[tool] = version
    return made


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """File → SHA-256 of its content, of those that are there."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


def diverged(error: Diverged) -> str:
    """Where and why, for people."""
    return f"step {error.index + 1} went another way: expected {error.expected}; found {error.found}"
