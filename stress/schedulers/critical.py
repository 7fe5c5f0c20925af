"""The critical steps of a failing schedule, in words: the two whose order makes it fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import groupby

from stress.schedulers.causality import Causality
from stress.schedulers.effects import Mode, What, besides_life, conflict
from stress.schedulers.execution import Execution, Run
from stress.schedulers.replay import TolerantReplay
from stress.syscalls.calls import Call

_Rank = tuple[bool, int]


@dataclass(frozen=True, slots=True)
class Critical:
    """What the failure needs.

    Attributes:
        steps: Indices of the critical steps, in order; of a deadlock, the last may be a call that waits: the length of
            the trace and up. Empty where no overlap is to blame.
        words: What follows "because": whose step came between which two, or after which one.
    """

    steps: tuple[int, ...]
    words: str


def critical_steps(
    run: Run,
    failing: Execution,
    *,
    same: Callable[[Execution], bool] | None = None,
    names: Sequence[str] = (),
    runs_max: int = 100,
) -> Critical | None:
    """Find two dependent steps of different agents without whose order the execution would not have failed.

    Each race is reversed, everything else left in its order where that is possible; the failure vanishes or not. Where
    it never does, as with an update in place, that fails if it is torn too, a read is put off until after a change.
    Where one agent ran after the other, they do so in reverse first: if that fails too, no overlap is to blame.

    Args:
        run: Executes the programs once.
        failing: An execution that failed, best a shrunk one.
        same: Whether an execution shows the same failure; the default is `Execution.failed`.
        names: Of the agents; "agent 1" and so on, where none is given.
        runs_max: Executions at most.

    Returns:
        The steps, or None if no single reordering avoids the failure.
    """
    same = same or (lambda execution: execution.failed)
    serial = _agents_in_turn(failing)
    if len(set(serial)) == len(serial) > 1 and runs_max:
        again = _execute(run, failing, [agent for agent in reversed(serial) for _ in failing.decisions])
        if same(again) and _agents_in_turn(again) == serial[::-1]:  # where one waits for another they take turns
            return Critical((), "of what they do by themselves: one after the other they fail too, so and in reverse")
    causality = Causality(failing.trace, failing.blocked)
    calls = [*(step.call for step in failing.trace), *failing.blocked]
    races = sorted(causality.races, key=_distance)[:runs_max]
    needed = [race for race in races if not same(_execute(run, failing, _reversed(failing, causality, race)))]
    if not needed and len(races) < runs_max:
        pairs = nsmallest(runs_max - len(races), _changed_later(causality, len(failing.trace)), key=_distance)
        needed = [pair for pair in pairs if not same(_execute(run, failing, _put_off(failing, *pair)))]
    found = [_around(causality, calls, race) for race in needed]
    if not found:
        return None
    _, steps = min(found)
    return Critical(steps, _in_words(steps, calls, len(failing.trace), names))


def _agents_in_turn(execution: Execution) -> list[int]:
    return [agent for agent, _ in groupby(execution.decisions)]


def _reversed(failing: Execution, causality: Causality, race: tuple[int, int]) -> list[int]:
    """Decisions in which the second step of the race comes before the first."""
    one, other = race
    moved = causality.reversal(one, other)
    rest = [index for index in range(one, len(failing.trace)) if index not in moved]
    return [*failing.decisions[:one], *(causality.agent(index) for index in [*moved, *rest])]


def _changed_later(causality: Causality, length: int) -> Iterator[tuple[int, int]]:
    """What an agent read, and the step of another that changed it later."""
    readers: dict[What, list[int]] = {}
    for other, second in enumerate(causality.effects[:length]):
        changed = [what for what, mode in second.items() if mode is Mode.WRITE]
        pairs = {one for what in changed for one in readers.get(what, ())}
        yield from ((one, other) for one in pairs if causality.agent(one) != causality.agent(other))
        for what, mode in second.items():
            if mode is Mode.READ:
                readers.setdefault(what, []).append(other)


def _put_off(failing: Execution, one: int, other: int) -> list[int]:
    """Decisions in which the agent of step ``one`` does nothing more before step ``other`` is done."""
    before, between, after = failing.decisions[:one], failing.decisions[one : other + 1], failing.decisions[other + 1 :]
    waits = failing.decisions[one]
    return [*before, *(each for each in between if each != waits), *(each for each in between if each == waits), *after]


def _distance(pair: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    return pair[1] - pair[0], pair


def _execute(run: Run, failing: Execution, decisions: Sequence[int]) -> Execution:
    scheduler = TolerantReplay(decisions, failing.draws)
    scheduler.begin()
    return run(scheduler)


def _around(causality: Causality, calls: Sequence[Call], race: tuple[int, int]) -> tuple[_Rank, tuple[int, ...]]:
    """(how well it explains, the steps): best is a step that came between a read and a change of the other agent.

    Else any three that are close together; else the two.
    """
    one, other = race

    def related(index: int, near: int) -> bool:
        return calls[index].agent != calls[near].agent and conflict(causality.effects[index], causality.effects[near])

    later = [index for index in range(other + 1, len(calls)) if calls[index].agent == calls[one].agent]
    earlier = [index for index in reversed(range(one)) if calls[index].agent == calls[other].agent]

    def changes(index: int) -> bool:
        touched = besides_life(causality.effects[index], calls[index].agent)
        return any(mode is Mode.WRITE for _, mode in touched)

    options = [(one, other, index) for index in later if related(index, other)]
    options += [(index, one, other) for index in earlier if related(index, one)]
    ranked: list[tuple[_Rank, tuple[int, ...]]] = [
        ((changes(steps[0]) + changes(steps[2]) != 1, steps[2] - steps[0]), steps) for steps in options
    ]
    return min(ranked) if ranked else ((True, len(calls)), race)


def _in_words(steps: tuple[int, ...], calls: Sequence[Call], length: int, names: Sequence[str]) -> str:
    def who(step: int) -> str:
        agent = calls[step].agent
        return names[agent] if agent < len(names) else f"agent {agent + 1}"

    def said(step: int) -> str:
        return f"{who(step)}'s `{calls[step].text}`"

    if steps[-1] >= length:
        return f"{who(steps[-1])} waits for ever: its `{calls[steps[-1]].text}` came after {said(steps[-2])}"
    if len(steps) == 2:
        return f"{said(steps[1])} came after {said(steps[0])}"
    return f"{said(steps[1])} came between {said(steps[0])} and {said(steps[2])}"
