"""The one source of random numbers of an execution: seeded, recorded, and played again by a replay."""

from __future__ import annotations

import random
from collections.abc import Sequence


class Source:
    """Random numbers of one execution, in two streams that do not disturb each other.

    Args:
        seed: Of both streams; the same numbers for the same seed, on every version of Python.
        recorded: Draws to give out first, before those of the seed.
        least: Whether `draw` gives out 0 where nothing was recorded, which is what is usual.

    Attributes:
        drawn: What `draw` gave out, in order: with the decisions, all that a replay needs.
    """

    def __init__(self, seed: str, recorded: Sequence[int] = (), *, least: bool = False) -> None:
        self._choices = random.Random(f"choices {seed}")
        self._draws = random.Random(f"draws {seed}")
        self._recorded, self._least = tuple(recorded), least
        self.drawn: list[int] = []

    def choose(self, below: int) -> int:
        """A number from 0 to ``below`` − 1 for the scheduler itself; its decisions are what is recorded of it."""
        return _below(self._choices, below)

    def draw(self, below: int) -> int:
        """A number from 0 to ``below`` − 1 for the programs and the engine. It is recorded."""
        number = 0 if self._least else _below(self._draws, below)
        if len(self.drawn) < len(self._recorded):
            number = self._recorded[len(self.drawn)] % below
        self.drawn.append(number)
        return number


def _below(stream: random.Random, below: int) -> int:
    # random() is the one method whose sequence Python promises not to change.
    return int(stream.random() * below)
