"""The same plan over several targets, in turns, so that what slows the machine down for a while slows all of them."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from stress.campaigns import stages
from stress.execution.sync_count import count_syncs
from stress.history.kinds import CHANGES, Kind
from stress.outcomes import Compared
from stress.plan import Plan
from stress.result import Result
from stress.workload.target import load


def compare(plans: Sequence[Plan], rounds: int, watch: Callable[[str], None]) -> list[Compared]:
    """Run the plans, one for each target, ``rounds`` times in turns; each round in a new order.

    Raises what a run raises. An interrupted run ends it: KeyboardInterrupt.
    """
    order = random.Random(plans[0].seed)
    results: list[list[Result]] = [[] for _ in plans]
    for number in range(rounds):
        for place in order.sample(range(len(plans)), len(plans)):
            watch(f"round {number + 1} of {rounds}: {plans[place].target}")
            result = stages.run(replace(plans[place], seed=plans[place].seed + number))
            if result.interrupted:
                raise KeyboardInterrupt
            results[place].append(result.without_history())
    return [_compared(plan, own, results[0]) for plan, own in zip(plans, results, strict=True)]


def _compared(plan: Plan, results: list[Result], first: list[Result]) -> Compared:
    anomalies: dict[str, dict[str, int]] = {}
    for result in results:
        for checker, anomaly in {(finding.checker, finding.anomaly) for finding in result.findings}:
            found = anomalies.setdefault(checker, {})
            found[anomaly] = found.get(anomaly, 0) + 1
    same = _work(results) == _work(first)
    latencies = [result.stats.change_p50_s for result in results]
    ratios = [
        one / other
        for one, other in zip(latencies, (result.stats.change_p50_s for result in first), strict=True)
        if same and one is not None and other is not None
    ]
    return Compared(
        target=plan.target,
        verdict=max(result.verdict for result in results),
        anomalies=anomalies,
        changes_per_s=statistics.median(result.stats.changes_per_s for result in results),
        p50_s=_median(latencies),
        work=tuple(sorted(kind.label for kind in _work(results))),
        speed=_median(
            one.stats.changes_per_s / other.stats.changes_per_s if same and other.stats.changes_per_s else None
            for one, other in zip(results, first, strict=True)
        ),
        latency=_median(ratios),
        syncs_per_write=count_syncs(load(plan.target)),
        results=tuple(results),
    )


def _work(results: Iterable[Result]) -> set[Kind]:
    """The kinds of changes that were tried."""
    return {kind for result in results for kind, _ in result.stats.kinds if kind in CHANGES}


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
