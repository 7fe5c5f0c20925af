"""``backups``: each is one whole version of its file, current while it was made, and is there as long as the run."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from stress.checkers._clusters import clusters_of
from stress.checkers._evidence import classify
from stress.checkers._judged import Judged
from stress.checkers._words import did, finding, moment, span, who
from stress.checkers.registry import checker
from stress.checkers.torn import meanwhile
from stress.history.history import FileFacts, History
from stress.history.record import ABSENT, GARBAGE, NO_VERSION, Kind, Outcome, format_version
from stress.result import Finding

__all__ = ["backups"]

Rows = NDArray[np.intp]


@checker("backups")
def backups(history: History) -> Iterable[Finding]:
    """Backups that are no version, or were none at the time; that are overwritten, changed, or gone."""
    for index, facts in history.files_for("backups"):
        rows = history.rows(index, Kind.BACKUP, outcome=Outcome.OK)
        notes = [history.note(row)[0].split("\n") for row in rows.tolist()]
        paths = [posixpath.normpath(words[0]) if words[0] else "" for words in notes]
        digests = [words[1] if len(words) > 1 else "" for words in notes]
        if facts.form in ("object", "list"):
            yield from _bad(history, index, facts, rows)
        yield from _lost(history, facts, rows, paths, digests)


def _bad(history: History, index: int, facts: FileFacts, rows: Rows) -> Iterator[Finding]:
    ops = history.ops
    looks = history.rows(index, Kind.OBSERVE_BACKUP, outcome=Outcome.OK)
    looks = looks[ops["version"][looks] == GARBAGE]
    broken = rows[ops["version"][rows] == GARBAGE]
    past = _not_current(history, index)
    count = len(broken) + len(looks) + len(past)
    if not count:
        return
    # A backup that is no document tells more than one which is of the wrong time.
    if len(broken) or len(looks):
        row = int(broken[0]) if len(broken) else int(looks[0])
        op = history.operation(row)
        evidence = classify(op.data, op.text if not op.text.count(".bak") else "", op.size)
        name = op.text.split("\n")[0] or "a backup"
        if op.kind is Kind.BACKUP:
            message = f"{who(op)} made the backup {name} at {span(history, op)}, and right after that it was "
        else:
            message = f"{who(op)} read the newest backup, {name}, at {span(history, op)}, and saw "
        detail = evidence.detail(op.data)
        message += f"{evidence.what}."
        others = meanwhile(history, index, row, at_most=3)
        yield finding(history, "backups", "bad-backup", facts, message, [row, *others], detail, count)
        return
    row, why, others = past[0]
    op = history.operation(row)
    message = f"{who(op)} made a backup at {span(history, op)} that holds {format_version(op.version)}: {why}."
    yield finding(history, "backups", "bad-backup", facts, message, [row, *others], count=count)


def _not_current(history: History, index: int) -> list[tuple[int, str, list[int]]]:
    """Backups that hold a version which can't have been current while they were made: as reads, they are late."""
    if not len(history.rows(index, Kind.BACKUP)):
        return []
    judged = Judged(clusters_of(history, index, Kind.BACKUP))
    made, kinds = judged.made, history.ops["kind"]
    wrong: list[tuple[int, str, list[int]]] = []
    backup = (made.read_rows >= 0) & (kinds[made.read_rows] == Kind.BACKUP)
    for read in np.flatnonzero(backup & (judged.stale | judged.early)).tolist():
        old = int(made.read_of[read])
        write = judged.row_of(old)
        if judged.early[read]:
            began = moment(history, int(made.invoke[old]))
            wrong.append((int(made.read_rows[read]), f"its write began at {began} only", [write]))
            continue
        new = int(judged.heir[old]) if judged.outlived[read] else int(judged.replaced_by[old])
        if judged.undecided[read] or new < 0:
            wrong.append((int(made.read_rows[read]), "other versions had been seen in between", [write]))
            continue
        proof = history.operation(judged.first_sight(new))
        why = f"{format_version(int(made.version[new]))} was in its place by {moment(history, proof.ret)} already"
        rows = [judged.first_sight(new), judged.row_of(new), write]
        wrong.append((int(made.read_rows[read]), f"{why} ({did(history, proof)})", rows))
    for strange, why in ((made.aborted, "a version whose write had failed"), (made.phantom, "a version nobody wrote")):
        if why.endswith("wrote") and not history.final:
            continue
        wrong += [(row, why, []) for row in strange[kinds[strange] == Kind.BACKUP].tolist()]
    return sorted(wrong, key=lambda each: each[0])


def _lost(history: History, facts: FileFacts, rows: Rows, paths: list[str], digests: list[str]) -> Iterator[Finding]:
    found: list[tuple[int, str, list[int], list[str]]] = []
    first: dict[str, int] = {}
    for at, path in enumerate(paths):
        row = int(rows[at])
        op = history.operation(row) if path in first or history.ops["version"][row] == ABSENT else None
        if op is not None and path in first:
            other = history.operation(int(rows[first[path]]))
            message = (
                f"{who(other)} made the backup {path} at {span(history, other)}, and {who(op)} made one of the same "
                f"name at {span(history, op)}: the second has overwritten the first."
            )
            held = [f"{format_version(each.version)} right after {who(each)} had made it" for each in (other, op)]
            found.append((0, message, [int(rows[first[path]]), row], [f"it held  {words}" for words in held]))
            continue
        if op is not None:
            message = (
                f"{who(op)} made a backup at {span(history, op)}, but right after that there was no {path or 'file'}."
            )
            found.append((1, message, [row], []))
        if path:
            first[path] = at
    for path, at in first.items() if history.final else ():
        kept = history.backups.get(path)
        row = int(rows[at])
        if history.ops["version"][row] in (ABSENT, NO_VERSION) or (kept is not None and kept[1] == digests[at]):
            continue
        if any(path == paths[other] and other != at for other in range(at + 1, len(paths))) and kept is not None:
            continue  # overwritten, as told already
        op = history.operation(row)
        made = f"{who(op)} made the backup {path} at {span(history, op)}"
        if kept is None:
            message = f"{made} and it was acknowledged, but when all had ended it was not there."
        else:
            message = (
                f"{made}, and it held {format_version(op.version)}; when all had ended it held other bytes "
                f"({format_version(kept[0])})."
            )
        found.append((2, message, [row], []))
    if found:
        _, message, witness, detail = min(found, key=lambda each: each[0])
        yield finding(history, "backups", "lost-backup", facts, message, witness, detail, len(found))
