"""Documents that are kept elsewhere, or in a form of the target's own: a database at the path or beside it, say.

What outsiders see of the file is no torn read then, and no stale one. Two things tell such a store from a target that
tears: its own reader finds what other processes wrote, while nobody who opened the file ever found it, nor does it lie
there when all have ended. The looks of outsiders then say nothing, and a doubt says so. The target's own reads are
judged as ever.

Of a log nobody but outsiders reads. One that never changes, whatever is appended, is kept by nobody; or elsewhere, if
the target says that it keeps things elsewhere.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stress.anomalies import NOT_JUDGED
from stress.checkers._columns import Rows
from stress.checkers._words import finding
from stress.history.history import FileFacts, History
from stress.history.kinds import Kind, Outcome
from stress.history.notes import BackupNote, data_of
from stress.history.record import ABSENT, GARBAGE, INITIAL, NO_VERSION
from stress.history.skipped import Part, Skipped
from stress.result import Finding, Verdict
from stress.units import counted
from stress.workload.tree import is_temporary

ADVICE = (
    "if the target keeps its documents in another form or place, say OBSERVE = False in it (in TOML, observe = false), "
    "and outsiders use its read"
)
TRIES = 3
"""Looks of outsiders, and finds of the target's own reader, from which on it is said."""
_HEADS = {
    b"SQLite format 3\0": "SQLite's header",
    b"\x1f\x8b": "gzip's header",
    b"\x80": "pickle's opcode PROTO",
    b"PK\x03\x04": "zip's header",
    b"\x28\xb5\x2f\xfd": "zstd's header",
    b"\xfd7zXZ": "xz's header",
    b"BZh": "bzip2's header",
    b"\xce\x9aW\x13": "gdbm's header",
    b"\xcf\x9aW\x13": "gdbm's header",
}
"""First bytes → what they are, by file(1)."""


def without_what_is_elsewhere(history: History, tries: int = TRIES) -> tuple[History, list[Finding]]:
    """The history in which such looks saw nothing, and the doubt; the same history where there are none. ``tries``: see
    `TRIES`.
    """
    history, doubts = _without_logs(_without_backups(history), tries)
    looks = {index: rows for index, facts in enumerate(history.files) if len(rows := _in_vain(history, index, facts))}
    finds = {index: _found_by_reader(history, index) for index in looks}
    told = sum(len(looks[index]) for index, count in finds.items() if count)
    if sum(finds.values()) < tries or told < tries:
        return history, doubts
    ops = history.ops.copy()
    for index, seen in looks.items():
        backups = history.rows(index, Kind.BACKUP, Kind.OBSERVE_BACKUP, outcome=Outcome.OK)
        unread = backups if not (ops["version"][backups] >= 0).any() else backups[:0]
        for rows in (seen, unread):
            ops["version"][rows] = NO_VERSION
            ops["note_at"][rows[ops["kind"][rows] != Kind.BACKUP]] = -1
    final = tuple(
        replace(each, exists=True, version=NO_VERSION, content=b"") if index in looks else each
        for index, each in enumerate(history.final)
    )
    kept = replace(
        history, ops=ops, final=final, leftovers=tuple(path for path in history.leftovers if is_temporary(path))
    )
    return kept, [*doubts, _doubt(history, looks)]


def not_looked_into(history: History) -> list[Skipped]:
    """The backups that are in a form of the target's own: that they are versions of their files is not judged."""
    return [
        Skipped(
            Part.CHECKER,
            "backups",
            f"those of {history.files[index].path} begin with {name}; that each is there and unchanged is judged alone",
        )
        for index, (name, _) in _packed(history).items()
    ]


def _without_logs(history: History, tries: int) -> tuple[History, list[Finding]]:
    """The history in which logs that stay as they were are not judged, though appends to them were acknowledged."""
    ops, doubts, files = history.ops, list[Finding](), list(history.files)
    for index, facts in history.files_for("appends"):
        if not facts.elsewhere:
            continue
        looks = history.rows(index, Kind.READ, Kind.OBSERVE, outcome=Outcome.OK)
        made = history.rows(index, Kind.APPEND, outcome=Outcome.OK)
        lengths = {*ops["size"][looks].tolist(), *(len(each.content) for each in history.final[index : index + 1])}
        after = len(made) >= tries and ops["invoke"][looks] > ops["return"][made[tries - 1]]
        if np.count_nonzero(after) < tries or len(lengths) > 1 or len({*ops["digest"][looks].tolist()}) > 1:
            continue
        files[index] = replace(facts, checkers=facts.checkers - {"appends"})
        message = (
            f"The log {facts.path} stays as it was at the start, though {counted(len(made), 'append')} to it were "
            "acknowledged: the records go elsewhere, where nobody here looks, or nowhere. Have append write to the "
            "path that it is given; a log that is kept in another form can't be judged."
        )
        doubts.append(finding(history, "vacuity", NOT_JUDGED, facts, message, looks[-1:], verdict=Verdict.UNKNOWN))
    return replace(history, files=tuple(files)), doubts


