"""``metadata``: a file that was replaced keeps its mode, owner and extended attributes, and a link stays a link; also
while the run goes on, and for each of two users who share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from stress.anomalies import METADATA_LOST
from stress.checkers._words import did, finding
from stress.checkers.registry import checker
from stress.history.events import MetadataSeen
from stress.history.history import FileFacts, FinalFile, History
from stress.history.kinds import Kind, Outcome
from stress.history.machine_errors import REFUSALS
from stress.history.notes import ErrorNote, words_of
from stress.history.record import ABSENT
from stress.result import Finding
from stress.units import counted


@checker("metadata")
def metadata(history: History) -> Iterable[Finding]:
    """What each file was at the start against what it is at the end, and was seen to be in between."""
    seen: dict[int, list[MetadataSeen]] = {}
    for each in history.metadata_seen:
        seen.setdefault(each.file, []).append(each)
    for index, facts in history.files_for("metadata"):
        lost = _lost(facts, history.final[index]) if history.final else []
        if facts.shared:
            yield from _refused(history, index, facts)
        if not lost:
            yield from _lost_for_moments(history, index, facts, seen.get(index, []))
        else:
            changes = history.rows(index, Kind.WRITE, Kind.UPDATE, Kind.APPEND, Kind.RECOVER, outcome=Outcome.OK)
            detail = tuple(("lost", each) for each in lost)
            message = f"After {counted(len(changes), 'change')} the file is not what it was: {'; '.join(lost)}."
            yield finding(history, "metadata", METADATA_LOST, facts, message, changes[:1].tolist(), detail, len(lost))


def _lost_for_moments(
    history: History, index: int, facts: FileFacts, seen: Sequence[MetadataSeen]
) -> Iterator[Finding]:
    seen = sorted(seen, key=lambda each: each.at)
    if not seen:
        return
    ops = history.ops
    changes = history.rows(index, Kind.WRITE, Kind.UPDATE, Kind.APPEND, Kind.RECOVER)
    during = changes[(ops["invoke"][changes] <= seen[0].at) & (ops["return"][changes] >= seen[0].at)]
    said = [_was(facts, each.mode, each.owner, each.group) for each in seen]
    count = sum(each.count for each in seen)
    message = (
        f"In the end the file is what it was, but at {history.names.moment(seen[0].at)} {said[0]}: whoever comes in "
        f"such a moment is shut out, or sees what they should not. It was seen so {counted(count, 'time')}."
    )
    detail = tuple(("also", other) for other in dict.fromkeys(said[1:4]) if other != said[0])
    yield finding(history, "metadata", METADATA_LOST, facts, message, during[:4].tolist(), detail, count)


def _was(facts: FileFacts, mode: int, owner: int, group: int) -> str:
    if mode != facts.mode:
        return f"its mode was {mode:04o} in place of {facts.mode:04o}"
    return f"it belonged to user {owner} and group {group}"


def _refused(history: History, index: int, facts: FileFacts) -> Iterator[Finding]:
    """Operations that the system did not permit, on a file that everybody here might read and write at the start."""
    ops = history.ops
    rows = history.rows(index)
    failed = rows[(ops["outcome"][rows] != Outcome.OK) & (ops["note_at"][rows] >= 0)].tolist()
    notes = ((row, history.note(row)) for row in failed)
    refused = [row for row, note in notes if isinstance(note, ErrorNote) and note.errno in REFUSALS]
    if refused:
        op = history.operation(refused[0])
        message = (
            f"{did(history, op)}: it was refused ({words_of(op.note).splitlines()[0][:200]}), though at the start both "
            f"users of the group might read and write the file (mode {facts.mode:04o})."
        )
        yield finding(history, "metadata", METADATA_LOST, facts, message, refused[:4], (), len(refused))


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
