"""The free run: real processes, as fast as they go, for a time or a number of operations, with the nemesis at them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from stress.execution.cast import Cast
from stress.execution.cpu import own_ns
from stress.execution.drivers import shell
from stress.execution.drivers.driver import Driver
from stress.execution.drivers.python import PythonDriver
from stress.execution.launch import Supervised, launch
from stress.execution.progress import JournalFollower, Progress
from stress.execution.run_spec import RunSpec
from stress.execution.runner import Ended, Place, RunFailed, Watch
from stress.history.events import Interrupted
from stress.history.journal import Journal
from stress.history.kinds import WorkerRole
from stress.history.recorder import Clock
from stress.history.run_directory import RunDirectory
from stress.host.interrupts import interrupts
from stress.result import Verdict
from stress.workload.layout import belonging, watched
from stress.workload.target import Target
from stress.workload.tree import take

_LOOK_S = 0.25
_LOOK_FOR_FIRST_S = 0.1


@dataclass(frozen=True)
class FreeRun:
    """The runner of ``stress run``. SIGINT, SIGTERM and SIGHUP, in the main thread, end it early and cleanly."""

    python_driver: Callable[[Target, Clock], Driver] = PythonDriver
    python_journal: Callable[..., Journal] = Journal
    """What Python workers drive and record with: a benchmark has its own."""

    def run(self, cast: Cast, place: Place, watch: Watch) -> Ended:
        """Have the run supervised, and watch; see `stress.execution.runner.Runner`."""
        follower = JournalFollower(place.run.journals, cast.world.facts)
        before_ns = own_ns()
        try:
            with interrupts() as signals, launch(self._spec(cast, place)) as supervised:
                with signals.calling(supervised.stop) as signalled:
                    _follow(cast, place, watch, supervised, follower)
                failure, cause = supervised.failure(), supervised.interruption()
                supervisor_cpu_s = supervised.cpu_s()
        finally:
            follower.close()
        if failure:
            raise RunFailed(failure)
        early = bool(signalled or cause)
        if early:
            place.run.add_event(Interrupted(time.monotonic_ns(), cause))
        tool_cpu_s = (own_ns() - before_ns) / 1e9 + supervisor_cpu_s
        return Ended(place.run.history(), tuple(place.run.events()), early, tool_cpu_s)

    def _spec(self, cast: Cast, place: Place) -> RunSpec:
        return RunSpec(
            cast=cast,
            place=replace(place, run=RunDirectory(place.run.path.resolve())),
            programs=shell.programs(cast.target, place.run.path),
            belongs=belonging(cast.world),
            watched=watched(cast.world, take(cast.world, place.directory)),
            python_driver=self.python_driver,
            python_journal=self.python_journal,
        )


def _follow(cast: Cast, place: Place, watch: Watch, supervised: Supervised, follower: JournalFollower) -> None:
    look_s = _LOOK_FOR_FIRST_S if cast.plan.stop_on_first else _LOOK_S
    next_check = look_s
    while supervised.alive(look_s):
        elapsed_s = supervised.elapsed_s()
        if watch.progress is not None or cast.plan.stop_on_first:
            follower.poll(elapsed_s)
        if watch.progress is not None:
            watch.progress(_progress(cast, follower, supervised, elapsed_s))
        if cast.plan.stop_on_first and elapsed_s > next_check:
            # Each look at all that was done so far may take a quarter of the time at the most.
            started = time.monotonic()
            if follower.violations.keys() - {*cast.plan.allow} or _violated(place, watch):
                supervised.stop()
            next_check = elapsed_s + 4 * (time.monotonic() - started)


def _violated(place: Place, watch: Watch) -> bool:
    history = place.run.history(now=time.monotonic_ns())
    return any(finding.verdict is Verdict.FAIL for finding in watch.judge(history))


def _progress(cast: Cast, follower: JournalFollower, supervised: Supervised, elapsed_s: float) -> Progress:
    return Progress(
        phase=supervised.phase(),
        elapsed_s=elapsed_s,
        duration_s=cast.plan.duration_s,
        ops=cast.plan.ops,
        kinds=follower.stats.kinds,
        per_s=follower.per_s(elapsed_s),
        mean_in_flight=follower.stats.in_flight_s / elapsed_s if elapsed_s else 0.0,
        kills=follower.kills,
        violations={name: count for name, count in follower.violations.items() if name not in cast.plan.allow},
        writers=cast.count(WorkerRole.WRITER),
        readers=cast.count(WorkerRole.READER),
    )
