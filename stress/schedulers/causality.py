"""Happens-before of an execution: which steps race, and what could have been done without a step.

Steps of one agent are ordered, and so are steps of different agents that conflict. Two executions with the same order
are equivalent (Mazurkiewicz traces): they differ in the order of independent steps only.

Source: C. Flanagan and P. Godefroid, Dynamic Partial-Order Reduction (POPL 2005); vector clocks: F. Mattern (1989).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stress.schedulers.effects import ORDER, Effect, Mode, What, clash, effects, failed
from stress.syscalls.calls import Call, Step


@dataclass(slots=True)
class _Touched:
    """Who touched one thing so far: positions in the trace."""

    write: int | None = None
    others: dict[tuple[int, Mode], int] = field(default_factory=dict)  # since then: the last of each agent and mode
    acquires: list[tuple[int, int]] = field(default_factory=list)  # of a lock: (step, the first one of that hold)
    holds: dict[int, int] = field(default_factory=dict)  # agent → step with which it took the lock
    vain: set[int] = field(default_factory=set)  # steps that freed a lock that their agent did not have

    def conflicting(self, mode: Mode) -> set[int]:
        """The last ones that a step of this mode depends on."""
        found = {index for (_, other), index in self.others.items() if clash(mode, other)}
        return found if self.write is None else found | {self.write}


class Causality:
    """Happens-before of a trace, by vector clocks.

    Args:
        trace: Steps of one execution.
        blocked: Calls that wait for a lock after it.

    Attributes:
        effects: Of each step.
        races: Pairs (i, j), i < j, of steps that conflict, in an order that may be reversed: steps of different agents
            of which j's did nothing before that happens after i. A call that waits for a lock races with who took the
            lock, not with who freed it; a call of ``blocked`` has the number ``len(trace) + its index``.
    """

    def __init__(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        self._calls = [*(step.call for step in trace), *blocked]
        self._failed = [failed(step) for step in trace]
        self.effects = effects([*trace, *(Step(number, call) for number, call in enumerate(blocked, len(trace)))])
        self.races: list[tuple[int, int]] = []
        self._sequence: list[int] = []  # of each step, its number within its agent, from 1
        self._clocks: list[dict[int, int]] = []
        self._previous: list[int | None] = []
        self._last: dict[int, int] = {}
        self._touched: dict[What, _Touched] = {}
        self._in_parts = {("lock", *what[1:]) for effect in self.effects for what in effect if what[0] == "part"}
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

    def needs(self, index: int, agent: int) -> int:
        """How many steps of the agent happen before the step, itself included if it is of the agent."""
        return self._clocks[index].get(agent, 0)

    def not_after(self, one: int, other: int) -> list[int]:
        """Steps between ``one`` and ``other`` that do not happen after ``one``: they can be done without it."""
        done = range(one + 1, min(other, len(self._failed)))
        return [index for index in done if not self.before(one, index)]

    def reversal(self, one: int, other: int) -> list[int]:
        """Steps that, done in place of step ``one`` of a race, bring step ``other`` before it; ``other`` is the last.

        All between the two that do not happen after ``one``. Where some of these take a lock that ``other`` waits for,
        and free it only after ``one``, no more than what the agent of ``other`` needs; nor where a lock of a part of a
        file is waited for, of which it is not known whether another excludes it.
        """
        between = self.not_after(one, other)
        in_part = not self._in_parts.isdisjoint(self.effects[other])
        if self.waits(other) and (in_part or self._excluded([*range(one), *between], other)):
            return self._needed(between, other)
        return [*between, other]

    def _needed(self, steps: Sequence[int], other: int) -> list[int]:
        """Those steps that the agent of ``other`` needs, and ``other``."""
        previous = self._previous[other]
        return [*(index for index in steps if previous is not None and self.before(index, previous)), other]

    def _excluded(self, steps: Sequence[int], waiting: int) -> bool:
        """Whether somebody holds the lock that the step waits for, when only ``steps`` were done."""
        for what, mode in self.effects[waiting].items():
            if what[0] != "lock":
                continue
            held: dict[int, Mode] = {}
            for index in steps:
                call = self._calls[index]
                if what in self.effects[index] and call.lock == "frees":
                    held.pop(call.agent, None)
                elif what in self.effects[index] and call.lock and not self._failed[index]:
                    held[call.agent] = self.effects[index][what]
            if any(agent != self.agent(waiting) and clash(mode, its) for agent, its in held.items()):
                return True
        return False

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
                if what in self._in_parts:
                    rivals |= found.union(other for other, _ in touched.acquires)
                    continue
                looked = {index for index in found if self.effects[index][what] is Mode.READ}
                rivals |= self._holders(touched.acquires, what, mode) | looked | (found & touched.vain)
            elif call.accesses or what in (ORDER, ("life", call.agent)):
                # Else a sleep is woken by what its loop has read: the other order does not exist.
                rivals |= found
        self.races += [(other, index) for other in sorted(rivals) if not self._precedes(other, call, clock)]
        for other in direct:
            for agent, count in self._clocks[other].items():
                clock[agent] = max(clock.get(agent, 0), count)
        clock[call.agent] = self._sequence[index]
        self._clocks.append(clock)
        if executed:
            self._last[call.agent] = index
            self._touch(index, call, effect)

    def _precedes(self, other: int, call: Call, clock: Mapping[int, int]) -> bool:
        """Whether the step happens before the call by what the agent of the call did until then."""
        agent = self.agent(other)
        return agent == call.agent or clock.get(agent, 0) >= self._sequence[other]

    def _holders(self, acquires: Sequence[tuple[int, int]], what: What, mode: Mode) -> set[int]:
        """Who took the lock last in a mode that excludes this: one exclusively, or several that shared it.

        A lock that was shared first and then exclusive can be overtaken at both.
        """
        found: set[int] = set()
        exclusive: int | None = None
        for index, start in reversed(acquires):
            other = self.effects[index][what]
            if exclusive in (None, start) and clash(mode, other):
                found.add(index)
            if exclusive is None and other is Mode.WRITE:
                exclusive = start
        return found

    def _touch(self, index: int, call: Call, effect: Effect) -> None:
        for what, mode in effect.items():
            touched = self._touched[what]
            if what[0] == "lock" and call.lock in ("waits", "tries") and not self._failed[index]:
                touched.acquires.append((index, touched.holds.setdefault(call.agent, index)))
            elif call.lock == "frees" and touched.holds.pop(call.agent, None) is None:
                touched.vain.add(index)
            if mode is Mode.WRITE:
                touched.write = index
                touched.others = {}
            else:
                touched.others[call.agent, mode] = index
