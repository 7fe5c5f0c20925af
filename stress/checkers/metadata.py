"""``metadata``: a file that was replaced keeps its mode, owner and extended attributes, and a link stays a link."""

from __future__ import annotations

from collections.abc import Iterable

from stress.anomalies import METADATA_LOST
from stress.checkers._words import finding
from stress.checkers.registry import checker
from stress.history.history import FileFacts, FinalFile, History
from stress.history.record import ABSENT, Kind, Outcome
from stress.result import Finding

__all__ = ["metadata"]


@checker("metadata")
def metadata(history: History) -> Iterable[Finding]:
    """What each file was at the start against what it is at the end."""
    for index, facts in history.files_for("metadata"):
        lost = _lost(facts, history.final[index]) if history.final else []
        if lost:
            changes = history.rows(index, Kind.WRITE, Kind.UPDATE, Kind.APPEND, Kind.RECOVER, outcome=Outcome.OK)
            detail = tuple(("lost", each) for each in lost)
            message = f"After {len(changes):,} changes the file is not what it was: {'; '.join(lost)}."
            yield finding(history, "metadata", METADATA_LOST, facts, message, changes[:1].tolist(), detail, len(lost))


def _lost(facts: FileFacts, final: FinalFile) -> list[str]:
    lost = []
    if facts.link is not None and final.link != facts.link:
        now = "there is a file in its place" if final.link is None else f"it leads to {final.link!r}"
        lost.append(f"it was a symbolic link to {facts.link!r}, and now {now if final.exists else 'it leads nowhere'}")
    elif facts.link is None and final.link is not None:
        lost.append(f"it was a file, and now it is a symbolic link to {final.link!r}")
    if final.exists and facts.initial != ABSENT:  # a file made in the run gets what its maker gives it
        if final.mode != facts.mode:
            lost.append(f"its mode was {facts.mode:04o}, and now it is {final.mode:04o}")
        lost += [f"its extended attribute {name} is gone" for name in final.xattrs_lost]
        if final.owner_changed:
            lost.append("its owner or group changed")
    return lost