def _without_backups(history: History) -> History:
    packed = _packed(history)
    if not packed:
        return history
    ops = history.ops.copy()
    for _, rows in packed.values():
        ops["version"][rows] = NO_VERSION
    return replace(history, ops=ops)


def _packed(history: History) -> dict[int, tuple[str, Rows]]:
    """The documents whose backups begin alike and are none of them JSON, with what, and the rows of these; an empty
    one is none of them.
    """
    found = {}
    for index, facts in enumerate(history.files):
        rows = history.rows(index, Kind.BACKUP, Kind.OBSERVE_BACKUP, outcome=Outcome.OK)
        rows = rows[history.ops["version"][rows] != ABSENT]
        if not len(rows) or not facts.form.is_document or (history.ops["version"][rows] != GARBAGE).any():
            continue
        notes = [note for note in history.notes_of(rows) if isinstance(note, BackupNote)]
        filled = np.array([bool(note.data or note.dropped) for note in notes], np.bool_)
        begin = {_head(note.data) for note in notes if note.data}
        if len(notes) == len(rows) and len(begin) == 1 and (name := begin.pop()):
            found[index] = name, rows[filled]
    return found


def _head(content: bytes) -> str:
    return next((name for head, name in _HEADS.items() if content.startswith(head)), "")


def _in_vain(history: History, index: int, facts: FileFacts) -> Rows:
    """The looks at a document of which no outsider ever found what was written; none where one did, or where the
    target's own reader, too, was given what is no document.
    """
    ops = history.ops
    looks = history.rows(index, Kind.OBSERVE, outcome=Outcome.OK)
    seen = ops["version"][looks]
    end = history.final[index].version if history.final else NO_VERSION
    found = (seen > INITIAL).any() or end > INITIAL
    given = ops["version"][history.rows(index, Kind.READ, outcome=Outcome.OK)]
    if not facts.form.is_document or facts.recovery is not None or found or (given == GARBAGE).any():
        return looks[:0]
    return looks


def _found_by_reader(history: History, index: int) -> int:
    """How often a process was given what another had written."""
    ops = history.ops
    reads = history.rows(index, Kind.READ, outcome=Outcome.OK)
    updates = history.rows(index, Kind.UPDATE, outcome=Outcome.OK)
    given = np.append(ops["version"][reads], ops["parent"][updates])
    process = np.append(ops["process"][reads], ops["process"][updates])
    return int(np.count_nonzero((given > INITIAL) & (given >> 32 != process)))


def _doubt(history: History, looks: dict[int, Rows]) -> Finding:
    ops = history.ops
    # Best told of a file in which there is something that is no document; then of one that does not change.
    odd = {index: rows[ops["version"][rows] == GARBAGE] for index, rows in looks.items()}
    still = {index: int(np.count_nonzero(ops["version"][rows] == INITIAL)) for index, rows in looks.items()}
    index = max(looks, key=lambda each: (len(odd[each]), still[each], len(looks[each])))
    facts = history.files[index]
    row = int(odd[index][0] if len(odd[index]) else looks[index][-1])
    what = what_lies_there(facts.path, int(ops["version"][row]), data_of(history.note(row)))
    message = (
        f"{what}, and yet the target's own reader finds what others wrote: {ADVICE}. What they saw was not judged."
    )
    count = sum(map(len, looks.values()))
    return finding(history, "vacuity", NOT_JUDGED, facts, message, [row], count=count, verdict=Verdict.UNKNOWN)


def what_lies_there(path: str, version: int, content: bytes) -> str:
    """What is at the path of a document that is elsewhere, in words: no document, or none that anybody wrote."""
    if version == GARBAGE:
        return f"The file {path} holds no JSON document ({_begins(content)})"
    return f"There is no file {path}" if version == ABSENT else f"The file {path} stays as it was at the start"


def _begins(content: bytes) -> str:
    if name := _head(content):
        return f"it begins with {name}"
    if not content:
        return "it is empty"
    start = content.lstrip().partition(b"\n")[0][:24].decode("utf-8", "replace")
    return f"it begins with {start!r}" if start.isprintable() else "it is not text"
