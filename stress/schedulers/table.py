"""A schedule as a table: a row a step, a column a process."""

from __future__ import annotations

import errno
import textwrap
from collections.abc import Collection, Sequence

from stress.schedulers.causality import Causality
from stress.schedulers.effects import Mode, What, clash
from stress.schedulers.execution import Execution
from stress.syscalls.calls import Call, Step

_NUMBER = 5
_GAP = 2
_COLUMN_MIN = 12


def table(
    execution: Execution,
    names: Sequence[str] = (),
    *,
    critical: Collection[int] = (),
    width: int = 80,
    fold: bool = True,
) -> list[str]:
    """Lines of text, none longer than ``width`` unless that leaves less than 12 characters a column.

    Args:
        names: Headings, one an agent; "agent 1" and so on, where none is given.
        critical: Steps to be marked with ``►``.
        width: In characters.
        fold: Whether steps that no other agent could notice, three or more of one agent in a row, become one line.
    """
    said, steps = rows(execution, critical=critical, fold=fold), len(execution.trace)
    agents = sorted({agent for _, agent, _, _ in said} | set(range(len(names))))
    headings = [names[agent] if agent < len(names) else f"agent {agent + 1}" for agent in agents]
    column = max(_COLUMN_MIN, (width - _NUMBER - _GAP * len(agents)) // max(1, len(agents)))
    lines = _row(" " * _NUMBER, headings, column) + _row(" " * _NUMBER, ["─" * column] * len(agents), column)
    for number, agent, text, marked in said:
        start = str(number) if 0 < number <= steps else ""
        cells = ["" if agent != other else text for other in agents]
        lines += _row(f"{start:>{_NUMBER - 1}}{'►' if marked else ' '}", cells, column)
    return lines


def rows(
    execution: Execution, *, critical: Collection[int] = (), fold: bool = True
) -> tuple[tuple[int, int, str, bool], ...]:
    """The schedule as (step from 1, agent, what it does, whether it is critical); arguments as of `table`.

    A wait for a lock that a signal ends is no step: its number is 0. Calls that wait for ever come last, with numbers
    after the last step's.
    """
    trace, blocked, interrupted = execution.trace, execution.blocked, [*reversed(execution.interrupted)]
    waits = [*(call for _, call in interrupted), *blocked]
    made = []
    for steps in _folded(trace, critical, waits) if fold else [[step] for step in trace]:
        first = steps[0]
        while interrupted and interrupted[-1][0] <= first.index:
            made.append(_interrupted(interrupted.pop()[1]))
        text = _said(first) if len(steps) == 1 else f"… {len(steps)} calls that no other sees"
        made.append((first.index + 1, first.call.agent, text, first.index in critical))
    made += [_interrupted(call) for _, call in reversed(interrupted)]
    for index, call in enumerate(blocked, len(trace)):
        made.append((index + 1, call.agent, f"{call.text}: waits for ever", index in critical))
    return tuple(made)


def _interrupted(call: Call) -> tuple[int, int, str, bool]:
    return 0, call.agent, f"{call.text}: a signal ends the wait", False


def _row(number: str, cells: Sequence[str], column: int) -> list[str]:
    wrapped = [textwrap.wrap(cell, column, subsequent_indent="  ", break_long_words=True) for cell in cells]
    lines = []
    for index in range(max((len(each) for each in wrapped), default=0)):
        parts = [each[index] if index < len(each) else "" for each in wrapped]
        start = number if index == 0 else " " * _NUMBER
        lines.append((start + "".join(" " * _GAP + part.ljust(column) for part in parts)).rstrip())
    return lines


def _said(step: Step) -> str:
    if step.result is None or step.result >= 0:
        return step.call.text
    return f"{step.call.text} = {errno.errorcode.get(-step.result, step.result)}"


def _folded(trace: Sequence[Step], critical: Collection[int], waits: Sequence[Call]) -> list[list[Step]]:
    """Rows: a step, or several of one agent that conflict with no step of another."""
    touched = Causality(trace, waits).effects
    calls = [*(step.call for step in trace), *waits]
    uses: dict[What, set[tuple[int, Mode]]] = {}
    for call, effect in zip(calls, touched, strict=True):
        for what, mode in effect.items():
            uses.setdefault(what, set()).add((call.agent, mode))
    rows: list[list[Step]] = []
    private: list[Step] = []
    for step, effect in zip(trace, touched, strict=False):
        seen = step.index in critical or any(
            agent != step.call.agent and clash(mode, its) for what, mode in effect.items() for agent, its in uses[what]
        )
        if private and (seen or private[-1].call.agent != step.call.agent):
            rows += [private] if len(private) > 2 else [[each] for each in private]
            private = []
        if seen:
            rows.append([step])
        else:
            private.append(step)
    return rows + ([private] if len(private) > 2 else [[each] for each in private])
