"""Happens-before of an execution: what each step touched, which steps race, and how many schedules are equivalent.

Steps of one agent are ordered, and so are steps of different agents that depend on each other. Two executions with the
same order are equivalent (Mazurkiewicz traces): they differ in the order of independent steps only.

Source: C. Flanagan and P. Godefroid, Dynamic Partial-Order Reduction (POPL 2005); vector clocks: F. Mattern (1989).
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from stress.syscalls.calls import Access, Call, Step

__all__ = ["Causality", "Effect", "Mode", "awake", "conflict", "effects", "linear_extensions"]

What = tuple[Hashable, ...]


class Mode(Enum):
    """How a step used a thing. Two steps commute if both read, or both share; else they conflict."""

    READ = "read"
    SHARE = "share"
    """Took or freed a shared lock."""
    WRITE = "write"


Effect = Mapping[What, Mode]
"""What a step touched → how."""

_IDEALS_MAX = 20_000
_SAMPLES = 200


def conflict(one: Effect, other: Effect) -> bool:
    """Whether two steps of different agents depend on each other."""
    if len(other) < len(one):
        one, other = other, one
    return any(what in other and _clash(mode, other[what]) for what, mode in one.items())


def _clash(one: Mode, other: Mode) -> bool:
    return one is not other or one is Mode.WRITE


def effects(trace: Sequence[Step], known: Sequence[Effect] = ()) -> list[Effect]:
    """The effect of each step; the first ones may be ``known``.

    A sleep that polls reads what its loop read: a change of that wakes it.
    """
    done = list(known)
    for index in range(len(done), len(trace)):
        call = trace[index].call
        if _sleeps(call):
            loop = _loop(call.agent, trace[:index], done)
            done.append({} if loop is None else {what: Mode.READ for _, what in loop})
        else:
            done.append(_effect(trace[index], trace[:index], done))
    return done


def awake(enabled: Sequence[Call], trace: Sequence[Step], done: Sequence[Effect]) -> list[int]:
    """Indices of the enabled calls that are not futile; of all, if all are: time goes on, and polling ends by it.

    A try-lock is futile if the same one failed before, a sleep if its loop went round once; and nobody else has changed
    the lock, or anything that the loop read, since.

    Args:
        enabled: Calls that could be done now.
        trace: Steps so far.
        done: Their `effects`.
    """
    return [index for index, call in enumerate(enabled) if not _futile(call, trace, done)] or list(range(len(enabled)))


def _effect(step: Step, trace: Sequence[Step], done: Sequence[Effect]) -> dict[What, Mode]:
    effect: dict[What, Mode] = {}
    failed = _failed(step)
    for access in step.call.accesses:
        mode = Mode.WRITE if access.writes and not failed else Mode.READ
        if access.what[0] == "lock" and not failed and step.call.lock and _shares(step.call, access, trace, done):
            mode = Mode.SHARE
        if effect.get(access.what, mode) is not mode:
            mode = Mode.WRITE
        effect[access.what] = mode
    return effect


def _shares(call: Call, access: Access, trace: Sequence[Step], done: Sequence[Effect]) -> bool:
    """Whether the lock is a shared one: taken as such, or freed by an agent that took it as such."""
    if call.lock != "frees":
        return not access.writes
    for step, effect in zip(reversed(trace), reversed(done), strict=True):
        took = step.call.agent == call.agent and step.call.lock in ("waits", "tries") and not _failed(step)
        if took and access.what in effect:
            return effect[access.what] is Mode.SHARE
    return False


def _failed(step: Step) -> bool:
    """Whether the step changed nothing. A close that fails still closes."""
    if step.call.lock == "frees":
        return False
    return (step.call.spins and bool(step.call.accesses)) or (step.result is not None and step.result < 0)


def _sleeps(call: Call) -> bool:
    return call.spins and not call.accesses


def _loop(agent: int, trace: Sequence[Step], done: Sequence[Effect]) -> list[tuple[int, What]] | None:
    """What the agent read since its sleep before, as (step, what).

    None if it did not sleep before, or changed something since. Locks that it took meanwhile are left out: they are
    free again, or it would not poll.
    """
    reads: list[tuple[int, What]] = []
    for index in range(len(trace) - 1, -1, -1):
        call = trace[index].call
        if call.agent != agent:
            continue
        if _sleeps(call):
            return reads
        for what, mode in done[index].items():
            if what[0] != "lock":
                if mode is Mode.WRITE:
                    return None
                reads.append((index, what))
            elif call.lock == "tries" and _failed(trace[index]):
                reads.append((index, what))
    return None


def _futile(call: Call, trace: Sequence[Step], done: Sequence[Effect]) -> bool:
    if not call.spins:
        return False
    if _sleeps(call):
        reads = _loop(call.agent, trace, done)
        return reads is not None and not any(
            trace[later].call.agent != call.agent and done[later].get(what, Mode.READ) is not Mode.READ
            for index, what in reads
            for later in range(index + 1, len(trace))
        )
    for index in range(len(trace) - 1, -1, -1):
        step = trace[index]
        shared = [access.what for access in call.accesses if access.what in done[index]]
        if any(done[index][what] is not Mode.READ for what in shared):
            return False
        if shared and step.call.agent == call.agent and step.call.lock == "tries" and _failed(step):
            return True
    return False


@dataclass(slots=True)
class _Touched:
    """Who touched one thing so far: positions in the trace."""

    write: int | None = None
    others: dict[tuple[int, Mode], int] = field(default_factory=dict)  # since then: the last of each agent and mode
    acquires: list[int] = field(default_factory=list)

    def conflicting(self, mode: Mode) -> set[int]:
        """The last ones that a step of this mode depends on."""
        found = {index for (_, other), index in self.others.items() if _clash(mode, other)}
        return found if self.write is None else found | {self.write}


class Causality:
    """Happens-before of a trace, by vector clocks.

    Args:
        trace: Steps of one execution.
        blocked: Calls that wait for a lock after it.

    Attributes:
        effects: Of each step.
        races: Pairs (i, j), i < j, of steps that depend on each other with nothing in between, in an order that may be
            reversed. A call that waits for a lock races with who took the lock, not with who freed it; a call of
            ``blocked`` has the number ``len(trace) + its index``.
    """

    def __init__(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        self._calls = [*(step.call for step in trace), *blocked]
        self._failed = [_failed(step) for step in trace]
        self.effects = effects(trace)
        self.effects += [_effect(Step(len(trace), call), trace, self.effects) for call in blocked]
        self.races: list[tuple[int, int]] = []
        self._sequence: list[int] = []  # of each step, its number within its agent, from 1
        self._clocks: list[dict[int, int]] = []
        self._previous: list[int | None] = []
        self._last: dict[int, int] = {}
        self._touched: dict[What, _Touched] = {}
        for index in range(len(self._calls)):
            self._add(index, executed=index < len(trace))

    def waits(self, index: int) -> bool:
        """Whether the step is one that waits for a lock."""
        return self._calls[index].lock == "waits"

    def agent(self, index: int) -> int:
        """Who did the step."""
        return self._calls[index].agent

    def before(self, one: int, other: int) -> bool:
        """Whether step ``one`` happens before step ``other``; also if they are the same."""
        return self._clocks[other].get(self._calls[one].agent, 0) >= self._sequence[one]

    def not_after(self, one: int, other: int) -> list[int]:
        """Steps between ``one`` and ``other`` that do not happen after ``one``: they can be done without it."""
        return [index for index in range(one + 1, other) if not self.before(one, index)]

    def needed_by(self, steps: Sequence[int], waiting: int) -> list[int]:
        """Those of ``steps`` that happen before the call ``waiting`` by what its agent did before it."""
        previous = self._previous[waiting]
        return [index for index in steps if previous is not None and self.before(index, previous)]

    def initials(self, steps: Sequence[int]) -> set[int]:
        """Agents whose first step among ``steps`` can be the first of all."""
        found: dict[int, int] = {}
        for place, index in enumerate(steps):
            if self._calls[index].agent not in found:
                found[self._calls[index].agent] = place
        return {
            agent
            for agent, place in found.items()
            if not any(self.before(earlier, steps[place]) for earlier in steps[:place])
        }

    def _add(self, index: int, executed: bool) -> None:
        call, effect = self._calls[index], self.effects[index]
        previous = self._last.get(call.agent)
        clock = dict(self._clocks[previous]) if previous is not None else {}
        self._previous.append(previous)
        self._sequence.append(clock.get(call.agent, 0) + 1)
        direct: set[int] = set()
        rivals: set[int] = set()
        for what, mode in effect.items():
            touched = self._touched.setdefault(what, _Touched())
            found = touched.conflicting(mode)
            direct |= found
            if call.lock == "waits" and what[0] == "lock":
                rivals |= self._holders(touched.acquires, what, mode)
            elif call.accesses:  # a sleep is woken: the other order does not exist
                rivals |= found
        self.races += [(other, index) for other in sorted(rivals) if self._adjacent(other, call, clock, rivals)]
        if executed:
            for other in direct:
                for agent, count in self._clocks[other].items():
                    clock[agent] = max(clock.get(agent, 0), count)
        clock[call.agent] = self._sequence[index]
        self._clocks.append(clock)
        if executed:
            self._last[call.agent] = index
            self._touch(index, call, effect)

    def _adjacent(self, other: int, call: Call, clock: Mapping[int, int], rivals: set[int]) -> bool:
        """Whether nothing that precedes the call orders ``other`` before it already."""
        agent = self._calls[other].agent
        if agent == call.agent or clock.get(agent, 0) >= self._sequence[other]:
            return False
        if call.lock == "waits":
            return True
        return not any(third != other and self.before(other, third) for third in rivals)

    def _holders(self, acquires: Sequence[int], what: What, mode: Mode) -> set[int]:
        """Who took the lock last in a mode that excludes this: one exclusively, or several that shared it."""
        found = set()
        for index in reversed(acquires):
            other = self.effects[index][what]
            if _clash(mode, other):
                found.add(index)
            if other is Mode.WRITE:
                break
        return found

    def _touch(self, index: int, call: Call, effect: Effect) -> None:
        for what, mode in effect.items():
            touched = self._touched[what]
            if what[0] == "lock" and call.lock in ("waits", "tries") and not self._failed[index]:
                touched.acquires.append(index)
            if mode is Mode.WRITE:
                touched.write = index
                touched.others = {}
            else:
                touched.others[call.agent, mode] = index


def linear_extensions(trace: Sequence[Step]) -> tuple[float, bool]:
    """How many schedules are equivalent to the trace, itself included; and whether that is exact.

    Counted over the sets of steps that are closed under happens-before; where these are too many, estimated from random
    orders: the product of the choices along one is an unbiased estimate (Knuth 1975).
    """
    causality = Causality(trace)
    chains: dict[int, list[int]] = {}
    for index, step in enumerate(trace):
        chains.setdefault(step.call.agent, []).append(index)
    rows = list(chains.values())
    agents = list(chains)
    needs = [[[causality._clocks[index].get(agent, 0) for agent in agents] for index in row] for row in rows]
    level: dict[tuple[int, ...], int] = {(0,) * len(rows): 1}
    seen = 0
    for _ in range(len(trace)):
        following: dict[tuple[int, ...], int] = {}
        for state, count in level.items():
            for number in _ready(state, needs):
                after = (*state[:number], state[number] + 1, *state[number + 1 :])
                following[after] = following.get(after, 0) + count
        level = following
        seen += len(level)
        if seen > _IDEALS_MAX:
            return _sampled(needs, len(trace)), False
    return float(next(iter(level.values()))), True


def _ready(state: Sequence[int], needs: Sequence[Sequence[Sequence[int]]]) -> list[int]:
    found = []
    for number, row in enumerate(needs):
        position = state[number]
        if position < len(row) and all(
            need <= have for other, (need, have) in enumerate(zip(row[position], state, strict=True)) if other != number
        ):
            found.append(number)
    return found


def _sampled(needs: Sequence[Sequence[Sequence[int]]], steps: int) -> float:
    stream, total = random.Random(0), 0.0
    for _ in range(_SAMPLES):
        state, product = [0] * len(needs), 1.0
        for _ in range(steps):
            ready = _ready(state, needs)
            product *= len(ready)
            state[ready[int(stream.random() * len(ready))]] += 1
        total += product
    return total / _SAMPLES
