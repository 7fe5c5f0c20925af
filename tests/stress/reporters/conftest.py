"""Results to report: of the golden histories, judged by the real checkers, and of a made-up run of any size."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stress.anomalies import STALE_READ
from stress.engine import checkers_of, run_checkers
from stress.history.events import Event, FaultInjected
from stress.history.history import FileFacts, History, ProcessFacts
from stress.history.kinds import FaultKind, Language, WorkerRole
from stress.history.record import RECORD
from stress.plan import Plan
from stress.result import Finding, Result, Verdict, witness
from stress.stats import run_stats

GOLDEN = Path(__file__).parents[1] / "checkers" / "test_golden_histories.py"
BEGAN = 10**9


def result_of(history: History, findings: list[Finding], events: tuple[Event, ...] = ()) -> Result:
    """What the engine makes of these."""
    return Result(
        verdict=max((finding.verdict for finding in findings), default=Verdict.PASS),
        findings=tuple(findings),
        stats=run_stats(history, events),
        checkers=checkers_of(history),
        plan=Plan(scenarios=("drill",), target="guide", seed=7).to_json(),
        run=".stress/20260131-120000-guide-1a2b3c",
        began=history.began,
        history=history,
        events=events,
    )


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Result]:
    """The name of a golden history → its result, with all that the checkers found."""
    spec = importlib.util.spec_from_file_location("golden_histories", GOLDEN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def load(name: str) -> Result:
        history: History = module.golden(name)[0]
        return result_of(history, [found for found in run_checkers(history) if found.checker != "vacuity"])

    return load


@pytest.fixture(scope="session")
def busy() -> Callable[[int], Result]:
    """A number of operations → the result of a run of ten minutes with them, a kill each second, and one finding."""

    def make(count: int) -> Result:
        source = np.random.default_rng(7)
        length = 600 * 10**9
        ops = np.zeros(count, RECORD)
        ops["process"] = source.integers(1, 21, count)
        ops["kind"] = source.integers(1, 5, count)
        ops["outcome"], ops["note_at"] = 1, -1
        ops["language"] = 2 - ops["process"] % 2
        ops["seq"] = np.arange(count) // 20 + 1
        ops["version"] = ops["process"].astype(np.int64) << 32 | ops["seq"]
        ops["invoke"] = np.sort(source.integers(BEGAN, BEGAN + length, count))
        ops["return"] = ops["invoke"] + source.lognormal(12, 1.5, count).astype(np.int64)
        processes = tuple(
            ProcessFacts(
                number, number, Language(2 - number % 2), WorkerRole.WRITER if number < 17 else WorkerRole.READER
            )
            for number in range(1, 21)
        )
        history = History(
            ops, (FileFacts("state.json", "drill"),), processes, ("drill",), began=BEGAN, ended=BEGAN + length
        )
        rows = [count // 2, count // 2 + 3]
        found = Finding(
            STALE_READ, "register", "drill", "state.json", "It was old.", witness(history, rows),
            focus=history.operation(rows[1]),
        )  # fmt: skip
        events = tuple(FaultInjected(BEGAN + second * 10**9, FaultKind.KILL, 1 + second % 20) for second in range(600))
        return result_of(history, [found], events)

    return make
