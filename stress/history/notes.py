"""What is noted with an operation besides its numbers: an error, bytes that were seen, where a backup is.

A note is one of a closed set of values, each of which says what it is; nothing about it is told from its words. In a
journal it is one byte for its kind, and then its fields (`encode`, `decode`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ErrorNote:
    """Why an operation failed, or why its outcome is unknown: the words of the target or of the harness."""

    text: str
    errno: int = 0
    """What the system said, where it is known: a number of errno(3)."""


@dataclass(frozen=True, slots=True)
class LogDelta:
    """What a read of a log saw, as its difference to what the same process saw of it before."""

    keep: int
    """How many first bytes are the same as before."""
    data: bytes
    """The bytes behind those."""
    dropped: int = 0
    """Bytes that belong into ``data`` and were not kept, as its process had noted too much already."""


@dataclass(frozen=True, slots=True)
class BackupNote:
    """A backup that was made or read."""

    path: str
    """Relative to the directory under test."""
    digest: str = ""
    """SHA-256 of its bytes right after it was made; empty where it was not there, or was only read."""
    data: bytes = b""
    """Its bytes, where they are no complete document."""
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class SeenBytes:
    """Bytes that a reader saw: no complete document or, with a version, one whose fields are not that version's."""

    data: bytes
    error: str = ""
    """What the reader said of them, where it is the target's own."""
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class ReturnedDocument:
    """The same for a value that the target's own reader returned."""

    data: bytes
    """The value as JSON, or as Python writes it where it has none."""
    dropped: int = 0


Note: TypeAlias = ErrorNote | LogDelta | BackupNote | SeenBytes | ReturnedDocument

_KINDS: dict[str, type[Note]] = {
    "error": ErrorNote,
    "log": LogDelta,
    "backup": BackupNote,
    "seen": SeenBytes,
    "returned": ReturnedDocument,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_TAGS: tuple[type[Note], ...] = (ErrorNote, LogDelta, BackupNote, SeenBytes, ReturnedDocument)
"""The byte that stands for each is its place. It is in journals: add to the end, and change no other."""
_HEAD = struct.Struct("<Bqq")  # kind, LogDelta.keep or ErrorNote.errno, dropped


def words_of(note: Note | None) -> str:
    """What a note says in words: an error, or a backup's path; empty for bytes alone."""
    match note:
        case ErrorNote(text) | SeenBytes(_, text):
            return text
        case BackupNote(path):
            return path
        case ReturnedDocument():
            return "the reader returned this document"
    return ""


def data_of(note: Note | None) -> bytes:
    """The bytes that a note holds; of a log those that were new."""
    return b"" if note is None or isinstance(note, ErrorNote) else note.data


def without_data(note: Note) -> Note:
    """The same without its bytes, whose number it tells."""
    return note if isinstance(note, ErrorNote) else replace(note, data=b"", dropped=note.dropped + len(note.data))


def encode(note: Note) -> bytes:
    """A note as the bytes of a journal; `decode` is the inverse, but for NUL in words, which becomes ``?``."""
    keep, words, digest, data, dropped = 0, "", "", b"", 0
    match note:
        case ErrorNote(words, keep):
            pass
        case LogDelta(keep, data, dropped):
            pass
        case BackupNote(words, digest, data, dropped):
            pass
        case SeenBytes(data, words, dropped):
            pass
        case ReturnedDocument(data, dropped):
            pass
    texts = b"".join(text.encode("utf-8", "backslashreplace").replace(b"\0", b"?") + b"\0" for text in (words, digest))
    return _HEAD.pack(_TAGS.index(type(note)), keep, dropped) + texts + data


def decode(blob: bytes) -> Note:
    """The note whose bytes these are; raises ValueError if they are none."""
    parts = blob[_HEAD.size :].split(b"\0", 2)
    if len(parts) < 3 or blob[0] >= len(_TAGS):
        raise ValueError(f"{blob[:40]!r} is no note of a journal")
    tag, keep, dropped = _HEAD.unpack_from(blob)
    words, digest, data = parts
    kind = _TAGS[tag]
    if kind is LogDelta:
        return LogDelta(keep, data, dropped)
    if kind is BackupNote:
        return BackupNote(words.decode("utf-8"), digest.decode("utf-8"), data, dropped)
    if kind is SeenBytes:
        return SeenBytes(data, words.decode("utf-8"), dropped)
    return ReturnedDocument(data, dropped) if kind is ReturnedDocument else ErrorNote(words.decode("utf-8"), keep)


def to_plain(note: Note) -> dict[str, str | int]:
    """A note as values of JSON: its kind, and those of its fields that are not their default, bytes as Latin-1."""
    plain: dict[str, str | int] = {"kind": _NAMES[type(note)]}
    for field in fields(note):
        value = getattr(note, field.name)
        if value != field.default:
            plain[field.name] = value.decode("latin-1") if isinstance(value, bytes) else value
    return plain


def from_plain(plain: Mapping[str, str | int]) -> Note:
    """The inverse of `to_plain`; raises KeyError and TypeError for what is none."""
    kind = _KINDS[str(plain["kind"])]
    values: dict[str, object] = {name: value for name, value in plain.items() if name != "kind"}
    if kind is not ErrorNote:
        values["data"] = str(plain.get("data", "")).encode("latin-1")
    return kind(**values)  # type: ignore[arg-type]
