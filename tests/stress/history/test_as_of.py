"""A history as it was at some moment, and with what a disk held then: what a crash is judged by."""

from __future__ import annotations

from stress.engine import run_checkers
from stress.history.history import FileFacts, FinalFile, FinalState, History
from stress.history.kinds import Format, Kind, Outcome
from stress.history.notes import ErrorNote
from stress.history.record import GARBAGE, INITIAL, NO_VERSION, Operation, version_of

FACTS = (FileFacts("a.json", "drill", Format.OBJECT, INITIAL, frozenset({"torn", "updates", "register"})),)
FIRST, SECOND = version_of(1, 1), version_of(2, 1)


def _op(process: int, kind: Kind, version: int, invoke: int, ret: int, parent: int = NO_VERSION) -> Operation:
    return Operation(process, kind, 0, version, parent, invoke, ret, seq=1, size=9, note=ErrorNote("x"))


HISTORY = History.of(
    [
        _op(1, Kind.UPDATE, FIRST, 10, 20, parent=INITIAL),
        _op(2, Kind.UPDATE, SECOND, 30, 50, parent=FIRST),
        _op(3, Kind.READ, FIRST, 35, 45),
        _op(4, Kind.READ, SECOND, 60, 70),
    ],
    FACTS,
    scenarios=("drill",),
    began=1,
    ended=80,
)


def test_what_came_later_is_not_there_and_what_was_under_way_is_unknown() -> None:
    then = HISTORY.as_of(40)
    assert [then.operation(row).process for row in range(len(then.ops))] == [1, 2, 3]
    done, pending, reading = (then.operation(row) for row in range(3))
    assert (done.outcome, done.ret) == (Outcome.OK, 20)
    assert (pending.outcome, pending.ret, pending.version) == (Outcome.INFO, 40, SECOND)
    assert (reading.outcome, reading.version, reading.parent, reading.size, reading.note) == (
        Outcome.INFO, NO_VERSION, NO_VERSION, -1, None,
    )  # fmt: skip
    assert then.ended == 40
    assert len(HISTORY.ops) == 4, "the history itself stays as it is"
    assert HISTORY.operation(2).version == FIRST


def test_at_a_boundary_what_returned_has_happened() -> None:
    assert HISTORY.as_of(20).operation(0).outcome is Outcome.OK
    assert HISTORY.as_of(19).operation(0).outcome is Outcome.INFO
    assert len(HISTORY.as_of(9).ops) == 0


def test_a_disk_that_lost_what_was_acknowledged_is_told_and_one_that_kept_either_is_not() -> None:
    """At 40 the first update is acknowledged, and the second is under way: either may be on the disk, not the start."""

    def wrong(version: int) -> bool:
        state = FinalFile(exists=True, version=version, parent=NO_VERSION)
        history = HISTORY.as_of(40).with_final(FinalState((state,)))
        return any(found.verdict.name == "FAIL" for found in run_checkers(history))

    assert not wrong(FIRST)
    assert not wrong(SECOND)
    assert wrong(INITIAL)
    assert wrong(GARBAGE)


def test_with_final_replaces_what_was_left_and_nothing_else() -> None:
    state = FinalFile(exists=True, version=SECOND)
    left = HISTORY.with_final(FinalState((state,), {"a.bak": (FIRST, "0")}, ("a.tmp",)))
    assert (left.final, left.backups, left.leftovers) == ((state,), {"a.bak": (FIRST, "0")}, ("a.tmp",))
    assert (left.ops == HISTORY.ops).all()
    assert HISTORY.final == ()
