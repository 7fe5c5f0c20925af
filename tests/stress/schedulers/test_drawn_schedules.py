"""Hypothesis draws schedules: a bug is found, and the schedule that is shown for it is a small one."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, find, given, settings

from stress.schedulers.execution import Ending
from stress.schedulers.replay import TolerantReplay
from stress.strategies import schedules
from tests.stress.schedulers.machine import World, runner
from tests.stress.schedulers.programs import increment


def counted(world: World) -> bool:
    return world.entries["count"].content == b"2"


LOST = runner([increment("a"), increment("b")], {"count": b"0"}, counted)
SAFE = runner([increment("a", "lock"), increment("b", "lock")], {"count": b"0"}, counted)


def fails(scheduler: TolerantReplay) -> bool:
    return scheduler.begin() and LOST(scheduler).failed


def test_a_lost_update_is_found_and_shrunk_to_one_switch() -> None:
    scheduler = find(schedules(2), fails, settings=settings(database=None, max_examples=500, phases=list(Phase)))
    assert len({*scheduler.decisions}) <= 2
    assert len(scheduler.decisions) <= 3


@given(schedules(2, steps_max=20))
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
def test_every_drawn_schedule_can_be_followed(scheduler: TolerantReplay) -> None:
    assert len(scheduler.decisions) <= 20
    assert scheduler.begin()
    execution = SAFE(scheduler)
    assert (execution.ending, execution.failed) == (Ending.DONE, False)
