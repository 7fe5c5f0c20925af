"""Large histories: clean ones are checked without a word, broken ones with a short witness.

How long that takes is told by ``stress bench harness``.
"""

from __future__ import annotations

import numpy as np
import pytest

from stress.bench.harness import histories
from stress.checkers.registry import load
from stress.history.history import History
from stress.history.kinds import Kind
from stress.history.notes import Note


@pytest.mark.parametrize("updates", [0.0, 0.5, 1.0])
def test_a_large_clean_history_is_clean(updates: float) -> None:
    history = histories.documents(200_000, updates=updates, files=1)
    for name in load():
        assert list(load().get(name)(history)) == []


@pytest.mark.parametrize(("updates", "broken"), [(0.0, "version"), (1.0, "parent")])
def test_one_wrong_operation_among_many_is_found(updates: float, broken: str) -> None:
    history = histories.documents(200_000, updates=updates, files=1)
    kind = Kind.READ if broken == "version" else Kind.UPDATE
    rows = np.flatnonzero(history.ops["kind"] == kind)
    history.ops[broken][rows[len(rows) // 2]] = history.ops[broken][rows[len(rows) // 2 - 500]]
    found = [each for name in ("register", "updates") for each in load().get(name)(history)]
    assert found
    assert all(1 <= len(each.witness) <= 6 for each in found)


@pytest.mark.parametrize(
    ("make", "caught"),
    [
        (histories.documents, {"stale-read", "lost-update", "non-monotonic-read", "torn-read", "lock-overlap"}),
        (histories.logs, {"lost-append", "incompatible-orders"}),
        (histories.backups, {"bad-backup", "lost-backup"}),
        (histories.recoveries, {"bad-recovery"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_synthetic_histories_are_what_they_say(make: histories.Maker, caught: set[str]) -> None:
    clean, broken = make(40_000), make(40_000, broken=True)
    assert [found for name in load() for found in load().get(name)(clean)] == []
    assert {found.anomaly for name in load() for found in load().get(name)(broken)} == caught
    assert np.array_equal(clean.ops, make(40_000).ops)
    for process in np.unique(clean.ops["process"]).tolist():  # one thing at a time
        own = clean.ops[clean.ops["process"] == process]
        assert (own["return"][:-1] < own["invoke"][1:]).all()


def test_strange_looks_at_a_log_do_not_make_all_others_be_gone_through() -> None:
    history = histories.logs(40_000, broken=True)
    asked = 0

    def notes(process: int, at: int, size: int) -> Note | None:
        nonlocal asked
        asked += 1
        return history.notes(process, at, size)

    counted = History(history.ops, history.files, history.processes, history.scenarios, history.final, notes=notes)
    found = [each for each in load().get("appends")(counted) if each.anomaly == "incompatible-orders"]
    assert sum(each.count for each in found) > 20
    # A strange look, and one that comes right after it and before one that is not strange; and what witnesses show.
    assert asked < 4 * sum(each.count for each in found) + 50
