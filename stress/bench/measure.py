"""Measuring: how fast ways to do the same thing are, as ratios to a floor, on a machine that is never quiet.

A benchmark yields cases. In a case, contenders and their floor do the same thing. Each round takes one sample of every
one of them, in a new random order, and the ratio is made within the round: what slows the machine down for a while
slows both sides of it. What is told are the median of those ratios and their quartiles. Nothing here judges them.

Where there is nothing to be measured against, a benchmark yields sheets of figures instead: numbers with a unit that
are what they are on this machine, and on no other.

Source: T. Kalibera and R. Jones, Rigorous Benchmarking in Reasonable Time (ISMM 2013), on interleaving, on ratios with
their spread, and on warming up; Python's timeit, on the collector of cyclic garbage.
"""

from __future__ import annotations

import functools
import gc
import importlib
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stress import plugins
from stress.registry import Registry

SAMPLE_S = 0.003
"""A sample is of as many calls as take this long: much longer than reading the clock, or a system call's jitter, and
short enough that on a busy machine many of them go through without another process in between.
"""
BATCH_MAX = 100_000
_GROW_MAX = 10  # a first call that is slow by chance must not make the next batch of it endless


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do it."""

    name: str
    call: Callable[[], object]
    """Does it once. What it raises ends the benchmark."""
    promises: str = ""
    """What it guarantees, in a few words: of two that differ here, the slower one may be the better."""
    before: Callable[[], object] | None = None
    """Called before each sample, and not measured."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to do, the floor, and those who are measured against it."""

    name: str
    floor: Contender
    contenders: tuple[Contender, ...]
    batch_max: int = BATCH_MAX
    """Calls in a sample at the most: 1 for what must not be done twice without ``before``."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that was measured."""

    name: str
    value: float
    """Finite."""
    unit: str
    how: str
    """How it was made, in a few words: what was done, how often, and which of the results this is."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Figures that belong together, and how to come by them."""

    name: str
    make: Callable[[], Iterable[Figure]]
    """Measures, when it is called and as it is iterated. What it raises ends the benchmark."""
    takes: str = ""
    """For one that is made only where ``--only`` asks for it: what it takes, such as ``a minute and 3 GB``."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a benchmark could not measure here, why, and what would bring it back: one line."""

    why: str


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a benchmark is done. ``directory`` is empty at first; ``quick``: only to see that it works."""

    directory: Path
    quick: bool = False


Benchmark = Callable[[Setting], Iterator[Case | LeftOut] | Iterator[Sheet | LeftOut]]
"""Yields cases, or sheets; each is measured before the next is asked for, so files can be laid out before and removed
after.
"""

BENCHMARKS: Registry[Benchmark] = Registry("benchmark")


def benchmark(name: str) -> Callable[[Benchmark], Benchmark]:
    """Register the decorated function as the benchmark ``name``; raises ValueError if that is taken."""
    return lambda function: BENCHMARKS.add(name, function)


@functools.cache
def load() -> Registry[Benchmark]:
    """Import, once, the harness's own benchmarks, and every module in the ``benchmarks`` folders of the packages that
    announce scenarios.

    Modules whose name has a leading underscore are parts of others. Returns the registry.
    """
    importlib.import_module("stress.bench.harness")
    for package in plugins.load():
        for _ in package.modules("benchmarks"):
            pass
    return BENCHMARKS


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and the quartiles around it."""

    q1: float
    median: float
    q3: float


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one contender: seconds for one call, a number for each round."""

    name: str
    promises: str
    batch: int
    """Calls in one sample."""
    samples_s: tuple[float, ...]

    @property
    def time_s(self) -> Spread:
        """Seconds for one call."""
        return spread(self.samples_s)

    def speed(self, floor: Series) -> Spread:
        """How fast this is, in the floor's speed: 0.5 takes twice as long. Of each round by itself."""
        return spread([theirs / ours for ours, theirs in zip(self.samples_s, floor.samples_s, strict=True)])

    def beyond_s(self, floor: Series) -> Spread:
        """Seconds that a call takes longer than the floor's. Of each round by itself."""
        return spread([ours - theirs for ours, theirs in zip(self.samples_s, floor.samples_s, strict=True)])


@dataclass(frozen=True, slots=True)
class Measured:
    """A case, measured."""

    name: str
    floor: Series
    contenders: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Figured:
    """A sheet, with its figures."""

    name: str
    figures: tuple[Figure, ...]


def figure(sheet: Sheet) -> Figured:
    """Make a sheet's figures.

    Raises:
        ValueError: where one of them is no number.
        Whatever making them raises.
    """
    made = tuple(sheet.make())
    for one in made:
        if not math.isfinite(one.value):
            raise ValueError(f"{one.name} came out as {one.value} {one.unit}")
    return Figured(sheet.name, made)


def spread(values: Sequence[float]) -> Spread:
    """The quartiles of at least one value, interpolated; of a single one, that value three times."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def measure(
    case: Case,
    rounds: int,
    *,
    sample_s: float = SAMPLE_S,
    clock: Callable[[], float] = time.perf_counter,
    draw: random.Random | None = None,
) -> Measured:
    """Warm up, find out how many calls make a sample, then take ``rounds`` samples of each.

    Args:
        case: what to measure.
        rounds: at least 1.
        sample_s: seconds that a sample should last at least, as far as the case's ``batch_max`` lets it.
        clock: seconds, from any start.
        draw: draws the orders; a new one by default.

    Raises:
        Whatever a contender raises, with a note of which it was.
    """
    draw = draw if draw is not None else random.Random()
    everyone = (case.floor, *case.contenders)
    batches = [_warm_up(contender, case.batch_max, sample_s, clock) for contender in everyone]
    samples: list[list[float]] = [[] for _ in everyone]
    order = list(range(len(everyone)))
    for _ in range(rounds):
        draw.shuffle(order)
        for place in order:
            samples[place].append(_sample(everyone[place], batches[place], clock) / batches[place])
    series = [
        Series(contender.name, contender.promises, batch, tuple(taken))
        for contender, batch, taken in zip(everyone, batches, samples, strict=True)
    ]
    return Measured(case.name, series[0], tuple(series[1:]))


def _warm_up(contender: Contender, batch_max: int, sample_s: float, clock: Callable[[], float]) -> int:
    """The number of calls that take ``sample_s``, found by trying; caches and lazy imports are warm afterwards."""
    _sample(contender, 1, clock)
    batch = 1
    while True:
        took_s = _sample(contender, batch, clock)
        if took_s >= sample_s or batch >= batch_max:
            return batch
        wanted = int(batch * sample_s / took_s) + 1 if took_s > 0 else batch * _GROW_MAX
        batch = min(batch_max, batch * _GROW_MAX, max(wanted, batch + 1))


def _sample(contender: Contender, batch: int, clock: Callable[[], float]) -> float:
    """Seconds for ``batch`` calls. Nobody pays for the garbage of whoever came before."""
    call = contender.call
    try:
        if contender.before is not None:
            contender.before()
        gc.collect()
        enabled = gc.isenabled()
        gc.disable()
        try:
            began = clock()
            for _ in range(batch):
                call()
            return clock() - began
        finally:
            if enabled:
                gc.enable()
    except Exception as error:
        error.add_note(f"measuring {contender.name}")
        raise
