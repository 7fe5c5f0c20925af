# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Put a damaged file right from its newest valid backup, and keep what was damaged."""

from __future__ import annotations

import os

from ._backup import BACKUP_END, CORRUPT_END, copies, keep_copy, keep_evidence
from ._errors import CannotCheck, display, failed
from ._lock import TIMEOUT_S
from ._paths import locate
from ._replace import Writer, read_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from ._backup import Copies
    from ._errors import Path
    from ._paths import Place


_FIELDS = ("status", "path", "restored_from", "evidence", "safety_backup", "rejected", "reason", "by_name")


class Recovery:
    """What :func:`recover` found and did.

    Attributes:
        status: ``"valid"`` (nothing to do), ``"restored"`` (was corrupt), ``"missing-restored"``, ``"missing"`` or
            ``"unrecoverable"`` (corrupt, and no valid backup).
        path: the file, as the caller gave it.
        restored_from: the backup that the content came from, or that it could come from when ``"missing"``.
        evidence: where the corrupt bytes are kept.
        safety_backup: the backup made because the caller asked for one.
        rejected: backups that were newer, but corrupt themselves.
        reason: why the file is not valid.
        by_name: whether the backups were told apart by the seconds in their names, because their modification times
            say nothing (a checkout or a restore has made them anew).
    """

    __slots__ = tuple(sorted(_FIELDS))
    status: str
    path: str
    restored_from: str | None
    evidence: str | None
    safety_backup: str | None
    rejected: tuple[str, ...]
    reason: str | None
    by_name: bool

    def __init__(
        self,
        status: str,
        path: str,
        restored_from: str | None = None,
        evidence: str | None = None,
        safety_backup: str | None = None,
        rejected: tuple[str, ...] = (),
        reason: str | None = None,
        by_name: bool = False,
    ) -> None:
        given = (status, path, restored_from, evidence, safety_backup, rejected, reason, by_name)
        for name, value in zip(_FIELDS, given, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Recovery is a value: it does not change")

    def __reduce__(self) -> tuple[Any, ...]:
        return Recovery, tuple(getattr(self, name) for name in _FIELDS)

    def __repr__(self) -> str:
        return f"Recovery({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"

    @property
    def ok(self) -> bool:
        """Whether the file is there and valid now."""
        return self.status in ("valid", "restored", "missing-restored")

    def report(self) -> str:
        """The same in words, one finding a line."""
        path = display(self.path)
        lines = []
        if self.status == "valid":
            lines.append(f"{path}: valid, nothing to do")
        elif self.status == "restored":
            lines.append(f"{path}: was corrupt ({self.reason})")
        elif self.status == "unrecoverable":
            lines.append(f"{path}: corrupt ({self.reason}), and no valid backup; left as it is")
        elif self.status == "missing" and self.restored_from is None:
            lines.append(f"{path}: missing, and no valid backup")
        else:
            lines.append(f"{path}: missing")
        lines += [f"  skipped backup {display(name)}: corrupt too" for name in self.rejected]
        if self.restored_from is not None and self.status == "missing":
            lines.append(
                f"  newest valid backup {display(self.restored_from)}: not restored, because it was not asked for"
            )
        elif self.restored_from is not None:
            lines.append(f"  restored from {display(self.restored_from)}")
        if self.restored_from is not None and self.by_name:
            lines.append("  the newest by its name, for the backups' modification times say nothing")
        if self.evidence is not None:
            lines.append(f"  the corrupt bytes are kept in {display(self.evidence)}")
        if self.safety_backup is not None:
            lines.append(f"  safety backup {display(self.safety_backup)}")
        return "\n".join(lines)


def recover(
    path: Path,
    *,
    validate: Callable[[bytes], object] | None = None,
    restore_missing: bool = False,
    backup: bool = False,
    durability: str = "full",
    timeout: float | None = TIMEOUT_S,
) -> Recovery:
    """Validate the file; if it is corrupt, keep its bytes aside and restore the newest *valid* backup.

    All of it under the file's lock: two that run at once do not restore twice, and a second run finds a valid file. A
    missing file is reported, with the backup that could be restored, and restored only with ``restore_missing``: its
    absence may be meant.

    Args:
        path: the file.
        validate: gets the bytes of the file and of backups; raises ``ValueError`` for (or returns ``False``) what is
            corrupt. By default a valid file is exactly one JSON value.
        restore_missing: also restore a file that is not there.
        backup: make a backup of the valid or restored file as well.
        durability: as for :func:`atomic_write_bytes`.
        timeout: seconds to wait for the lock; ``None`` waits for ever.

    Returns:
        Recovery, which says what was found and done; also when nothing could be.

    Raises:
        LockTimeout, CommittedNotDurable, OSError: as for :func:`atomic_write_bytes`. The corrupt bytes are kept first.
    """
    check = validate or _check_json
    with locate(path) as place:
        if place.stat() is None and not (restore_missing and copies(place, BACKUP_END)):  # no lock for a misspelt name
            return _missing(place, check)
    with Writer(path, durability, timeout, make_parents=False) as writer:
        data = writer.read(to_replace=False)
        reason = None if data is None else _why_corrupt(check, data, writer.given)
        named = os.fsdecode(writer.given)
        if data is not None and reason is None:
            return Recovery("valid", named, safety_backup=_backup(writer) if backup else None)
        there = copies(writer.place, BACKUP_END)
        good, content, rejected = _newest_valid(writer.place, there, check)
        source = None if good is None else os.fsdecode(writer.place.beside(good))
        by_name = there.by_name
        if data is None:
            if content is None or not restore_missing:
                return Recovery("missing", named, source, rejected=rejected, by_name=by_name)
            writer.replace(content, like=good)
            safe = _backup(writer) if backup else None
            return Recovery("missing-restored", named, source, None, safe, rejected, by_name=by_name)
        if content is not None:
            writer.check_permitted()  # before anything is made beside it
        evidence = _keep_evidence(writer, data)
        if content is None:
            return Recovery("unrecoverable", named, None, evidence, None, rejected, reason)
        writer.replace(content)
        safe = _backup(writer) if backup else None
        return Recovery("restored", named, source, evidence, safe, rejected, reason, by_name)


def _check_json(data: bytes) -> None:
    from ._json import why_not_json

    reason = why_not_json(data)
    if reason is not None:
        raise ValueError(reason)


def _why_corrupt(check: Callable[[bytes], object], data: bytes, name: object) -> str | None:
    try:
        return "refused by the validator" if check(data) is False else None
    except ValueError as error:
        return str(error)
    except CannotCheck as error:
        raise failed(error, name) from None


def _missing(place: Place, check: Callable[[bytes], object]) -> Recovery:
    there = copies(place, BACKUP_END)
    good, _, rejected = _newest_valid(place, there, check)
    source = None if good is None else os.fsdecode(place.beside(good))
    return Recovery("missing", os.fsdecode(place.given), source, rejected=rejected, by_name=there.by_name)


def _newest_valid(
    place: Place, there: Copies, check: Callable[[bytes], object]
) -> tuple[bytes | None, bytes | None, tuple[str, ...]]:
    """Name and content of the newest valid backup, and the newer ones that were not."""
    rejected: list[str] = []
    for copy in there:
        data = read_bytes(place, copy.name)
        if data is not None:
            name = os.fsdecode(place.beside(copy.name))
            if _why_corrupt(check, data, name) is None:
                return copy.name, data, tuple(rejected)
            rejected.append(name)
    return None, None, tuple(rejected)


def _keep_evidence(writer: Writer, data: bytes) -> str:
    """A copy of the corrupt bytes; the one there is, where an earlier run has kept the very same."""
    for copy in copies(writer.place, CORRUPT_END):
        if copy.size_bytes == len(data) and read_bytes(writer.place, copy.name) == data:
            return os.fsdecode(writer.place.beside(copy.name))
    return os.fsdecode(writer.place.beside(keep_evidence(writer)))


def _backup(writer: Writer) -> str:
    return os.fsdecode(writer.place.beside(keep_copy(writer, None, BACKUP_END)))
