"""``appends`` agrees with a search through all orders, on thousands of small histories of a log."""

from __future__ import annotations

import os
import zlib
from dataclasses import replace

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from stress.checkers.appends import appends
from stress.history.history import FileFacts, FinalFile, History
from stress.history.kinds import Format, Kind, Outcome
from stress.history.notes import LogDelta
from stress.history.record import ABSENT, INITIAL, Operation, version_of
from stress.workload.payload import log_record

Content = tuple[int, ...]
"""The versions of a log's records."""
Case = tuple[list[Operation], dict[int, Content], Content, bool]
"""Operations, what each look (by number) saw, what was there at the end, and whether there was a record before."""

STRANGER = version_of(99, 9)


def _bytes(content: Content) -> bytes:
    return "".join(log_record(version, 3 + version % 5) for version in content).encode()


def _history(case: Case) -> History:
    operations, seen, final, before = case
    numbered = []
    for number, op in enumerate(operations):
        op = replace(op, process=number + 1, seq=1)
        if number in seen:
            content = _bytes(seen[number])
            op = replace(op, size=len(content), digest=zlib.crc32(content), note=LogDelta(0, content))
        numbered.append(op)
    facts = FileFacts("log", "drill", Format.LOG, INITIAL if before else ABSENT, frozenset({"appends"}))
    return History.of(numbered, [facts], final=[FinalFile(exists=True, content=_bytes(final))])


def _linearizable(case: Case) -> bool:
    """Search all orders of a list to which is appended and that is read as a whole."""
    operations, seen, final, before = case
    steps: list[tuple[int, int, int, Content | None, bool]] = []  # invoke, return, appends, sees, may be left out
    for number, op in enumerate(operations):
        if op.outcome is not Outcome.FAIL:
            steps.append((op.invoke, op.ret, op.version, seen.get(number), op.outcome is Outcome.INFO))
    steps.append((10**6, 10**6, 0, final, False))
    tried: set[tuple[int, Content]] = set()

    def search(left: int, state: Content) -> bool:
        if (left, state) in tried:
            return False
        tried.add((left, state))
        if all(step[4] for number, step in enumerate(steps) if left >> number & 1):
            return True
        for number, (invoke, _, version, sees, _) in enumerate(steps):
            if not left >> number & 1 or (sees is not None and sees != state):
                continue
            rest = left & ~(1 << number)
            over = [other for other, step in enumerate(steps) if rest >> other & 1 and step[1] < invoke]
            if all(steps[other][4] for other in over):
                rest &= ~sum(1 << other for other in over)
                if search(rest, state if sees is not None else (*state, version)):
                    return True
        return False

    return search((1 << len(steps)) - 1, (INITIAL,) if before else ())


@st.composite
def logs(draw: st.DrawFn) -> Case:
    """Operations around the moments at which a real log did them, some of them with something changed."""
    before = draw(st.booleans())
    state: Content = (INITIAL,) if before else ()
    operations: list[Operation] = []
    seen: dict[int, Content] = {}
    for number in range(draw(st.integers(1, 7))):
        invoke, ret = 3 * number - draw(st.integers(0, 8)), 3 * number + draw(st.integers(0, 8))
        if draw(st.integers(0, 2)) == 0:
            seen[number] = state
            operations.append(Operation(1, Kind.OBSERVE, invoke=invoke, ret=ret))
            continue
        outcome = draw(st.sampled_from([Outcome.OK] * 4 + [Outcome.INFO, Outcome.FAIL]))
        version = version_of(number + 1, 1)
        operations.append(Operation(1, Kind.APPEND, version=version, outcome=outcome, invoke=invoke, ret=ret))
        if outcome is Outcome.OK or (outcome is Outcome.INFO and draw(st.booleans())):
            state = (*state, version)
    final = state
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        at = draw(st.integers(-1, len(operations) - 1))
        if at < 0:
            final = _changed(draw, final)
        elif at in seen:
            seen[at] = _changed(draw, seen[at])
        else:
            shift = draw(st.integers(-20, 20))
            operations[at] = replace(
                operations[at], invoke=operations[at].invoke + shift, ret=operations[at].ret + shift
            )
    return operations, seen, final, before


def _changed(draw: st.DrawFn, content: Content) -> Content:
    """One record dropped, doubled, swapped or made up."""
    if not content:
        return (STRANGER,)
    at = draw(st.integers(0, len(content) - 1))
    other = draw(st.integers(0, len(content) - 1))
    match draw(st.integers(0, 4)):
        case 0:
            return content[:at] + content[at + 1 :]
        case 1:
            return (*content[:at], content[other], *content[at:])
        case 2:
            swapped = list(content)
            swapped[at], swapped[other] = swapped[other], swapped[at]
            return tuple(swapped)
        case 3:
            return content[:at]
        case _:
            return (*content[:at], STRANGER, *content[at:])


LONGER = int(os.environ.get("STRESS_EXAMPLES", "1"))
"""How many times as many examples."""


@settings(max_examples=500 * LONGER, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(logs())
def test_logs_are_judged_as_by_a_search(case: Case) -> None:
    right = _linearizable(case)
    flagged = {found.anomaly for found in appends(_history(case))}
    event("right" if right else "wrong")
    assert bool(flagged) is not right, (flagged, right)
