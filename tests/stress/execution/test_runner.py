"""The seam of runners: a second one, sequential and in memory, in a few lines."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from random import Random

import pytest

from stress import Plan, Verdict, engine
from stress.execution.cast import Cast
from stress.execution.drivers.python import PythonDriver
from stress.execution.operations import OperationStream
from stress.execution.runner import Ended, Place, Watch
from stress.execution.step import Stepper
from stress.history.history import History, ProcessFacts
from stress.history.kinds import Kind, Language
from stress.workload.scenario import Agent
from tests.stress.recorders import ListRecorder, StepClock


class Sequential:
    """Every worker does one operation, in turn, in this process; the clock is the number of the step."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def run(self, cast: Cast, place: Place, watch: Watch) -> Ended:
        """See `stress.execution.runner.Runner`."""
        clock, steppers, recorders, before = StepClock(), [], [], Path.cwd()
        os.chdir(place.directory)  # where a driver is made, its paths begin
        for number, spec in enumerate(cast.workers, start=1):
            agent = Agent(worker=spec.worker, writers=spec.writers, source=Random(f"{cast.plan.seed} {number}"))
            recorder = ListRecorder(number, Language.PYTHON, clock)
            stream = OperationStream(agent, spec.roles)
            driver = PythonDriver(cast.target, clock)
            steppers.append(Stepper(driver, recorder, stream, cast.files, spec.supported))
            recorders.append(recorder)
        try:
            for _ in range(self.rounds):
                for stepper in steppers:
                    stepper.step()
        finally:
            os.chdir(before)
        processes = [
            ProcessFacts(number, spec.worker, spec.language, spec.role, started=1, ended=clock())
            for number, spec in enumerate(cast.workers, start=1)
        ]
        operations = [op for recorder in recorders for op in recorder.operations()]
        return Ended(
            History.of(
                operations,
                cast.world.facts,
                processes=processes,
                scenarios=tuple(cast.world.checkers),
                began=1,
                ended=clock(),
            )
        )


def _run(tmp_path: Path, target: str = "atomicops", seed: int = 3) -> History:
    plan = Plan(
        scenarios=("session_count",),
        target=target,
        writers=2,
        mix=(("python", 2),),
        readers=1,
        seed=seed,
        directory=str(tmp_path),
        runs=str(tmp_path / f"runs-{len(list(tmp_path.iterdir()))}"),
    )
    result = engine.run(plan, runner=Sequential(6))
    assert not [finding for finding in result.findings if finding.verdict is Verdict.FAIL]
    assert result.history is not None
    return result.history


def test_a_run_of_one_step_after_the_other_is_the_same_again_byte_for_byte(tmp_path: Path) -> None:
    first, again, other = _run(tmp_path), _run(tmp_path), _run(tmp_path, seed=4)
    assert len(first.ops) == 18
    assert first.ops.tobytes() == again.ops.tobytes() != other.ops.tobytes()
    updates = first.ops[first.ops["kind"] == Kind.UPDATE]
    assert first.final[0].version == updates["version"][updates["return"].argmax()]
    spans = sorted(zip(first.ops["invoke"].tolist(), first.ops["return"].tolist(), strict=True))
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans)), "one after the other"


@pytest.mark.parametrize("target", ["no-lock", "cached-reader"])
def test_the_checkers_judge_what_it_gives(tmp_path: Path, target: str) -> None:
    """A lost update needs two at once, so there is none here; a reader that reads the past is caught."""
    plan = Plan(
        scenarios=("session_count",),
        target=target,
        writers=2,
        mix=(("python", 2),),
        readers=1,
        seed=3,
        directory=str(tmp_path),
        runs=str(tmp_path / "runs"),
    )
    result = engine.run(plan, runner=Sequential(40))
    failed = {finding.anomaly for finding in result.findings if finding.verdict is Verdict.FAIL}
    assert bool(failed) == (target == "cached-reader"), failed
