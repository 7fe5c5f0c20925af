"""``metadata``: a file that was replaced keeps its mode, owner, extended attributes, and a link stays a link."""

from __future__ import annotations

from collections.abc import Iterable

from stress.checkers._words import finding
from stress.checkers.registry import checker
from stress.history.history import History
from stress.history.record import ABSENT, Kind, Outcome
from stress.result import Finding

__all__ = ["metadata"]


@checker("metadata")
def metadata(history: History) -> Iterable[Finding]:
    """What the file was at the start against what it is at the end."""
    if not history.final:
        return
    for index, facts in history.files_for("metadata"):
        final = history.final[index]
        lost: list[str] = []
        if facts.link != final.link:
            lost.append(
                f"it was a symbolic link to {facts.link!r}, and is {'one to ' + repr(final.link) if final.link else 'a file now'}"
            )
        if final.exists and facts.initial != ABSENT:
            if final.mode != facts.mode:
                lost.append(f"its mode was {facts.mode:04o}, and is {final.mode:04o}")
            lost.extend(f"its extended attribute {name} is gone" for name in final.xattrs_lost)
            if final.owner_changed:
                lost.append("its owner or group changed")
        if lost:
            writes = history.rows(index, Kind.WRITE, Kind.UPDATE, Kind.APPEND, Kind.RECOVER, outcome=Outcome.OK)
            yield finding(
                history, "metadata", "metadata-lost", facts, f"The file was replaced, and {'; '.join(lost)}.",
                writes[:1].tolist(), lost, len(lost),
            )  # fmt: skip
