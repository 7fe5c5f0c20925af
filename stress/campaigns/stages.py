"""A long run in stages: what each came to, summed up, so that neither memory nor disk grows with the days.

Each stage is a run of its own, with fresh files and a seed that goes on from the one before. All workers have ended
when it is judged, so nothing that a checker must know crosses from one stage to the next.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from stress import engine
from stress.execution.progress import Progress
from stress.files import pasted
from stress.history.kinds import FaultKind
from stress.history.run_directory import RunDirectory
from stress.plan import Plan
from stress.reporters.json import as_json
from stress.result import Finding, Result, Verdict
from stress.stats import Stats

_SEEDS = 1 << 64


def run(plan: Plan, watch: Callable[[Progress], None] | None = None) -> Result:
    """Run ``plan``: as one run, or in stages where it has ``check_every_s``.

    ``watch`` is told of the whole. Raises what `stress.engine.run` raises.
    """
    if plan.check_every_s is None:
        return _kept(engine.run(plan, watch))
    stages = Stages(plan)
    with ExitStack() as held:
        evidence = 0
        while (stage := stages.next()) is not None:
            result = engine.run(stage, None if watch is None else lambda progress: watch(stages.progress(progress)))
            stages.add(stage, _kept(result))
            # A run directory that is locked is in use, and stays. One place is left for the stages still to come.
            if result.verdict is not Verdict.PASS and evidence < plan.keep - 1:
                evidence += 1
                held.enter_context(RunDirectory(Path(result.run)).held())
    return _kept(stages.result())


def _kept(result: Result) -> Result:
    """``result``, whose report is now in its run directory."""
    try:
        if result.run:
            RunDirectory(Path(result.run)).save_result(as_json(result))
    except OSError as error:
        raise engine.HarnessError(
            f"the result could not be kept in {result.run}: {error.strerror or error}; make room, "
            f"and `stress check {pasted(result.run)}` judges what was done"
        ) from error
    return result


class Stages:
    """The stages of ``plan`` that are over. Only the first of the worst is kept whole."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._shown: Result | None = None
        self._findings: dict[tuple[object, ...], Finding] = {}
        self._allowed: dict[str, int] = {}
        self._stats = Stats()
        self._count = 0
        self._worked_s = 0.0
        self._interrupted = False

    def next(self) -> Plan | None:
        """The plan of the next stage; None where there is nothing left to do."""
        plan, shown = self._plan, self._shown
        assert plan.check_every_s is not None
        left_s = None if plan.duration_s is None else plan.duration_s - self._worked_s
        left_ops = None if plan.ops is None else plan.ops - self._stats.total
        over = (left_s is not None and left_s <= 0) or (left_ops is not None and left_ops <= 0)
        if over or self._interrupted or (plan.stop_on_first and shown is not None and shown.verdict is Verdict.FAIL):
            return None
        return dataclasses.replace(
            plan,
            check_every_s=None,
            duration_s=plan.check_every_s if left_s is None else min(plan.check_every_s, left_s),
            ops=left_ops,
            seed=(plan.seed + self._count) % _SEEDS,
        )

    def add(self, stage: Plan, result: Result) -> None:
        """Take in what ``stage`` came to."""
        assert stage.duration_s is not None
        self._count += 1
        # A stage that did what was asked has taken its time, or done its operations and is the last.
        self._worked_s += stage.duration_s
        self._stats = self._stats.merge(result.stats)
        for found in result.findings:
            key = (found.verdict, found.anomaly, found.checker, found.scenario, found.file)
            # Where it is not the stage that is shown in the end, who reads of it must know where it is.
            where = f"{self._count}, seed {stage.seed}; stress check {pasted(result.run)} shows it"
            detail = (*found.detail, ("stage", where))
            first = self._findings.setdefault(key, dataclasses.replace(found, count=0, detail=detail))
            self._findings[key] = dataclasses.replace(first, count=first.count + found.count)
        for anomaly, count in result.allowed.items():
            self._allowed[anomaly] = self._allowed.get(anomaly, 0) + count
        self._interrupted |= result.interrupted
        shown = self._shown
        if shown is None or result.verdict > shown.verdict or result.verdict is Verdict.PASS is shown.verdict:
            self._shown = result

    def progress(self, progress: Progress) -> Progress:
        """What ``progress`` of the stage under way is of the whole."""
        kinds = dict(progress.kinds)
        for key, before in self._stats.kinds.items():
            kinds[key] = before.merge(kinds[key]) if key in kinds else before
        violations = dict(progress.violations)
        for found in self._findings.values():
            if found.verdict is Verdict.FAIL:
                violations[found.anomaly] = violations.get(found.anomaly, 0) + found.count
        return dataclasses.replace(
            progress,
            elapsed_s=progress.elapsed_s + self._worked_s,
            duration_s=self._plan.duration_s,
            ops=self._plan.ops,
            kinds=kinds,
            kills=progress.kills + self._stats.faults.get(FaultKind.KILL, 0),
            violations=violations,
            stage=self._count + 1,
            stages=self._planned(),
        )

    def _planned(self) -> int | None:
        """How many stages there will be, if operations do not end it before."""
        every_s, duration_s = self._plan.check_every_s, self._plan.duration_s
        return None if duration_s is None or every_s is None else math.ceil(round(duration_s / every_s, 6))

    def result(self) -> Result:
        """All of them as one: the first of the worst, with the findings of all and the figures of all together."""
        assert self._shown is not None
        return dataclasses.replace(
            self._shown,
            findings=tuple(sorted(self._findings.values(), key=lambda found: found.rank)),
            stats=dataclasses.replace(self._stats, stages=self._count),
            interrupted=self._interrupted,
            allowed=self._allowed,
            plan=self._plan.to_json(),
        )
