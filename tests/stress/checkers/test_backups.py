"""Backups that are gone: removed by their target on purpose, by a cleaner, or lost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stress.checkers.backups import backups
from stress.history.history import FileFacts, FinalFile, History
from stress.history.kinds import Kind
from stress.history.notes import BackupNote
from stress.history.record import INITIAL, Operation
from stress.result import Finding, Verdict

FILES = [FileFacts("a.json", "drill", checkers=frozenset({"backups"}))]


def _run(kept: Sequence[int], *, made: int = 4, form: str = "a.json.{}.bak", cleaned: bool = False) -> list[Finding]:
    """p1 makes backups, one after the other; those with the numbers ``kept`` are there at the end."""
    ops = [
        Operation(
            1, Kind.BACKUP, 0, INITIAL, invoke=10 * at, ret=10 * at + 5, note=BackupNote(form.format(at), f"digest{at}")
        )
        for at in range(made)
    ]
    there = {form.format(at): (INITIAL, f"digest{at}") for at in kept}
    final = [FinalFile(exists=True, version=INITIAL)]
    history = History.of(
        ops, FILES, scenarios=["drill"], final=final, backups=there, cleanings=[(1, 2)] if cleaned else []
    )
    return list(backups(history))


def test_who_keeps_the_newest_backups_alone_may_mean_it() -> None:
    (doubt,) = _run([2, 3])
    assert (doubt.verdict, doubt.count, doubt.cause) == (Verdict.UNKNOWN, 2, "old backups make room for new ones")
    assert doubt.message.endswith(
        "when all had ended it was not there, nor any other of the 2 oldest of 4. Who keeps the newest alone leaves "
        "just these: if that is meant, say --allow lost-backup."
    )


@pytest.mark.parametrize("kept", [[], [0, 3], [0, 1, 2]], ids=["none", "one between", "the newest gone"])
def test_other_backups_that_are_gone_are_lost(kept: list[int]) -> None:
    (found,) = _run(kept)
    assert (found.anomaly, found.verdict) == ("lost-backup", Verdict.FAIL)
    assert found.message.endswith("it was acknowledged, but when all had ended it was not there.")


def test_a_cleaner_knows_a_backup_by_its_name_alone() -> None:
    assert _run([], form="backups/{}.json", cleaned=True) == []
    assert [each.verdict for each in _run([], cleaned=True)] == [Verdict.FAIL]
