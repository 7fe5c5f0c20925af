"""``register`` and ``updates`` together agree with a search through all orders, on thousands of small histories."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import HealthCheck, event, example, given, settings

from stress.checkers._register.read_analysis import analyse_reads
from stress.checkers.register import register
from stress.checkers.updates import updates
from stress.history.kinds import Kind, Outcome
from stress.history.record import INITIAL, NO_VERSION, Operation, version_of
from stress.strategies import STRANGER, Register, history_of, nearly_right, scattered


def _changes(op: Operation) -> bool:
    return op.kind in (Kind.WRITE, Kind.UPDATE)


def _linearizable(operations: Sequence[Operation], initial: int, final: int | None) -> bool:
    """Search all orders: definite operations take place once, unknown ones once or never, failed ones never."""
    parents = {op.version: op.parent for op in operations if not _changes(op) and op.parent != NO_VERSION}
    steps: list[tuple[int, int, int | None, int | None, bool]] = []  # invoke, return, needs, makes, may be left out
    for op in operations:
        unsure = op.outcome is Outcome.INFO
        if op.outcome is Outcome.FAIL or (not _changes(op) and unsure):
            continue
        if not _changes(op):
            steps.append((op.invoke, op.ret, op.version, None, False))
        elif op.kind is Kind.WRITE:
            steps.append((op.invoke, op.ret, None, op.version, unsure))
        else:
            parent = parents.get(op.version, NO_VERSION) if op.parent == NO_VERSION else op.parent
            steps.append((op.invoke, op.ret, None if parent == NO_VERSION else parent, op.version, unsure))
    if final is not None:
        steps.append((10**6, 10**6, final, None, False))
    seen: set[tuple[int, int]] = set()

    def search(left: int, state: int) -> bool:
        if (left, state) in seen:
            return False
        seen.add((left, state))
        chosen = [step for number, step in enumerate(steps) if left >> number & 1]
        if all(step[4] for step in chosen):
            return True
        for number, (invoke, _, needs, makes, _) in enumerate(steps):
            if not left >> number & 1 or (needs is not None and needs != state):
                continue
            rest = left & ~(1 << number)
            over = [other for other, step in enumerate(steps) if rest >> other & 1 and step[1] < invoke]
            if all(steps[other][4] for other in over):  # unknown ones that are over before this began never were
                rest &= ~sum(1 << other for other in over)
                if search(rest, state if makes is None else makes):
                    return True
        return False

    return search((1 << len(steps)) - 1, initial)


def _flagged(operations: Sequence[Operation], initial: int, final: int | None) -> set[str]:
    history = history_of(Register(operations, initial, final))
    return {found.anomaly for checker in (register, updates) for found in checker(history)}


def _agree(case: Register) -> None:
    operations, initial, final = case
    right = _linearizable(operations, initial, final)
    flagged = _flagged(operations, initial, final)
    event("right" if right else "wrong")
    # A phantom is no matter of order, and is not reported while a run is under way.
    if final is None and not right and not flagged:
        assert any(STRANGER in (op.version, op.parent) for op in operations)
        return
    assert bool(flagged) is not right, (flagged, right)


LONGER = int(os.environ.get("STRESS_EXAMPLES", "1"))
"""How many times as many examples."""

bounded = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


@settings(bounded, max_examples=400 * LONGER)
@given(scattered())
@example(([], INITIAL, INITIAL))
def test_scattered_histories_are_judged_as_by_a_search(case: Register) -> None:
    _agree(case)


@settings(bounded, max_examples=400 * LONGER)
@given(nearly_right())
def test_histories_that_are_nearly_right_are_judged_as_by_a_search(
    case: Register,
) -> None:
    _agree(case)


def _stands_alone(case: Register) -> None:
    """What a finding shows is a violation by itself: no order explains these operations, whatever else was done."""
    operations, initial, final = case
    history = history_of(case)
    for checker in (register, updates):
        for found in checker(history):
            event(f"{checker.__name__}: {found.anomaly}")
            if found.anomaly == "phantom-read":  # that nobody wrote it, only the whole history shows
                continue
            assert len(found.witness) <= 6, found
            assert set(found.witness) <= {history.operation(row) for row in range(len(operations))}
            assert not _linearizable(found.witness, initial, final), found


_CHAINS = Register(
    (
        Operation(1, Kind.UPDATE, version=version_of(1, 1), parent=version_of(4, 1), invoke=0, ret=1),
        Operation(1, Kind.WRITE, version=version_of(2, 1), invoke=0, ret=0),
        Operation(1, Kind.WRITE, version=version_of(3, 1), invoke=0, ret=0),
        Operation(1, Kind.WRITE, version=version_of(4, 1), invoke=1, ret=2),
        Operation(1, Kind.READ, version=INITIAL, invoke=0, ret=0),
        Operation(1, Kind.READ, version=version_of(2, 1), invoke=2, ret=2),
    ),
    INITIAL,
    None,
)
"""A chain and a version that each were there before the other was seen last, and no single update is to blame."""


@settings(bounded, max_examples=200 * LONGER)
@given(scattered())
@example(_CHAINS)
def test_a_witness_of_scattered_histories_stands_alone(case: Register) -> None:
    _stands_alone(case)


@settings(bounded, max_examples=200 * LONGER)
@given(nearly_right())
def test_a_witness_of_histories_that_are_nearly_right_stands_alone(case: Register) -> None:
    _stands_alone(case)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(scattered())
def test_without_the_reads_that_are_flagged_the_rest_is_linearizable(case: Register) -> None:
    operations = [op for op in case.operations if op.kind is not Kind.UPDATE]
    known = {op.version for op in operations if _changes(op) and op.outcome is not Outcome.FAIL} | {case.initial}
    final = case.final if case.final in known else None
    history = history_of(Register(operations, case.initial, final))
    reads = analyse_reads(history, 0)
    made = reads.made
    if any(found.anomaly == "lost-write" for found in register(history)):
        return  # it is the end that is wrong, not a read
    rows = {*made.read_rows[reads.stale | reads.early].tolist(), *made.aborted.tolist(), *made.phantom.tolist()}
    flagged = {int(history.ops["process"][row]) - 1 for row in rows if row >= 0}
    event(f"{min(len(flagged), 3)} flagged")
    rest = [op for number, op in enumerate(operations) if number not in flagged]
    if final is None or not any(row < 0 for row in rows):
        assert _linearizable(rest, case.initial, final)
