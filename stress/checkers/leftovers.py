"""``leftovers``: nothing stays behind but the shared files, their backups, and what the target declares."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from stress.anomalies import LEFTOVER_TEMP
from stress.checkers._words import counted, finding
from stress.checkers.registry import checker
from stress.history.history import History
from stress.history.record import End
from stress.result import Finding

__all__ = ["leftovers"]


@checker("leftovers")
def leftovers(history: History) -> Iterable[Finding]:
    """Temp files after clean ends; after kills, those that the target's own sweep did not remove."""
    if not history.leftovers:
        return
    watched = [facts for _, facts in history.files_for("leftovers")]
    if not watched:
        return
    first = history.leftovers[0]
    # A temp file bears its file's name, as a rule, and stands beside it.
    facts = min(watched, key=lambda facts: _strangeness(first, facts.path))
    killed = sum(process.end in (End.KILLED, End.HUNG) for process in history.processes)
    after = f"after {counted(killed, 'process', 'processes')} had been killed" if killed else "though nobody was killed"
    shown = tuple(("left", path) for path in history.leftovers[:5])
    if len(history.leftovers) > len(shown):
        shown += (("left", f"{len(history.leftovers) - len(shown):,} more"),)
    message = f"Left behind, {after}: {counted(len(history.leftovers), 'file')}, such as {first}."
    yield finding(history, "leftovers", LEFTOVER_TEMP, facts, message, detail=shown, count=len(history.leftovers))


def _strangeness(leftover: str, path: str) -> tuple[bool, bool]:
    return posixpath.basename(path) not in leftover, posixpath.dirname(leftover) != posixpath.dirname(path)
