"""Strategies for Hypothesis: documents as workers write them, operations, histories that may be right or wrong, and
schedules.

For those who test a checker, a reader of histories or a helper of their own. It needs the package ``hypothesis``, which
the harness itself does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hypothesis import strategies as st

from stress.history.history import FileFacts, FinalFile, History
from stress.history.kinds import Kind, Outcome
from stress.history.record import ABSENT, GARBAGE, INITIAL, NO_VERSION, Operation, version_of
from stress.schedulers.replay import TolerantReplay
from stress.workload.payload import document_of

__all__ = [
    "STRANGER",
    "Register",
    "documents",
    "history_of",
    "json_values",
    "nearly_right",
    "scattered",
    "schedules",
    "versions",
]

CHANGES = (Kind.WRITE, Kind.UPDATE)
STRANGER = version_of(99, 9)
"""A version that nobody wrote."""


class Register(NamedTuple):
    """Operations on one document, the version that it held before (`ABSENT`: there was no file), and the one that it
    holds at the end (None: nobody looked). Times are small numbers.
    """

    operations: Sequence[Operation]
    initial: int
    final: int | None


def history_of(
    case: Register, *, path: str = "state.json", checkers: frozenset[str] = frozenset({"register", "updates"})
) -> History:
    """The history of a case, each operation by a process of its own, for ``checkers`` to look at."""
    operations, initial, final = case
    numbered = [replace(op, process=number + 1, seq=1) for number, op in enumerate(operations)]
    parent = next((op.parent for op in operations if op.kind in CHANGES and op.version == final), NO_VERSION)
    return History.of(
        numbered,
        [FileFacts(path, "drill", initial=initial, checkers=checkers)],
        final=[] if final is None else [FinalFile(exists=final != ABSENT, version=final, parent=parent)],
    )


def versions() -> st.SearchStrategy[int]:
    """Versions that some process may have written."""
    return st.builds(version_of, st.integers(1, 1 << 20), st.integers(1, (1 << 31) - 1))


def json_values() -> st.SearchStrategy[Any]:
    """JSON values: what a state file may hold."""
    plain = (
        st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats(allow_nan=False, allow_infinity=False)
    )
    return st.recursive(
        plain | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    )


@st.composite
def documents(draw: st.DrawFn) -> tuple[int, Any]:
    """(version, document): documents as the workers write them, an object or a list, with padding of any length."""
    version = draw(versions())
    fields = draw(
        st.dictionaries(st.text(max_size=8).filter(lambda key: not key.startswith("stress")), json_values(), max_size=4)
    )
    as_list = draw(st.booleans())
    return version, document_of(version, draw(st.integers(0, 4096)), [fields, {}] if as_list else fields)


def schedules(agents: int, steps_max: int = 100) -> st.SearchStrategy[TolerantReplay]:
    """Schedulers of one execution each, that follow decisions drawn by Hypothesis as far as that is possible.

    They shrink towards one agent after the other.

    Args:
        agents: How many there are.
        steps_max: Decisions at most; after them the last agent just goes on.
    """
    # Switches first: most bugs need one or two, and a list of agents step by step has dozens.
    runs = st.lists(st.tuples(st.integers(0, agents - 1), st.integers(1, steps_max)), max_size=8)
    return runs.map(lambda drawn: TolerantReplay([agent for agent, count in drawn for _ in range(count)][:steps_max]))


@st.composite
def scattered(draw: st.DrawFn) -> Register:
    """Operations at random times that saw random versions: few of these histories are right."""
    initial = draw(st.sampled_from([INITIAL, INITIAL, ABSENT]))
    changes = draw(st.integers(1, 4))
    written = [version_of(number + 1, 1) for number in range(changes)]
    versions = st.sampled_from([initial, initial, *written, *written, STRANGER])
    parents = st.one_of(versions, st.sampled_from([NO_VERSION, NO_VERSION, GARBAGE, ABSENT]))
    operations = []
    for number in range(changes + draw(st.integers(0, 4))):
        invoke = draw(st.integers(0, 9))
        ret = invoke + draw(st.integers(0, 5))
        outcome = draw(st.sampled_from([Outcome.OK] * 6 + [Outcome.INFO] * 2 + [Outcome.FAIL]))
        if number < changes:
            kind = draw(st.sampled_from([Kind.WRITE, Kind.UPDATE]))
            parent = draw(parents) if kind is Kind.UPDATE else NO_VERSION
            op = Operation(1, kind, version=written[number], parent=parent, outcome=outcome, invoke=invoke, ret=ret)
        else:
            op = Operation(1, Kind.READ, version=draw(versions), outcome=outcome, invoke=invoke, ret=ret)
        operations.append(op)
    final = draw(st.one_of(st.none(), st.sampled_from([initial, *written])))
    return Register(tuple(operations), initial, final)


@st.composite
def nearly_right(draw: st.DrawFn) -> Register:
    """Operations around the moments at which a real register did them, some with one thing changed."""
    initial = draw(st.sampled_from([INITIAL, ABSENT]))
    state, parents, operations = initial, {initial: NO_VERSION}, list[Operation]()
    for number in range(draw(st.integers(2, 8))):
        invoke, ret = 3 * number - draw(st.integers(0, 4)), 3 * number + draw(st.integers(0, 4))
        kind = draw(st.sampled_from([Kind.WRITE, Kind.UPDATE, Kind.UPDATE, Kind.READ, Kind.OBSERVE]))
        if kind in (Kind.READ, Kind.OBSERVE):
            operations.append(Operation(1, kind, version=state, parent=parents[state], invoke=invoke, ret=ret))
            continue
        outcome = draw(st.sampled_from([Outcome.OK] * 3 + [Outcome.INFO, Outcome.FAIL]))
        parent = state if kind is Kind.UPDATE else NO_VERSION
        version = version_of(number + 1, 1)
        told = NO_VERSION if draw(st.integers(0, 5)) == 0 else parent
        operations.append(Operation(1, kind, version=version, parent=told, outcome=outcome, invoke=invoke, ret=ret))
        if outcome is Outcome.OK or (outcome is Outcome.INFO and draw(st.booleans())):
            state, parents[version] = version, parent
    final: int | None = state if draw(st.booleans()) else None
    if draw(st.booleans()):
        at = draw(st.integers(0, len(operations) - 1))
        op = operations[at]
        seen = draw(st.sampled_from(list(parents)))
        match draw(st.integers(0, 3)):
            case 0:
                operations[at] = replace(op, invoke=op.invoke + 20, ret=op.ret + 25)
            case 1:
                operations[at] = replace(op, invoke=op.invoke - 25, ret=op.ret - 20)
            case 2 if op.kind is Kind.UPDATE:
                operations[at] = replace(op, parent=seen)
            case 2 | 3 if op.kind not in CHANGES:
                operations[at] = replace(op, version=seen, parent=parents[seen])
            case _ if final is not None:
                final = seen
            case _:
                pass
    return Register(tuple(operations), initial, final)
