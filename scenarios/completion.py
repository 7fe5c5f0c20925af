"""The completion signal: in each round one agent makes a file that was not there, and all others wait for it.

Every agent goes through the rounds in order and on to the next when it has seen this one's signal. So a signal is made
after that of the round before was seen, and a reader that sees one, and then not the one before, has seen the past.
"""

from __future__ import annotations

from collections.abc import Callable

from scenarios.world import alternate, is_there
from stress.api import Agent, Kind, Role, Scenario, SharedFile, Steps, scenario

ROUNDS = 256
PATIENCE = 12
"""Looks in vain after which any writer makes the signal itself: its owner may not be there at all, or may not write."""


def _signal(number: int) -> SharedFile:
    return SharedFile(
        f"session-{number:03}/.claude/sdk_complete.json",
        shape={"reason": "all_features_passing", "session_count": number},
        absent=True,
    )


def monitor(*signals: SharedFile) -> Callable[[Agent], Steps]:
    """Make the signal of one's own rounds, and wait for that of the others."""

    def steps(agent: Agent) -> Steps:
        for number, signal in enumerate(signals):
            mine = number % agent.writers == agent.worker
            looks = 0
            # The target's reader, too, is asked for what is not there yet: it may remember that.
            while not is_there((yield agent.read(signal) if looks % 4 == 1 else agent.observe(signal))):
                looks += 1
                if mine or looks % PATIENCE == 0:
                    yield agent.write(signal)
            if agent.random.random() < 0.25:
                yield agent.read(signal)
        while True:
            yield alternate(agent, signals[-1])

    return steps


def wait(*signals: SharedFile) -> Callable[[Agent], Steps]:
    """Wait for the signal of each round; look at the one before once more when it has come."""

    def steps(agent: Agent) -> Steps:
        for number, signal in enumerate(signals):
            while not is_there((yield alternate(agent, signal))):
                pass
            yield alternate(agent, signals[max(0, number - 1)])
        while True:
            yield alternate(agent, signals[-1])

    return steps


_SIGNALS = tuple(_signal(number) for number in range(ROUNDS))

scenario(
    Scenario(
        name="completion",
        about="a signal is made once, round after round, while all others wait for it",
        files=_SIGNALS,
        roles=(
            Role("monitor", "writer", monitor(*_SIGNALS), needs=frozenset({"write"}), weight=4),
            Role("wait", "reader", wait(*_SIGNALS), weight=4),
        ),
        checkers=frozenset({"torn", "register", "sessions", "leftovers", "progress"}),
        kinds=frozenset({Kind.WRITE, Kind.READ, Kind.OBSERVE}),
    )
)
