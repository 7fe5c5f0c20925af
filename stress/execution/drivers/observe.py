"""What a reader saw, examined: a version, or evidence kept byte for byte. Shared by workers in every language."""

from __future__ import annotations

import hashlib
import os
import zlib
from json import JSONDecodeError, dumps, loads  # as they are here: a target may put others into their module
from pathlib import Path
from typing import Any, NamedTuple

from stress.history.kinds import Outcome
from stress.history.notes import BackupNote, LogDelta, Note, ReturnedDocument, SeenBytes, data_of
from stress.history.record import ABSENT, GARBAGE, NO_VERSION
from stress.workload.payload import common_prefix, examine_document, parse_log

EVIDENCE_BYTES = 256 << 10
"""What is kept of one document that is no version."""
WORDS_MAX = 2000
"""Characters that are kept of what a target says: it may print megabytes."""


class Observation(NamedTuple):
    """The columns of a row that say what was seen."""

    version: int = NO_VERSION
    parent: int = NO_VERSION
    size: int = -1
    digest: int = -1
    note: Note | None = None
    outcome: Outcome = Outcome.OK
    held_from: int = 0
    held_to: int = 0

    @property
    def rare(self) -> bool:
        """Whether there is something in it that few operations have, for `Journal.attach`."""
        return self.digest >= 0 or self.version == GARBAGE or self.note is not None or self.held_from > 0


_ABSENT = Observation(ABSENT)


def read_file(path: str) -> bytes | None:
    """The bytes of a file, read until there are no more; None if there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        content = os.read(fd, 1 << 16)
        if len(content) < 1 << 16:
            # A short read is not the end of a file that somebody is rewriting: ask again, as `cat` does.
            rest = os.read(fd, 1 << 16)
            if not rest:
                return content
            content += rest
        parts = [content]
        while part := os.read(fd, 1 << 20):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def document_observation(document: object) -> Observation:
    """What a target's reader returned: a document, or None for no file."""
    if document is None:
        return _ABSENT
    version, parent, altered = examine_document(document)
    if version == GARBAGE or altered:
        return Observation(version, parent, note=ReturnedDocument(_dump(document)))
    return Observation(version, parent)


def unreadable_observation(error: Exception) -> Observation:
    """A reader that raised this has seen something that is no document; the error often holds it."""
    # JSONDecodeError has the text in `doc`, UnicodeDecodeError the bytes in `object`.
    seen = getattr(error, "doc", None) if isinstance(error, JSONDecodeError) else getattr(error, "object", None)
    data = (
        seen.encode("utf-8", "backslashreplace") if isinstance(seen, str) else seen if isinstance(seen, bytes) else b""
    )
    note = SeenBytes(data[:EVIDENCE_BYTES], f"{type(error).__name__}: {error}"[:WORDS_MAX])
    return Observation(GARBAGE, size=len(data) if data else -1, note=note)


class Parsed(NamedTuple):
    """What an outsider read: the bytes, and the document in them (None where there is none)."""

    content: bytes | None
    document: Any


def read_document(path: str) -> Parsed:
    """Read and parse a file, as any reader of a document does."""
    return parse_content(read_file(path))


def parse_content(content: bytes | None) -> Parsed:
    """The document in what was read; None: there was no file."""
    if content is None:
        return Parsed(None, None)
    try:
        return Parsed(content, loads(content))
    except (ValueError, RecursionError):
        return Parsed(content, None)


def parsed_observation(seen: Parsed) -> Observation:
    """What `read_document` returned."""
    content, document = seen
    if content is None:
        return _ABSENT
    version, parent, altered = examine_document(document)
    note = SeenBytes(content[:EVIDENCE_BYTES]) if version == GARBAGE or altered else None
    return Observation(version, parent, size=len(content), note=note)


def saved_observation(path: str) -> Observation:
    """A backup that a target says it has made at ``path``."""
    name = os.path.relpath(path) if os.path.isabs(path) else os.path.normpath(path)
    return backup_observation(name, read_file(path), made=True)


def backup_observation(name: str, content: bytes | None, *, made: bool) -> Observation:
    """A backup that holds ``content`` (None: it is not there); ``name`` is relative to the directory under test, and
    ``made`` says whether it is one that was just made, and not only read.
    """
    observation = parsed_observation(parse_content(content))
    digest = hashlib.sha256(content).hexdigest() if made and content is not None else ""
    return observation._replace(note=BackupNote(name, digest, data_of(observation.note)))


def newest_backup(path: str) -> str | None:
    """The backup of ``path`` that comes last in a listing by name, as `ls` shows it; None if there is none."""
    folder, base_name = os.path.split(path)
    try:
        found = [
            name for name in os.listdir(folder or ".") if name.startswith(base_name + ".") and name.endswith(".bak")
        ]
    except FileNotFoundError:
        return None
    return str(Path(folder, max(found))) if found else None


class Observer:
    """Memory of one process: for each shared file the content that it read last.

    A document that has not changed since is not examined again. Of a log only the bytes that are new are examined and
    kept.
    """

    def __init__(self) -> None:
        self._documents: dict[str, tuple[bytes, Observation]] = {}
        self._logs: dict[str, tuple[bytes, int, bool]] = {}  # path → content, CRC-32, whether it was whole

    def inspect(self, path: str, form: str, content: bytes | None) -> Observation:
        """Examine what was read of ``path``; ``form`` as in `stress.workload.scenario.SharedFile`."""
        if form == "log":
            return self._log(path, content)
        if content is None:
            return _ABSENT
        last, observation = self._documents.get(path, (b"", None))
        if observation is None or content != last:
            observation = parsed_observation(parse_content(content))
            self._documents[path] = content, observation
        return observation

    def inspect_backup(self, path: str) -> Observation:
        """Read the newest backup of ``path`` as an outsider."""
        backup = newest_backup(path)
        if backup is None:
            return _ABSENT
        return backup_observation(backup, read_file(backup), made=False)

    def _log(self, path: str, content: bytes | None) -> Observation:
        if content is None:
            return _ABSENT
        old, crc, whole = self._logs.get(path, (b"", 0, True))
        keep = len(old)
        if whole and content.startswith(old):
            crc = zlib.crc32(content[keep:], crc)
            _, end = parse_log(content, keep)
        else:
            keep = common_prefix(old, content)
            crc = zlib.crc32(content)
            _, end = parse_log(content)
        whole = end == len(content)
        changed = len(content) != len(old) or keep != len(old)
        self._logs[path] = (content, crc, whole)
        return Observation(
            NO_VERSION if whole else GARBAGE,
            size=len(content),
            digest=crc,
            note=LogDelta(keep, content[keep:]) if changed else None,
        )


def _dump(document: object) -> bytes:
    try:
        return dumps(document)[:EVIDENCE_BYTES].encode("utf-8", "backslashreplace")
    except (TypeError, ValueError, RecursionError):
        return repr(document)[:EVIDENCE_BYTES].encode("utf-8", "backslashreplace")
