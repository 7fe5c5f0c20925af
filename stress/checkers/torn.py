"""``torn``: what a reader saw is one complete document, or whole records; and a document that has to be there is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from stress.anomalies import GARBAGE_READ, LOST_FIELD, MISSING_READ, TORN_READ, Anomaly
from stress.checkers._columns import Rows
from stress.checkers._evidence import Diagnosis, diagnose, versions_named
from stress.checkers._words import did, excerpt, finding, parts, span, who
from stress.checkers.registry import checker
from stress.history.history import FileFacts, History
from stress.history.kinds import Format, Kind, Outcome, Recovery
from stress.history.notes import ReturnedDocument, SeenBytes, data_of, words_of
from stress.history.record import ABSENT, GARBAGE, format_version, parse_version
from stress.result import Details, Finding
from stress.units import counted
from stress.workload.log_replay import content_seen
from stress.workload.payload import parse_log

EXAMINED_MAX = 1000
"""Reads of one file whose bytes are looked at; those beyond are counted with the most common of these."""


@checker("torn")
def torn(history: History) -> Iterable[Finding]:
    """Torn, garbage and missing reads; files that are left torn."""
    for index, facts in history.files_for("torn"):
        if facts.recovery in (Recovery.RESTORE, Recovery.REFUSE):
            continue  # broken on purpose: `recovery` judges those
        if facts.form is Format.LOG:
            yield from _logs(history, index, facts)
            yield from _missing(history, index, facts, [])
        elif facts.form is Format.OTHER:
            yield from _invented(history, index, facts)
        else:
            yield from _documents(history, index, facts)
            yield from _altered(history, index, facts)


def _documents(history: History, index: int, facts: FileFacts) -> Iterator[Finding]:
    rows = history.rows(index, Kind.READ, Kind.OBSERVE, outcome=Outcome.OK)
    rows = rows[history.ops["version"][rows] == GARBAGE]
    found: dict[Anomaly, list[tuple[Diagnosis, int]]] = {}
    for row in rows[:EXAMINED_MAX].tolist():
        op = history.operation(row)
        diagnosis = diagnose(op.note, op.size)
        if diagnosis.anomaly is MISSING_READ and op.kind is Kind.OBSERVE:  # not a reader's default: what was there
            diagnosis = replace(diagnosis, anomaly=GARBAGE_READ)
        found.setdefault(diagnosis.anomaly, []).append((diagnosis, row))
    counts = Counter({anomaly: len(those) for anomaly, those in found.items()})
    if len(rows) > EXAMINED_MAX:
        counts[counts.most_common(1)[0][0]] += len(rows) - EXAMINED_MAX
    left = _left_broken(history, index, facts)
    for anomaly in (TORN_READ, GARBAGE_READ):
        if anomaly in found:
            yield _shown(history, index, facts, found[anomaly], counts[anomaly], left)
            left = None
    if left is not None:
        message = f"When all had ended the file held {left.what}. Nobody happened to read it so."
        yield finding(history, "torn", left.anomaly, facts, message, detail=left.details(), evidence=left.evidence())
    yield from _missing(history, index, facts, [row for _, row in found.get(MISSING_READ, ())])


def _shown(
    history: History,
    index: int,
    facts: FileFacts,
    those: list[tuple[Diagnosis, int]],
    count: int,
    left: Diagnosis | None,
) -> Finding:
    diagnosis, row = min(those, key=lambda each: (each[0].rank, each[1]))
    op = history.operation(row)
    said = "had its document read" if isinstance(op.note, ReturnedDocument) else "read the file"
    message = f"{who(history, op)} {said} at {span(history, op)} and saw {diagnosis.what}."
    detail = diagnosis.details()
    noted = words_of(op.note)
    if noted and noted not in message:
        detail += (("noted", noted[:300]),)
    if left is not None:
        detail += (("left so", f"when all had ended the file held {left.what}"),)
    writers = _writes(history, index, versions_named(diagnosis.content)[:4])
    if not writers:
        candidates = _candidates(history, index, row)
        failed = [each for each in candidates if history.ops["outcome"][each] != Outcome.OK]
        writers = (failed if failed and not diagnosis.content.strip() else candidates)[:2]
        detail += (("who", _whose(history, writers, len(candidates), emptied=not diagnosis.content.strip())),)
    return finding(
        history,
        "torn",
        diagnosis.anomaly,
        facts,
        message,
        [row, *writers],
        detail,
        count,
        evidence=diagnosis.evidence(),
        cause=diagnosis.cause,
    )


def _candidates(history: History, index: int, row: int) -> list[int]:
    """The changes that can have put there what ``row`` saw, those that ended next after it began first.

    They had begun before ``row`` was over, and were not over when somebody last began a read that found the document
    whole and was done before ``row`` began: what they did before that read was no longer, or not yet, there.
    """
    ops = history.ops
    reads = history.rows(index, Kind.READ, Kind.OBSERVE, outcome=Outcome.OK)
    whole = reads[(ops["version"][reads] >= 0) & (ops["return"][reads] < ops["invoke"][row])]
    since = int(ops["invoke"][whole].max()) if len(whole) else np.iinfo(np.int64).min
    rows = history.rows(index, Kind.WRITE, Kind.UPDATE, Kind.APPEND, Kind.RECOVER)
    candidates = rows[(ops["invoke"][rows] <= ops["return"][row]) & (ops["return"][rows] >= since) & (rows != row)]
    away = np.abs(ops["return"][candidates] - ops["invoke"][row])
    return [int(each) for each in candidates[np.argsort(away, kind="stable")]]


def _whose(history: History, shown: list[int], candidates: int, *, emptied: bool) -> str:
    """Who can have done it, in words: the bytes themselves name nobody."""
    if not shown:
        return "nobody knows: no change was in flight that can have done it"
    if emptied and history.ops["outcome"][shown[0]] != Outcome.OK:
        failed = did(history, history.operation(shown[0]))
        return f"perhaps a failed command whose output, which was empty, was put in place: {failed}"
    if candidates == 1:
        return f"the only one that can have done it: {did(history, history.operation(shown[0]))}"
    return f"one of the {candidates:,} changes that can have done it; nobody knows which"


def _altered(history: History, index: int, facts: FileFacts) -> Iterator[Finding]:
    """Whole documents whose fields are not what their own checksum, made by their writer, says."""
    ops = history.ops
    rows = history.rows(index, Kind.READ, Kind.OBSERVE, Kind.RECOVER, outcome=Outcome.OK)
    rows = rows[(ops["version"][rows] >= 0) & (ops["note_at"][rows] >= 0)]
    if not len(rows):
        return
    op = history.operation(int(rows[0]))
    version = format_version(op.version)
    message = (
        f"{who(history, op)} read the file at {span(history, op)} and saw the whole of {version}, but its fields are "
        f"not those that were written as {version}."
    )
    detail = (
        ("expected", "all fields as their writer had them"),
        ("seen", excerpt(_own_fields(data_of(op.note)), 0, 400)),
    )
    yield finding(
        history,
        "torn",
        LOST_FIELD,
        facts,
        message,
        [int(rows[0]), *_writes(history, index, [version])],
        detail,
        len(rows),
    )


def _own_fields(content: bytes) -> bytes:
    """A document without its padding, which says nothing of its fields."""
    return re.sub(rb'("pad": ?")[^"]*', rb"\1...", content)


def _writes(history: History, index: int, names: list[str]) -> list[int]:
    """The rows of the writes of these versions."""
    rows = history.rows(index, Kind.WRITE, Kind.UPDATE, Kind.APPEND)
    versions = history.ops["version"][rows]
    return [int(row) for name in names for row in rows[versions == parse_version(name)][:1]]


def meanwhile(history: History, index: int, row: int, *more: Kind, at_most: int = 2) -> list[int]:
    """Changes to the file that went on while ``row`` did, those that ended next after it began first. Backups
    only read the file; for who reads one they are the ``more`` kinds that count.
    """
    ops = history.ops
    rows = history.rows(index, Kind.WRITE, Kind.UPDATE, Kind.APPEND, Kind.RECOVER, *more)
    near = (ops["invoke"][rows] <= ops["return"][row]) & (ops["return"][rows] >= ops["invoke"][row]) & (rows != row)
    found = rows[near]
    return [int(each) for each in found[np.argsort(ops["return"][found], kind="stable")][:at_most]]


def _left_broken(history: History, index: int, facts: FileFacts) -> Diagnosis | None:
    if not history.final or history.final[index].version != GARBAGE or facts.initial == GARBAGE:
        return None
    content = history.final[index].content
    diagnosis = diagnose(SeenBytes(content), len(content))
    return replace(diagnosis, anomaly=GARBAGE_READ) if diagnosis.anomaly is MISSING_READ else diagnosis


def _missing(history: History, index: int, facts: FileFacts, defaults: list[int]) -> Iterator[Finding]:
    """No document seen where there had to be one: ``defaults`` are rows of readers that gave an empty one."""
    ops = history.ops
    rows = history.rows(index, Kind.READ, Kind.OBSERVE, outcome=Outcome.OK)
    rows = np.sort(np.append(rows[ops["version"][rows] == ABSENT], np.array(defaults, np.intp)))
    writes = history.rows(index, Kind.WRITE, Kind.UPDATE, Kind.APPEND, outcome=Outcome.OK)
    first = int(writes[np.argmin(ops["return"][writes])]) if len(writes) else -1
    if facts.initial in (ABSENT, GARBAGE):
        rows = rows[ops["invoke"][rows] > ops["return"][first]] if first >= 0 else rows[:0]
    gone = bool(history.final) and not history.final[index].exists
    gone = gone and (facts.initial != ABSENT or first >= 0)
    if facts.initial in (ABSENT, GARBAGE) and first >= 0:
        had = f"{did(history, history.operation(first))} and it was acknowledged"
    else:
        first, had = -1, "it was there before the run, and nobody was to remove it"
    if len(rows):
        op = history.operation(int(rows[0]))
        how = "no file" if op.kind is Kind.OBSERVE else "no document: there was no file, or its reader fell back"
        message = f"{who(history, op)} read the file at {span(history, op)} and found {how}, although {had}."
        detail = (("left so", "when all had ended there was no file"),) if gone else ()
        witness = [int(rows[0]), first, *meanwhile(history, index, int(rows[0]))]
        yield finding(history, "torn", MISSING_READ, facts, message, witness, detail, len(rows))
    elif gone:
        yield finding(history, "torn", MISSING_READ, facts, f"When all had ended there was no file, although {had}.")


def _invented(history: History, index: int, facts: FileFacts) -> Iterator[Finding]:
    """A file that never holds a document: a reader that returns one has made it up."""
    ops = history.ops
    rows = history.rows(index, Kind.READ, Kind.OBSERVE, outcome=Outcome.OK)
    written = ops["version"][history.rows(index, Kind.WRITE, Kind.UPDATE)]
    seen = ops["version"][rows]
    rows = rows[(seen >= 0) & ~np.isin(seen, written)]
    if len(rows):
        op = history.operation(int(rows[0]))
        message = (
            f"{who(history, op)} read the file at {span(history, op)} and got the document "
            f"{format_version(op.version)}, but the file never held one."
        )
        yield finding(history, "torn", GARBAGE_READ, facts, message, rows[:1], count=len(rows))


def garbled_first(history: History, index: int, rows: Rows) -> tuple[str, list[int], Details]:
    """The first of these reads of a log, which found bytes that belong to no whole record: what it saw in a sentence,
    the rows that show it, and the details.
    """
    ops = history.ops
    row = int(rows[np.argmin(ops["return"][rows])])
    op = history.operation(row)
    content = content_seen(history, row)
    detail: Details = (("expected", "whole records to the end of the log"),)
    names: list[str] = []
    if content is not None:
        at = parse_log(content)[1]
        names += [match.decode("latin-1") for match in content[at : at + 80].split(b" ")[1:2] if match[:1] == b"p"]
        what = f"bytes from offset {at:,} of {counted(len(content), 'byte')} on that belong to no record"
        behind = content[at : at + (128 << 10)]
        whose = parts(behind)
        detail += (("seen", excerpt(content, at)), *((("parts", whose),) if whose else ()))
        names += versions_named(behind)
    else:
        what = f"bytes that belong to no record among {counted(op.size, 'byte')} (they were not kept)"
    message = f"{who(history, op)} read the log at {span(history, op)} and saw {what}."
    return message, [row, *_writes(history, index, list(dict.fromkeys(names))[:4])], detail


def garbled(history: History, index: int) -> Rows:
    """The reads of a log that found bytes which belong to no whole record."""
    rows: Rows = history.rows(index, Kind.READ, Kind.OBSERVE, outcome=Outcome.OK)
    found: Rows = rows[history.ops["version"][rows] == GARBAGE]
    return found


def _logs(history: History, index: int, facts: FileFacts) -> Iterator[Finding]:
    rows = garbled(history, index)
    if len(rows):
        yield finding(history, "torn", TORN_READ, facts, *garbled_first(history, index, rows), len(rows))
