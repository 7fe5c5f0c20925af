"""How many schedules are equivalent to an execution: they differ from it in the order of independent steps only."""

from __future__ import annotations

import random
from collections.abc import Sequence

from stress.schedulers.causality import Causality
from stress.syscalls.calls import Step

_IDEALS_MAX, _IDEALS_A_STEP = 2_000, 10
_SAMPLED_STEPS, _SAMPLES_MIN = 4_000, 10


def linear_extensions(trace: Sequence[Step]) -> tuple[float, bool]:
    """How many schedules are equivalent to the trace, itself included; and whether that is exact.

    Counted over the sets of steps that are closed under happens-before; where these are too many, estimated from random
    orders: the product of the choices along one is an unbiased estimate (Knuth 1975). The longer the trace, the fewer:
    to count must not take longer than to execute.
    """
    causality = Causality(trace)
    chains: dict[int, list[int]] = {}
    for index, step in enumerate(trace):
        chains.setdefault(step.call.agent, []).append(index)
    rows = list(chains.values())
    agents = list(chains)
    needs = [[[causality.needs(index, agent) for agent in agents] for index in row] for row in rows]
    level: dict[tuple[int, ...], int] = {(0,) * len(rows): 1}
    seen, most = 0, max(_IDEALS_MAX, _IDEALS_A_STEP * len(trace))
    for _ in range(len(trace)):
        following: dict[tuple[int, ...], int] = {}
        for state, count in level.items():
            for number in _ready(state, needs):
                after = (*state[:number], state[number] + 1, *state[number + 1 :])
                following[after] = following.get(after, 0) + count
        level = following
        seen += len(level)
        if seen > most:
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
    samples = max(_SAMPLES_MIN, _SAMPLED_STEPS // steps)
    for _ in range(samples):
        state, product = [0] * len(needs), 1.0
        for _ in range(steps):
            ready = _ready(state, needs)
            product *= len(ready)
            state[ready[int(stream.random() * len(ready))]] += 1
        total += product
    return total / samples
