"""DPOR: of all schedules that differ only in the order of independent steps, one is executed.

Source: P. Abdulla, S. Aronis, B. Jonsson, K. Sagonas, Optimal Dynamic Partial Order Reduction (POPL 2014), algorithm 1
(source sets and sleep sets, stateless). A call that waits for a lock is not enabled while that is held: it races with
the call that took the lock before, as in section 9 of the journal version (J. ACM 64, 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stress.schedulers.causality import Causality
from stress.schedulers.effects import Effect, awake, conflict, effects
from stress.schedulers.equivalents import linear_extensions
from stress.schedulers.execution import Tally
from stress.syscalls.calls import Abandoned, Call, Diverged, Step
from stress.syscalls.source import Source


@dataclass(slots=True)
class _Node:
    """A state on the way: after so many steps.

    Attributes:
        allowed: Agents that could go on from here → what they would do.
        chosen: The agent of the current execution.
        backtrack: Agents to be chosen here, in some execution.
        done: Agents that were.
        sleep: Agents that need not be chosen, since all that follows was executed elsewhere → the effect of their step.
    """

    allowed: dict[int, str]
    chosen: int
    backtrack: set[int]
    done: set[int] = field(default_factory=set)
    sleep: dict[int, Effect] = field(default_factory=dict)


class Dpor:
    """Executes one schedule of each equivalence class, until none is left.

    What is equivalent is found by looking at what calls touch (`effects`). A call that polls in vain is not enabled.

    Attributes:
        exhausted: Whether it ran out of schedules; see `proved`.
        diverged: Whether an execution went another way than the one whose beginning it was to repeat.
        executed: Complete executions, each of a class of its own.
        pruned: Executions that were abandoned, as all that could follow was known.
        schedules: How many schedules the executed ones stand for: all there are, when it is exhausted.
        exact: Whether ``schedules`` was counted, not estimated.
        withheld: Whether a call that polls in vain was left out: who gives up after some, never did.
    """

    def __init__(self) -> None:
        self.exhausted = False
        self.diverged = False
        self.executed = 0
        self.pruned = 0
        self.schedules = 0.0
        self.exact = True
        self.withheld = False
        self._nodes: list[_Node] = []
        self._branch = 0  # the first step of the execution that was not done before in this order
        self._abandoned = False
        self._effects: list[Effect] = []
        self.source = Source("")

    def begin(self) -> bool:
        """Go back to the deepest state with a choice left, and start from there; False if there is none."""
        if self.executed + self.pruned or self.diverged:
            while self._nodes and not self._next(self._nodes[-1]):
                self._nodes.pop()
            if not self._nodes:
                self.exhausted = True
                return False
            self._nodes[-1].chosen = min(self._next(self._nodes[-1]))
        self._branch = max(0, len(self._nodes) - 1)
        self._abandoned = False
        self._effects = []
        self.source = Source("", least=True)
        return True

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """The chosen agent, as far as the states are known; then the same agent as before, where that is possible."""
        self._effects = effects(trace, self._effects)
        allowed = {enabled[index].agent: index for index in awake(enabled, trace, self._effects)}
        self.withheld |= len(allowed) < len(enabled)
        depth = len(trace)
        calls = {agent: enabled[index].text for agent, index in allowed.items()}
        if depth < len(self._nodes):
            node = self._nodes[depth]
            if node.allowed != calls:
                self.diverged = True
                raise Diverged(depth, _in_words(node.allowed), _in_words(calls))
            return allowed[node.chosen]
        sleep = self._asleep(depth)
        before = trace[-1].call.agent if trace else -1
        free = [agent for agent in allowed if agent not in sleep]
        if not free:
            self._abandoned = True
            raise Abandoned("what can follow was executed before")
        chosen = before if before in free else min(free)
        self._nodes.append(_Node(calls, chosen, {chosen}, sleep=sleep))
        return allowed[chosen]

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """Find the races of the execution, and the states at which their other order must be tried."""
        causality = Causality(trace, blocked)
        for one, other in causality.races:
            if other >= self._branch and one < len(self._nodes):
                self._reverse(causality, one, other)
        if len(trace) < len(self._nodes):
            self.diverged = True
        for depth, node in enumerate(self._nodes):
            if depth >= self._branch:
                node.done.add(node.chosen)
                if depth < len(trace):
                    node.sleep[node.chosen] = causality.effects[depth]
        if self._abandoned:
            self.pruned += 1
        else:
            self.executed += 1
            count, exact = linear_extensions(trace)
            self.schedules += count
            self.exact = self.exact and exact

    def proved(self, tally: Tally) -> bool:
        """Whether what holds of its executions, all of them in ``tally``, holds of every schedule."""
        return self.exhausted and not self.diverged and tally.complete

    def _next(self, node: _Node) -> set[int]:
        return node.backtrack - node.done - node.sleep.keys()

    def _asleep(self, depth: int) -> dict[int, Effect]:
        """Who need not be chosen in the state after the last step: who slept before it, and does not depend on it."""
        if not depth:
            return {}
        node, effect = self._nodes[depth - 1], self._effects[depth - 1]
        return {
            agent: slept for agent, slept in node.sleep.items() if agent != node.chosen and not conflict(slept, effect)
        }

    def _reverse(self, causality: Causality, one: int, other: int) -> None:
        node = self._nodes[one]
        initials = causality.initials(causality.reversal(one, other))
        if initials & node.backtrack:
            return
        possible = initials & node.allowed.keys()
        if possible:  # else the order can't be reversed here: somebody holds the lock, or polls in vain
            node.backtrack.add(min(possible))


def _in_words(calls: dict[int, str]) -> str:
    return "; ".join(f"agent {agent + 1}: {text}" for agent, text in sorted(calls.items())) or "nothing"
