"""Executions are judged once where the same happened in the same order, and each by itself where anything differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stress.exploring.evidence import Evidence
from stress.history.history import ProcessFacts
from stress.history.kinds import Kind, Language, Outcome, WorkerRole
from stress.history.notes import ErrorNote
from stress.history.record import Operation, version_of

FIRST = Operation(1, Kind.WRITE, 0, version_of(1, 1), invoke=10, ret=30)
SECOND = Operation(2, Kind.READ, 0, version_of(1, 1), invoke=20, ret=40)
MADE = Evidence((FIRST, SECOND), (ProcessFacts(1, 1, Language.PYTHON, WorkerRole.WRITER),), {})


def test_how_long_things_take_makes_no_difference() -> None:
    later = (replace(FIRST, invoke=100, ret=3000), replace(SECOND, invoke=200, ret=9000))
    assert replace(MADE, operations=later).essence == MADE.essence


def test_in_which_order_two_begin_or_end_that_are_both_under_way_makes_no_difference() -> None:
    for second in (replace(SECOND, ret=25), replace(SECOND, invoke=5), replace(SECOND, invoke=5, ret=25)):
        assert replace(MADE, operations=(FIRST, second)).essence == MADE.essence


@pytest.mark.parametrize(
    "other",
    [
        replace(MADE, operations=(FIRST, replace(SECOND, invoke=31))),
        replace(MADE, operations=(FIRST, replace(SECOND, invoke=30))),
        replace(MADE, operations=(replace(FIRST, held_from=21, held_to=22), SECOND)),
        replace(MADE, operations=(FIRST, replace(SECOND, version=version_of(1, 2)))),
        replace(MADE, operations=(FIRST, replace(SECOND, outcome=Outcome.FAIL))),
        replace(MADE, operations=(FIRST, replace(SECOND, note=ErrorNote("cut off")))),
        replace(MADE, operations=(FIRST,)),
        replace(MADE, processes=()),
    ],
    ids=["after", "at once", "held", "version", "outcome", "note", "fewer", "processes"],
)
def test_whatever_else_differs_is_judged_by_itself(other: Evidence) -> None:
    assert other.essence != MADE.essence
