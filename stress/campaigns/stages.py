"""A long run in stages: what each came to, summed up, so that neither memory nor disk grows with the days.

Each stage is a run of its own, with fresh files and a seed that goes on from the one before. All workers have ended
when it is judged, so nothing that a checker must know crosses from one stage to the next.
"""

from __future__ import annotations

import dataclasses
import fcntl
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stress import engine
from stress.execution.progress import Count, Progress
from stress.plan import Plan
from stress.result import Finding, Result, Verdict

__all__ = ["Stages", "run"]

_SUMS = ("duration_s", "operations", "processes", "kills", "pauses", "fills")
_SEEDS = 1 << 64


def run(plan: Plan, watch: Callable[[Progress], None] | None = None) -> Result:
    """Run ``plan``: as one run, or in stages where it has ``check_every_s``.

    ``watch`` is told of the whole. Raises what `stress.engine.run` raises.
    """
    if plan.check_every_s is None:
        return engine.run(plan, watch)
    stages = Stages(plan)
    with ExitStack() as held:
        evidence = 0
        while (stage := stages.next()) is not None:
            result = engine.run(stage, None if watch is None else lambda progress: watch(stages.progress(progress)))
            stages.add(stage, result)
            # A run directory that is locked is in use, and stays. One place is left for the stages still to come.
            if result.verdict is not Verdict.PASS and evidence < plan.keep - 1:
                evidence += 1
                file = held.enter_context((Path(result.run) / "plan.json").open(encoding="utf-8"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return stages.result()


class Stages:
    """The stages of ``plan`` that are over. Only the first of the worst is kept whole."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._shown: Result | None = None
        self._findings: dict[tuple[object, ...], Finding] = {}
        self._operations: dict[str, dict[str, dict[str, int]]] = {}
        self._stats: dict[str, Any] = dict.fromkeys(_SUMS, 0)
        self._latency: dict[str, dict[str, dict[str, float]]] = {}
        self._cpu: dict[str, float] = {}
        self._in_flight_s = 0.0
        self._count = 0
        self._worked_s = 0.0
        self._interrupted = False

    def next(self) -> Plan | None:
        """The plan of the next stage; None where there is nothing left to do."""
        plan, shown = self._plan, self._shown
        assert plan.check_every_s is not None
        left_s = None if plan.duration_s is None else plan.duration_s - self._worked_s
        left_ops = None if plan.ops is None else plan.ops - self._stats["operations"]
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
        for kind, by_language in result.operations.items():
            for language, outcomes in by_language.items():
                into = self._operations.setdefault(kind, {}).setdefault(language, {})
                for outcome, count in outcomes.items():
                    into[outcome] = into.get(outcome, 0) + count
        for found in result.findings:
            key = (found.verdict, found.anomaly, found.checker, found.scenario, found.file)
            # Where it is not the stage that is shown in the end, who reads of it must know where it is.
            detail = (*found.detail, f"in stage {self._count}, seed {stage.seed}; stress check {result.run} shows it")
            first = self._findings.setdefault(key, dataclasses.replace(found, count=0, detail=detail))
            self._findings[key] = dataclasses.replace(first, count=first.count + found.count)
        stats = result.stats
        for name in _SUMS:
            self._stats[name] += stats[name]
        self._in_flight_s += stats["overlap"] * stats["duration_s"]
        for kind, languages in stats["latency"].items():
            for language, seconds in languages.items():
                worst = self._latency.setdefault(kind, {}).setdefault(language, dict(seconds))
                worst.update({name: max(worst[name], seconds[name]) for name in seconds})
        for name, value in stats.get("cpu", {}).items():
            weight = stats["cpu"]["python_workers_s"] + stats["cpu"]["shell_workers_s"] + stats["cpu"]["tool_s"]
            self._cpu[name] = self._cpu.get(name, 0.0) + (value * weight if name == "harness_share" else value)
        self._interrupted |= result.interrupted
        shown = self._shown
        if shown is None or result.verdict > shown.verdict or result.verdict is Verdict.PASS is shown.verdict:
            self._shown = result

    def progress(self, progress: Progress) -> Progress:
        """What ``progress`` of the stage under way is of the whole."""
        counts = dict(progress.counts)
        for kind, by_language in self._operations.items():
            for language, outcomes in by_language.items():
                now = counts.get((kind, language), Count(0, 0.0, 0.0, 0.0, 0, 0))
                counts[kind, language] = dataclasses.replace(
                    now,
                    total=now.total + sum(outcomes.values()),
                    failed=now.failed + outcomes.get("fail", 0),
                    unknown=now.unknown + outcomes.get("info", 0),
                )
        violations = dict(progress.violations)
        for found in self._findings.values():
            if found.verdict is Verdict.FAIL:
                violations[found.anomaly] = violations.get(found.anomaly, 0) + found.count
        return dataclasses.replace(
            progress,
            elapsed_s=progress.elapsed_s + self._worked_s,
            duration_s=self._plan.duration_s,
            ops=self._plan.ops,
            counts=counts,
            kills=progress.kills + self._stats["kills"],
            violations=violations,
        )

    def result(self) -> Result:
        """All of them as one: the first of the worst, with the findings of all and the figures of all together."""
        assert self._shown is not None
        duration_s = self._stats["duration_s"]
        stats = {
            **self._stats,
            "stages": self._count,
            "rates_per_s": self._rates(duration_s),
            "latency": self._latency,
            "overlap": self._in_flight_s / duration_s,
        }
        if self._cpu:
            whole_s = self._cpu["python_workers_s"] + self._cpu["shell_workers_s"] + self._cpu["tool_s"]
            stats["cpu"] = {**self._cpu, "harness_share": self._cpu["harness_share"] / whole_s if whole_s else 0.0}
        return dataclasses.replace(
            self._shown,
            findings=tuple(sorted(self._findings.values(), key=lambda found: -found.verdict)),
            operations=self._operations,
            stats=stats,
            interrupted=self._interrupted,
            plan=self._plan.to_json(),
        )

    def _rates(self, duration_s: float) -> Mapping[str, Mapping[str, float]]:
        return {
            kind: {language: round(outcomes.get("ok", 0) / duration_s, 2) for language, outcomes in by_language.items()}
            for kind, by_language in self._operations.items()
        }
