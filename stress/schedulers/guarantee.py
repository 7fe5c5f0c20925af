"""The guarantee of PCT, as arithmetic: how probable it is to have missed a bug, and how many executions rule it out.

Source: Burckhardt and others, ASPLOS 2010, theorem 9: one execution finds a bug of depth d with a probability of at
least 1 / (n · k^(d−1)), for n agents that do k steps together.
"""

from __future__ import annotations

import math


def pct_probability(agents: int, points: int, depth: int) -> float:
    """Probability that one execution finds one given bug: at least this.

    Args:
        agents: Processes, n.
        points: Scheduling points of all of them together, k.
        depth: Ordering constraints that bring the bug about, d.

    Raises ValueError if ``depth`` is less than 1.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}; it must be 1 or more")
    if agents < 1 or points < 1:
        return 0.0
    return math.exp(-math.log(agents) - (depth - 1) * math.log(points))


def missed_after(runs: int, probability: float) -> float:
    """Probability that ``runs`` executions all missed what one finds with ``probability``."""
    if probability >= 1:
        return 0.0 if runs else 1.0
    return math.exp(runs * math.log1p(-probability))


def runs_needed(probability: float, confidence: float = 0.999) -> int:
    """Executions after which what one finds with ``probability`` was found with ``confidence``.

    Raises ValueError if the probability is not above 0, or the confidence not from 0 to below 1.
    """
    if not 0 < probability <= 1:
        raise ValueError(f"probability is {probability}; it must be above 0 and at most 1")
    if not 0 <= confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must be at least 0 and below 1")
    if probability == 1:
        return 1
    return max(1, math.ceil(math.log1p(-confidence) / math.log1p(-probability)))


def guarantee(runs: int, agents: int, points: int, depth: int) -> str:
    """The guarantee in words, for a report."""
    probability = pct_probability(agents, points, depth)
    if not probability:
        return "no guarantee: nothing was executed"
    needed, missed = runs_needed(probability), missed_after(runs, probability)
    return (
        f"one given bug of depth {depth} was missed with a probability of at most {missed:.2g} "
        f"({runs:,} PCT schedules, {agents} processes, {points:,} file syscalls; {needed:,} schedules for 99.9 %)"
    )
