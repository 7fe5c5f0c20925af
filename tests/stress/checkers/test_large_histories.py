"""Large histories: checked in bounded time and memory, clean ones without a word, broken ones with a short witness.

``python tests/stress/checkers/test_large_histories.py 10000000`` prints seconds for a size of choice.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
import pytest

from stress.checkers.registry import load
from stress.history.history import FileFacts, FinalFile, History
from stress.history.record import INITIAL, NO_VERSION, RECORD, Kind, Outcome

CHECKERS = frozenset({"register", "updates", "sessions", "torn", "locks"})
CHANGING = 8
READING = 24


def large(count: int, *, updates: float = 0.5) -> History:
    """A correct history of one document: changes take place one after the other, in intervals that overlap."""
    source = np.random.default_rng(7)
    changing = source.random(count) < 0.25
    ops = np.zeros(count, RECORD)
    point = np.arange(count, dtype=np.int64) * 1000
    process = np.where(changing, 1 + np.arange(count) % CHANGING, 1 + CHANGING + np.arange(count) % READING)
    # Operations of one process are one after the other: their points are at least CHANGING steps apart.
    reach = (CHANGING // 2 - 1) * 1000
    ops["invoke"] = point - source.integers(0, reach, count)
    ops["return"] = point + source.integers(0, reach, count)
    ops["process"], ops["outcome"], ops["language"], ops["note_at"] = process, Outcome.OK, 1, -1
    order = np.argsort(process, kind="stable")
    starts = np.searchsorted(process[order], np.arange(1 + CHANGING + READING + 1))
    ops["seq"][order] = np.arange(count) - starts[process[order]] + 1
    version = ops["process"].astype(np.int64) << 32 | ops["seq"]
    latest = np.maximum.accumulate(np.where(changing, np.arange(count), -1))
    before = np.append(-1, latest[:-1])
    ops["version"] = np.where(changing, version, np.where(latest < 0, INITIAL, version[latest]))
    update = changing & (source.random(count) < updates)
    parent = np.where(before < 0, INITIAL, version[before])
    ops["kind"] = np.where(update, Kind.UPDATE, np.where(changing, Kind.WRITE, Kind.READ))
    ops["parent"] = np.where(update, parent, NO_VERSION)
    ops["size"] = ops["digest"] = -1
    ops = ops[np.argsort(ops["invoke"], kind="stable")]
    last = int(version[latest[-1]]) if latest[-1] >= 0 else INITIAL
    facts = FileFacts("state.json", "drill", checkers=CHECKERS)
    return History(ops, (facts,), scenarios=("drill",), final=(FinalFile(exists=True, version=last),))


@pytest.mark.parametrize("updates", [0.0, 0.5, 1.0])
def test_a_large_clean_history_is_clean(updates: float) -> None:
    history = large(200_000, updates=updates)
    for name in load():
        assert list(load().get(name)(history)) == []


@pytest.mark.parametrize(("updates", "broken"), [(0.0, "version"), (1.0, "parent")])
def test_one_wrong_operation_among_many_is_found(updates: float, broken: str) -> None:
    history = large(200_000, updates=updates)
    kind = Kind.READ if broken == "version" else Kind.UPDATE
    rows = np.flatnonzero(history.ops["kind"] == kind)
    history.ops[broken][rows[len(rows) // 2]] = history.ops[broken][rows[len(rows) // 2 - 500]]
    found = [each for name in ("register", "updates") for each in load().get(name)(history)]
    assert found
    assert all(1 <= len(each.witness) <= 6 for each in found)


if __name__ == "__main__":
    made = large(int(sys.argv[1]), updates=float(sys.argv[2]) if len(sys.argv) > 2 else 0.5)
    for checker in load():
        began, cpu = time.perf_counter(), time.process_time()
        assert not list(load().get(checker)(made))
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(f"{checker:10} {wall:7.2f} s ({cpu:.2f} s of CPU time)", flush=True)
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")
