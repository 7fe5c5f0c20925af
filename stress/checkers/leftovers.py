"""``leftovers``: nothing stays behind but the shared files, their backups, and what the target declares."""

from __future__ import annotations

from collections.abc import Iterable

from stress.checkers._words import counted, finding
from stress.checkers.registry import checker
from stress.history.history import History
from stress.result import Finding

__all__ = ["leftovers"]


@checker("leftovers")
def leftovers(history: History) -> Iterable[Finding]:
    """Temp files after clean ends; after kills, those that the target's own sweep did not remove."""
    if not history.leftovers:
        return
    facts = next((facts for _, facts in history.files_for("leftovers")), None)
    if facts is None:
        return
    killed = sum(process.end in ("killed", "hung") for process in history.processes)
    after = f"after {counted(killed, 'process', 'processes')} had been killed" if killed else "though nobody was killed"
    shown = [f"left: {path}" for path in history.leftovers[:5]]
    if len(history.leftovers) > len(shown):
        shown.append(f"and {len(history.leftovers) - len(shown):,} more")
    message = f"{counted(len(history.leftovers), 'file')} stayed behind {after}: {history.leftovers[0]}."
    yield finding(history, "leftovers", "leftover-temp", facts, message, detail=shown, count=len(history.leftovers))
