"""How fast histories are checked, by checker and size, and how that grows."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable, Iterator

from stress.bench import Figure, Setting, Sheet
from stress.benchmarks import _histories
from stress.checkers.registry import Checker, load
from stress.history.history import History

__all__ = ["sheets"]

_GENERATORS: dict[str, tuple[Callable[..., History], tuple[str, ...]]] = {
    "documents": (_histories.documents, ("register", "updates", "sessions", "locks", "torn", "progress")),
    "logs": (_histories.logs, ("appends",)),
    "backups": (_histories.backups, ("backups",)),
    "recoveries": (_histories.recoveries, ("recovery",)),
}
_SIZES, _QUICK = (10_000, 100_000, 1_000_000), (1000, 4000)
_LARGE = 10_000_000
_REPEATED_BELOW_S = 0.3

PORCUPINE_PER_S = (28_000, 59_000)
"""Operations a second of porcupine (Go, one register, partitioned by key) at 100,000 operations, which took it 1.7 to
3.6 s on a machine with two cores; a general checker for linearizability. Source: https://github.com/anishathalye/porcupine
"""


def sheets(setting: Setting) -> Iterator[Sheet]:
    """One for each kind of history; those of ten million operations where they are asked for."""
    sizes = _QUICK if setting.quick else _SIZES
    for kind in _GENERATORS:
        yield Sheet(f"checking {kind}", lambda kind=kind: _figures(kind, sizes))  # type: ignore[misc]
    if not setting.quick:
        for kind in _GENERATORS:
            yield Sheet(
                f"checking ten million {kind}",
                lambda kind=kind: _figures(kind, (100_000, _LARGE)),  # type: ignore[misc]
                takes="minutes and 4 GB",
            )


def _figures(kind: str, sizes: tuple[int, ...]) -> Iterator[Figure]:
    make, names = _GENERATORS[kind]
    taken: dict[tuple[str, bool], list[tuple[int, float]]] = {}
    peaks: dict[str, float] = {}
    for size in sizes:
        for broken in (False, True):
            history = make(size, broken=broken)
            for name in names:
                checker = load().get(name)
                seconds = _time(checker, history)
                taken.setdefault((name, broken), []).append((size, seconds))
                what = f"{name}, {size:,} operations, {'with violations' if broken else 'correct'}"
                yield Figure(what, size / seconds, "operations/s", _how(seconds))
                if size == sizes[-2] and not broken:
                    peaks[name] = _peak(checker, history) / size
    for (name, broken), points in taken.items():
        (small, first), (large, last) = points[-2:]
        exponent = math.log(last / first) / math.log(large / small)
        which = "with violations" if broken else "correct"
        how = f"of the time, from {small:,} to {large:,} operations: 1 is as the work"
        yield Figure(f"{name}, growth, {which}", exponent, "exponent", how)
    for name, peak in peaks.items():
        yield Figure(
            f"{name}, peak memory", peak, "bytes/operation", f"besides the history, at {sizes[-2]:,} operations"
        )
    if "register" in names:
        size, seconds = next((point for point in taken["register", False] if point[0] == 100_000), (0, 1.0))
        if size:
            ratio = size / seconds / PORCUPINE_PER_S[1]
            yield Figure("register, against porcupine", ratio, "times", "its best published rate at 100,000 operations")


def _how(seconds: float) -> str:
    return "the best of three" if seconds < _REPEATED_BELOW_S else "once"


def _time(checker: Checker, history: History) -> float:
    best = math.inf
    for _ in range(3):
        began = time.perf_counter()
        for _ in checker(history):
            pass
        best = min(best, time.perf_counter() - began)
        if best > _REPEATED_BELOW_S:
            break
    return best


def _peak(checker: Checker, history: History) -> float:
    """Bytes; measured apart, for it takes time."""
    tracemalloc.start()
    try:
        for _ in checker(history):
            pass
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
