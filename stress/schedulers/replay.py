"""Replay of a schedule: strict, to show it again; and tolerant, to try out a schedule that was changed."""

from __future__ import annotations

from collections.abc import Sequence

from stress.schedulers.effects import Effect, awake, effects
from stress.syscalls.calls import Call, Diverged, Step
from stress.syscalls.source import Source


class Replay:
    """Executes one schedule once, exactly.

    Args:
        decisions: The agent of each step.
        texts: `Call.text` of each step, as recorded. Empty: they are not compared.
        draws: The random numbers that were drawn.

    ``pick`` raises `Diverged` where the agent can't go on, or does something else; ``end`` where the execution ended
    early.
    """

    def __init__(self, decisions: Sequence[int], texts: Sequence[str] = (), draws: Sequence[int] = ()) -> None:
        if texts and len(texts) != len(decisions):
            raise ValueError(f"{len(decisions)} decisions, but {len(texts)} texts")
        self._decisions, self._texts, self._draws = tuple(decisions), tuple(texts), tuple(draws)
        self._begun = self._diverged = False
        self.source = Source("replay", draws, least=True)

    def begin(self) -> bool:
        """True the first time: there is one execution."""
        first, self._begun = not self._begun, True
        return first

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """The call of the agent whose turn it was."""
        if len(trace) >= len(self._decisions):
            raise self._diverge(len(trace), "the end", _all(enabled))
        expected = self._expected(len(trace))
        for index, call in enumerate(enabled):
            if call.agent == self._decisions[len(trace)]:
                if self._texts and call.text != self._texts[len(trace)]:
                    raise self._diverge(len(trace), expected, _one(call))
                return index
        raise self._diverge(len(trace), expected, _all(enabled))

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """See that nothing is missing."""
        if not self._diverged and len(trace) < len(self._decisions):
            waiting = f"the end, with {_all(blocked)} blocked" if blocked else "the end"
            raise self._diverge(len(trace), self._expected(len(trace)), waiting)

    def _expected(self, index: int) -> str:
        agent = f"agent {self._decisions[index] + 1}"
        return f"{agent}: {self._texts[index]}" if self._texts else f"a call of {agent}"

    def _diverge(self, index: int, expected: str, found: str) -> Diverged:
        self._diverged = True
        return Diverged(index, expected, found)


class TolerantReplay:
    """Executes what a schedule can be followed in: a decision for an agent that can't go on is skipped.

    When the decisions are used up, the agent that was the last goes on as long as it can, then the first that can; none
    polls in vain meanwhile.

    Args:
        decisions: The agent of each step.
        draws: The random numbers that were drawn.

    Attributes:
        decisions: As given.
        runnable: Of each step, the agents that could have done it, but for those that poll in vain.
    """

    def __init__(self, decisions: Sequence[int], draws: Sequence[int] = ()) -> None:
        self.decisions = tuple(decisions)
        self._at = 0
        self._begun = False
        self._effects: list[Effect] = []
        self.runnable: list[frozenset[int]] = []
        self.source = Source("replay", draws, least=True)

    def begin(self) -> bool:
        """True the first time: there is one execution."""
        first, self._begun = not self._begun, True
        return first

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """The call of the next agent of the schedule that can go on."""
        agents = [call.agent for call in enabled]
        self._effects = effects(trace, self._effects)
        able = frozenset(agents[index] for index in awake(enabled, trace, self._effects))
        self.runnable.append(able)
        while self._at < len(self.decisions):
            agent = self.decisions[self._at]
            self._at += 1
            if agent in agents:
                return agents.index(agent)
        before = trace[-1].call.agent if trace else None
        return agents.index(before) if before in able else agents.index(min(able))

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """Nothing is learnt."""


def _one(call: Call) -> str:
    return f"agent {call.agent + 1}: {call.text}"


def _all(calls: Sequence[Call]) -> str:
    return "; ".join(_one(call) for call in calls) or "nothing"
