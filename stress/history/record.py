"""One operation of one process: what the journal stores and what the checkers read.

Times are ``CLOCK_MONOTONIC`` nanoseconds, read just before the call and just after it. Outcomes are those of
Jepsen: ``ok``; ``fail``, it certainly did not happen; ``info``, unknown. ``open`` stands in a journal alone:
the operation was invoked and its process never came back to say how it ended.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from stress.history.kinds import Kind, Language, Outcome
from stress.history.notes import Note

# A version is one 64-bit number: process << 32 | sequence. Processes count from 1, so 0 is free for what the
# file held before the run, and negative numbers for what is no version at all.
INITIAL = 0
ABSENT = -1  # no file, or the reader fell back to its default
GARBAGE = -2  # bytes or a document that are not one complete version; the note holds them
NO_VERSION = -3  # the operation has none, or it could not be learnt

_WORDS = {INITIAL: "initial", ABSENT: "absent", GARBAGE: "garbage", NO_VERSION: "-"}

RECORD = np.dtype(
    [
        ("process", "<i4"),  # from 1, a new one for each process, also for one that replaces a killed one
        ("seq", "<i4"),  # the process's own count of operations, from 1
        ("kind", "u1"),
        ("outcome", "u1"),
        ("language", "u1"),
        ("scenario", "u1"),  # index into History.scenarios
        ("file", "<i4"),  # index into History.files
        ("version", "<i8"),  # written (write, update, append) or seen (read, observe, backup, recover)
        ("parent", "<i8"),  # the version that an update, or the document seen, started from
        ("invoke", "<i8"),  # ns
        ("return", "<i8"),  # ns; 0 while open
        ("held_from", "<i8"),  # ns, from inside the critical section; 0: no lock was claimed
        ("held_to", "<i8"),
        ("size", "<i8"),  # bytes seen or written; -1: not known
        ("digest", "<i8"),  # CRC-32 of the bytes of a log that were seen; -1: none
        ("note_at", "<i8"),  # where the note begins in the process's notes; -1: none
        ("note_size", "<i4"),
        ("reserved", "<i4"),
    ]
)


def version_of(process: int, seq: int) -> int:
    """The version that operation ``seq`` of ``process`` writes."""
    return process << 32 | seq


def format_version(version: int) -> str:
    """``p3.12`` for operation 12 of process 3, or the word for what is no version (``initial``, ``absent``, …)."""
    word = _WORDS.get(version)
    return word if word is not None else f"p{version >> 32}.{version & 0xFFFFFFFF}"


@functools.lru_cache(4096)
def parse_version(text: object) -> int:
    """The inverse of `format_version`; anything that is not a version's text gives `GARBAGE`."""
    if text == "initial":
        return INITIAL
    if isinstance(text, str) and text[:1] == "p":
        process, dot, seq = text[1:].partition(".")
        if dot and process.isascii() and seq.isascii() and process.isdigit() and seq.isdigit():
            number = version_of(int(process), int(seq))
            if len(text) < 24 and format_version(number) == text:
                return number
    return GARBAGE


@dataclass(unsafe_hash=True, slots=True)  # nobody changes it; a frozen one takes several times as long to make
class Operation:
    """One operation, unpacked: the form in which tests write histories and witnesses show them."""

    process: int
    kind: Kind
    file: int = 0
    version: int = NO_VERSION
    parent: int = NO_VERSION
    invoke: int = 0
    ret: int = 0
    outcome: Outcome = Outcome.OK
    seq: int = 0
    language: Language = Language.PYTHON
    scenario: int = 0
    held_from: int = 0
    held_to: int = 0
    size: int = -1
    digest: int = -1
    note: Note | None = None
    """What was noted with it: an error, a backup's path, what was seen where that is no known version."""
