"""Figures add up, and percentiles of the histogram are those of the durations."""

from __future__ import annotations

import numpy as np
import pytest

from stress.history.events import FaultInjected
from stress.history.history import FileFacts, History
from stress.history.kinds import FaultKind, Kind, Language, Outcome
from stress.history.record import Operation
from stress.latency import BUCKETS, buckets_of, percentile_s, seconds_of
from stress.stats import Cpu, Stats, run_stats

SECOND = 10**9


def _history(seed: int) -> History:
    draw = np.random.default_rng(seed)
    operations = [
        Operation(
            1 + number % 3, Kind(int(draw.choice([1, 2, 4]))), invoke=number * 1000, ret=number * 1000 + int(took),
            outcome=Outcome(int(draw.choice([1, 1, 1, 2, 3]))), language=Language(1 + number % 2),
        )
        for number, took in enumerate(draw.lognormal(12, 2, 500))
    ]  # fmt: skip
    return History.of(operations, [FileFacts("f", "drill")], began=0, ended=2 * SECOND)


def test_figures_of_two_runs_are_those_of_both() -> None:
    kill = FaultInjected(1, FaultKind.KILL, 1)
    one = run_stats(_history(1), [kill], Cpu(4.0, 3.0, 2.0, 1.0))
    two = run_stats(_history(2), [kill, kill], Cpu(1.0, 1.0, 0.0, 0.0))
    both = one.merge(two)
    assert both.total == 1000
    assert (both.duration_s, both.faults[FaultKind.KILL], both.faults[FaultKind.FILL]) == (4.0, 3, 0)
    assert both.in_flight_s == pytest.approx(one.in_flight_s + two.in_flight_s)
    assert both.cpu == Cpu(5.0, 4.0, 2.0, 1.0)
    assert both.cpu.harness_share == pytest.approx(2 / 8)
    for key, each in both.kinds.items():
        for outcome, count in each.outcomes.items():
            assert count == sum(stats.kinds[key].outcomes.get(outcome, 0) for stats in (one, two))
    changes = sum(
        int(np.isin(history.ops["kind"][history.ops["outcome"] == Outcome.OK], (Kind.WRITE, Kind.UPDATE)).sum())
        for history in (_history(1), _history(2))
    )
    assert both.changes_per_s == pytest.approx(changes / 4)
    assert Stats().merge(one).to_plain() == one.to_plain()


def test_percentiles_are_exact_to_a_bucket() -> None:
    history = _history(3)
    stats = run_stats(history)
    for (kind, language), each in stats.kinds.items():
        own = history.ops[(history.ops["kind"] == kind) & (history.ops["language"] == language)]
        took = (own["return"] - own["invoke"])[own["outcome"] == Outcome.OK]
        for found, share in ((each.p50_s, 0.5), (each.p99_s, 0.99)):
            exact = np.quantile(took, share, method="inverted_cdf") / 1e9
            assert found == pytest.approx(exact, rel=0.012)


def test_any_duration_has_a_bucket() -> None:
    spans = np.array([-5, 0, 1, 2, 10**9, 1 << 62], np.int64)
    buckets = buckets_of(spans)
    assert buckets.tolist()[:3] == [0, 0, 0]
    assert buckets[-1] == BUCKETS - 1
    assert (np.diff(buckets) >= 0).all()
    assert seconds_of(int(buckets[4])) == pytest.approx(1.0, rel=0.011)
    assert percentile_s(np.zeros(BUCKETS, np.int64), 0.5) is None
