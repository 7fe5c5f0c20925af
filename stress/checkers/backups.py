"""``backups``: each is one whole version of its file, current while it was made, and is there as long as the run."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stress.anomalies import BAD_BACKUP, LOST_BACKUP
from stress.checkers._columns import Rows
from stress.checkers._evidence import diagnose
from stress.checkers._register.read_analysis import ReadAnalysis, analyse_reads
from stress.checkers._words import did, finding, moment, span, who
from stress.checkers.registry import checker
from stress.checkers.torn import meanwhile
from stress.history.history import FileFacts, History
from stress.history.kinds import Kind, Outcome
from stress.history.notes import BackupNote
from stress.history.record import ABSENT, GARBAGE, NO_VERSION
from stress.result import Details, Finding, Verdict
from stress.workload.tree import is_backup

_NOWHERE = BackupNote("")


@checker("backups")
def backups(history: History) -> Iterable[Finding]:
    """Backups that are no version, or were none at the time; that are overwritten, changed, or gone."""
    for index, facts in history.files_for("backups"):
        rows = history.rows(index, Kind.BACKUP, outcome=Outcome.OK)
        paths, digests = _named(history, rows)
        if facts.form.is_document:
            yield from _bad(history, index, facts, rows)
        yield from _lost(history, facts, rows, paths, digests)


def _named(history: History, rows: Rows) -> tuple[list[str], list[str]]:
    """The paths of backups, and the checksums that they had right after they were made; empty where not known."""
    paths, digests = list[str](), list[str]()
    for note in history.notes_of(rows):
        made = note if isinstance(note, BackupNote) else _NOWHERE
        paths.append(posixpath.normpath(made.path) if made.path else "")
        digests.append(made.digest)
    return paths, digests


def _bad(history: History, index: int, facts: FileFacts, rows: Rows) -> Iterator[Finding]:
    ops = history.ops
    reads = history.rows(index, Kind.OBSERVE_BACKUP, outcome=Outcome.OK)
    reads = reads[ops["version"][reads] == GARBAGE]
    broken = rows[ops["version"][rows] == GARBAGE]
    late, first, why, others = _not_current(history, index)
    count = len(broken) + len(reads) + late
    if not count:
        return
    # A backup that is no document tells more than one which is of the wrong time.
    if len(broken) or len(reads):
        row = int(broken[0]) if len(broken) else int(reads[0])
        op = history.operation(row)
        diagnosis = diagnose(op.note, op.size)
        path = op.note.path if isinstance(op.note, BackupNote) else ""
        if op.kind is Kind.BACKUP:
            name = f"the backup {path}" if path else "a backup"
            message = f"{who(history, op)} made {name} at {span(history, op)}, and right after that it was "
        else:
            name = f"the newest backup, {path}," if path else "the newest backup"
            message = f"{who(history, op)} read {name} at {span(history, op)}, and saw "
        message += f"{diagnosis.what}."
        others = meanwhile(history, index, row, Kind.BACKUP, at_most=3)
        yield finding(
            history,
            "backups",
            BAD_BACKUP,
            facts,
            message,
            [row, *others],
            diagnosis.details(),
            count,
            evidence=diagnosis.evidence(),
        )
        return
    op = history.operation(first)
    message = (
        f"{who(history, op)} made a backup at {span(history, op)} that holds {history.names.version(op.version)}: "
        f"{why}."
    )
    yield finding(history, "backups", BAD_BACKUP, facts, message, [first, *others], count=count)


def _not_current(history: History, index: int) -> tuple[int, int, str, list[int]]:
    """Backups that hold a version which can't have been current while they were made: as reads, they are late. How many
    there are, and of the first its row, why, and the rows that show it.
    """
    if not len(history.rows(index, Kind.BACKUP)):
        return 0, -1, "", []
    reads = analyse_reads(history, index, Kind.BACKUP)
    made, kinds = reads.made, history.ops["kind"]
    backup = (made.read_rows >= 0) & (kinds[made.read_rows] == Kind.BACKUP)
    late = np.flatnonzero(backup & (reads.stale | reads.early))
    aborted = made.aborted[kinds[made.aborted] == Kind.BACKUP]
    phantom = made.phantom[kinds[made.phantom] == Kind.BACKUP] if history.final else made.phantom[:0]
    count = len(late) + len(aborted) + len(phantom)
    if not count:
        return 0, -1, "", []
    row = min(int(rows.min()) for rows in (made.read_rows[late], aborted, phantom) if len(rows))
    if row in aborted:
        return count, row, "a version whose write had failed", []
    if row in phantom:
        return count, row, "a version nobody wrote", []
    return count, row, *_why_late(history, reads, int(late[np.argmin(made.read_rows[late])]))


def _why_late(history: History, reads: ReadAnalysis, read: int) -> tuple[str, list[int]]:
    made = reads.made
    old = int(made.read_of[read])
    write = reads.row_of(old)
    if reads.early[read]:
        return f"its write began at {moment(history, int(made.invoke[old]))} only", [write]
    new = int(reads.child[old]) if reads.stale_by_descendant[read] else int(reads.replaced_by[old])
    if reads.stale_mutual[read] or new < 0:
        return "other versions had been seen in between", [write]
    proof = history.operation(reads.first_observation(new))
    why = f"{history.names.version(int(made.version[new]))} was in its place by {moment(history, proof.ret)} already"
    return f"{why} ({did(history, proof)})", [reads.first_observation(new), reads.row_of(new), write]


@dataclass
class _Lost:
    """Backups that came to nothing, of the worst kind first; rows of the first of each kind."""

    overwritten: list[tuple[int, int]]
    nothing: list[int]
    changed: list[int]
    pruned: bool = False
    """Whether all that is wrong is that the oldest are gone, which one leaves who keeps so many and no more."""


def _sorted_out(history: History, rows: Rows, paths: list[str], digests: list[str]) -> _Lost:
    found, versions = _Lost([], [], []), history.ops["version"][rows].tolist()
    first, last, places = dict[str, int](), dict[str, int](), rows.tolist()
    for at, path in enumerate(paths):
        last[path] = at
        if path in first:
            found.overwritten.append((places[first[path]], places[at]))
            continue
        if versions[at] == ABSENT:
            found.nothing.append(places[at])
        if path:
            first[path] = at
    for path, at in first.items() if history.final else ():
        kept = history.backups.get(path)
        if versions[at] in (ABSENT, NO_VERSION) or (kept is not None and kept[1] == digests[at]):
            continue
        if last[path] != at and kept is not None:
            continue  # overwritten, as told already
        if kept is None and history.cleanings and not is_backup(path):
            continue  # what it is by its name the cleaner could not know
        found.changed.append(places[at])
    gone = [row for path, row in zip(paths, places, strict=True) if path not in history.backups]
    there = [row for path, row in zip(paths, places, strict=True) if path in history.backups]
    if there and gone and not (found.overwritten or found.nothing) and set(found.changed) <= set(gone):
        found.pruned = bool(history.ops["invoke"][gone].max() <= history.ops["return"][there].min())
    return found


def _lost(history: History, facts: FileFacts, rows: Rows, paths: list[str], digests: list[str]) -> Iterator[Finding]:
    found = _sorted_out(history, rows, paths, digests)
    count = len(found.overwritten) + len(found.nothing) + len(found.changed)
    if not count:
        return
    detail: Details = ()
    verdict, cause = (Verdict.UNKNOWN, "old backups make room for new ones") if found.pruned else (Verdict.FAIL, "")
    if found.overwritten:
        witness = list(found.overwritten[0])
        other, op = (history.operation(row) for row in witness)
        path = paths[int(np.searchsorted(rows, witness[1]))]
        message = (
            f"{who(history, other)} made the backup {path} at {span(history, other)}, and {who(history, op)} made one "
            f"of the same name at {span(history, op)}: the second has overwritten the first."
        )
        held = (
            f"{history.names.version(each.version)} right after {who(history, each)} had made it"
            for each in (other, op)
        )
        detail = tuple(("it held", words) for words in held)
    else:
        witness = (found.nothing or found.changed)[:1]
        op = history.operation(witness[0])
        path = paths[int(np.searchsorted(rows, witness[0]))]
        made = f"{who(history, op)} made the backup {path} at {span(history, op)}"
        kept = history.backups.get(path)
        if found.nothing:
            message = (
                f"{who(history, op)} made a backup at {span(history, op)}, but right after that there was no "
                f"{path or 'file'}."
            )
        elif found.pruned:
            message = (
                f"{made} and it was acknowledged; when all had ended it was not there, nor any other of the {count:,} "
                f"oldest of {len(rows):,}. Who keeps the newest alone leaves just these: if that is meant, say --allow "
                "lost-backup."
            )
        elif kept is None:
            message = f"{made} and it was acknowledged, but when all had ended it was not there."
        else:
            message = (
                f"{made}, and it held {history.names.version(op.version)}; when all had ended it held other bytes "
                f"({history.names.version(kept[0])})."
            )
    yield finding(history, "backups", LOST_BACKUP, facts, message, witness, detail, count, verdict, cause=cause)
