"""How fast histories are checked, how much memory that takes, and how both grow."""

from __future__ import annotations

import functools
import gc
import math
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from stress.bench.harness import histories
from stress.bench.measure import Figure, Setting, Sheet
from stress.checkers.registry import load
from stress.history.history import History
from stress.history.journal import FINISHED, Journal, pack_rows
from stress.history.kinds import Language
from stress.history.run_directory import RunDirectory

SIZES = (10_000, 100_000, 1_000_000)
SIZES_QUICK = (1_000, 10_000)
LARGE = 10_000_000
RUNS, RUNS_LARGE = 3, 2
KINDS: dict[str, tuple[histories.Maker, tuple[str, ...]]] = {
    "documents": (histories.documents, ("register", "updates", "sessions", "torn", "locks", "progress", "vacuity")),
    "logs": (histories.logs, ("appends", "torn")),
    "backups": (histories.backups, ("backups",)),
    "recoveries": (histories.recoveries, ("recovery",)),
}
"""What histories there are of, how they are made, and who checks them. ``leftovers`` and ``metadata`` look at what was
there in the end, and at no operation.
"""


def sheets(setting: Setting) -> Iterator[Sheet]:
    """Each kind of history at several sizes, correct and broken; then loading."""
    sizes, runs = (SIZES_QUICK, 1) if setting.quick else (SIZES, RUNS)
    for kind in KINDS:
        yield Sheet(f"checking {kind}", functools.partial(_checked, kind, sizes, runs))
    yield Sheet("loading", functools.partial(_loaded, setting, sizes[-1]))
    if setting.quick:
        return
    for kind in KINDS:
        yield Sheet(
            f"{LARGE:,} operations: {kind}",
            functools.partial(_checked, kind, (SIZES[1], LARGE), RUNS_LARGE),
            takes="some minutes and 3 GB of memory",
        )
    yield Sheet(
        f"{LARGE:,} operations: loaded",
        functools.partial(_loaded, setting, LARGE),
        takes="a minute, 3 GB of memory and 1 GB of disk",
    )


def _checked(kind: str, sizes: tuple[int, ...], runs: int) -> Iterator[Figure]:
    make, checkers = KINDS[kind]
    for state, broken in (("correct", False), ("broken", True)):
        took: dict[str, list[float]] = {name: [] for name in checkers}
        for size in sizes:
            history = make(size, broken=broken)
            for name in checkers:
                took[name].append(_seconds(_check(name, history), runs))
                yield Figure(
                    f"{name}, {size:,}, {state}", size / took[name][-1], "operations/s", f"fastest of {runs}, CPU time"
                )
        for name in checkers:
            yield Figure(
                f"{name}, {sizes[-1]:,}, {state}: peak",
                _peak_bytes(_check(name, history)) / sizes[-1],
                "bytes/operation",
                f"beyond the history's own {_own_bytes(history) / sizes[-1]:.0f}",
            )
            yield Figure(
                f"{name}, {state}: growth",
                math.log(took[name][-1] / took[name][-2]) / math.log(sizes[-1] / sizes[-2]),
                "exponent",
                f"of time in size, from {sizes[-2]:,} to {sizes[-1]:,}; 1 is linear",
            )


def _check(name: str, history: History) -> Callable[[], object]:
    return lambda: list(load().get(name)(history))


def _seconds(work: Callable[[], object], runs: int) -> float:
    """CPU seconds of the fastest run: what else the machine does is no matter of ours, and all of it has one thread."""
    least = math.inf
    for _ in range(runs):
        gc.collect()
        began = time.process_time_ns()
        work()
        least = min(least, (time.process_time_ns() - began) / 1e9)
    return max(least, 1e-9)


def _peak_bytes(work: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _own_bytes(history: History) -> int:
    return history.ops.nbytes + sum(array.nbytes for array in (history._rows_by_file, history._what_by_file))


def _loaded(setting: Setting, size: int) -> Iterator[Figure]:
    history = histories.documents(size)
    run = RunDirectory(setting.directory / f"run-{size}")
    save(history, run.path)
    own = _own_bytes(history)
    del history
    took_s = _seconds(run.history, 1)
    parts = f"from {histories.CHANGING + histories.READING} journals, in order of time"
    yield Figure(f"loading, {size:,}", size / took_s, "operations/s", f"{parts}; CPU time")
    yield Figure(f"loading, {size:,}: time", took_s, "s", "CPU time")
    peak, about = _peak_bytes(run.history), f"the history itself is {own / size:.0f}"
    yield Figure(f"loading, {size:,}: peak", peak / size, "bytes/operation", about)


def save(history: History, run: Path) -> None:
    """A run directory as the workers of a run leave it."""
    folder = RunDirectory(run).journals
    folder.mkdir(parents=True)
    checkers = dict.fromkeys(history.scenarios, history.files[0].checkers)
    RunDirectory(run).save_world(history.files, checkers, (), (), history.limit)
    for facts in history.processes:
        rows = history.ops[history.ops["process"] == facts.process]
        journal = Journal(str(folder), facts.process, facts.worker, Language.PYTHON)
        journal.rows = len(rows)
        journal.write_header(state=FINISHED)
        journal.close()
        path = folder / f"p{facts.process:06}.ops"
        packed, extras = pack_rows(rows)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size - len(packed))
            file.write(packed)
        if extras:
            path.with_suffix(".extra").write_bytes(extras)
