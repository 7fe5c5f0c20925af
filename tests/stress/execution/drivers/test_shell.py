"""The driver of Bash workers: what it makes of times that Bash can only tell by the wall clock."""

from __future__ import annotations

import time
from itertools import count

import pytest

from stress.execution.drivers.shell import _monotonic_less_wall

AHEAD_NS = 7_000_000_000


@pytest.mark.parametrize("preempted", range(3))
def test_a_driver_that_is_preempted_between_its_clocks_shifts_no_hold(
    monkeypatch: pytest.MonkeyPatch, preempted: int
) -> None:
    """Both bounds stand on either side of the true difference, and a pause of 4 ms does not get between them."""
    now, calls = [1_000_000], count()

    def tick() -> int:
        now[0] += 4_000_000 if next(calls) == preempted else 100
        return now[0]

    monkeypatch.setattr(time, "monotonic_ns", lambda: tick() + AHEAD_NS)
    monkeypatch.setattr(time, "time_ns", tick)
    least, most = _monotonic_less_wall()
    assert least <= AHEAD_NS <= most
    assert most - least < 1000
