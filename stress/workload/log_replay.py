"""What each process saw of a log, replayed from the differences that were noted with its reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stress.history.history import History
from stress.history.notes import LogDelta
from stress.history.record import ABSENT
from stress.workload.payload import parse_records


@dataclass(frozen=True, slots=True)
class Records:
    """A log's content: the versions of its whole records in order, and the spans of bytes that belong to none."""

    versions: list[int]
    ends: list[int]
    """The offsets at which these records end."""
    torn: list[tuple[int, int]]


def records_of(content: bytes) -> Records:
    """All whole records, also those behind a torn one."""
    versions, ends = parse_records(content)
    torn: list[tuple[int, int]] = []
    at = ends[-1] if ends else 0
    while at < len(content):
        start = at
        while (at := content.find(b"=== p", at + 1)) >= 0:
            more, there = parse_records(content, at)
            if more:
                versions += more
                ends += there
                torn.append((start, at))
                at = there[-1]
                break
        else:
            torn.append((start, len(content)))
            break
    return Records(versions, ends, torn)


@dataclass(slots=True)
class LogView:
    """What one process saw last. ``content`` goes on being changed: copy what is to be kept."""

    row: int
    content: bytearray
    known: bool = True
    """False once bytes were seen that were not kept."""
    kept: int = 0
    """How many first bytes are the same as in the read before."""


def replay_log(history: History, rows: Iterable[int]) -> Iterator[LogView]:
    """The log's content at each read by one process, in order.

    A read's note holds only how the content differs from that process's read before, so the notes are replayed from
    the first. ``rows`` are therefore all acknowledged reads of the log by the process.
    """
    view = LogView(-1, bytearray())
    ops = history.ops
    for row in rows:
        view.row = int(row)
        if ops["version"][row] == ABSENT:
            continue
        delta = history.note(view.row)
        view.kept = len(view.content)
        if isinstance(delta, LogDelta):
            view.kept = delta.keep
            view.known = (view.known or view.kept == 0) and not delta.dropped
            del view.content[view.kept :]
            view.content += delta.data
            view.known = view.known and len(view.content) == ops["size"][row]
        yield view
