# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Write text or bytes to a file as a whole."""

from __future__ import annotations

import os

from . import _carriers
from ._errors import CannotCheck
from ._lock import TIMEOUT_S
from ._replace import Writer, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._errors import Path


def atomic_write_text(
    text: str,
    target_path: Path,
    *,
    durability: str = "full",
    if_version: str | None = None,
    timeout: float | None = TIMEOUT_S,
    validate: bool = True,
) -> None:
    """Replace the file's content by ``text``, in UTF-8 and as it is (no newline is added or translated).

    A text with a lone surrogate is a ``ValueError``. Everything else is as in :func:`atomic_write_bytes`.
    """
    atomic_write_bytes(
        encode(text), target_path, durability=durability, if_version=if_version, timeout=timeout, validate=validate
    )


def atomic_write_bytes(
    data: bytes,
    target_path: Path,
    *,
    durability: str = "full",
    if_version: str | None = None,
    timeout: float | None = TIMEOUT_S,
    validate: bool = True,
) -> None:
    """Replace the file's content by ``data``: readers, and whoever comes after a crash, find the old or the new one.

    Under the file's lock (see :func:`file_lock`). An existing file keeps its mode and, where permitted, owner, group
    and extended attributes; a new one gets 0666 less the umask. A symlink stays, and what it leads to is replaced.
    Missing parent directories are made.

    Args:
        data: the new content. Where the target's name ends in ``.json`` it has to be one JSON value.
        target_path: the file to replace or to make.
        durability: ``"full"`` syncs the file and its directory: once this returns, the content survives a power loss.
            ``"file"`` syncs the file only: the old or the new content survives. ``"none"`` syncs nothing.
        if_version: replace only if the file has this version (see :func:`read_json`); ``ABSENT`` only makes a new file.
        timeout: seconds to wait for the lock; ``None`` waits for ever.
        validate: ``False`` leaves a ``.json`` target's content unchecked.

    Raises:
        ValueError: the content does not fit the target; nothing was touched.
        LockTimeout, VersionConflict: as they say; nothing was changed.
        CommittedNotDurable: the target has the new content, but the directory could not be synced.
        OSError: anything else that failed; the target is unchanged. Source: rename(2), fsync(2).
    """
    if data.__class__ is not bytes:  # a buffer, whose items may be wider than bytes, and may change meanwhile
        data = bytes(memoryview(data))
    if validate:
        check_json_target(data, target_path)
    check_link = (lambda name: check_json_target(data, name)) if validate else None
    with Writer(target_path, durability, timeout, check_link=check_link) as writer:
        if if_version is not None:
            writer.expect(if_version)
        writer.replace(data)


def check_json_target(data: bytes, path: Path) -> None:
    """Raise ValueError where ``path`` is named ``.json`` and ``data`` is not one JSON value."""
    name = os.fspath(path)
    if name.endswith(".json") if isinstance(name, str) else name.endswith(b".json"):
        with _carriers.fork_guard: from ._json import why_not_json  # fmt: skip  # noqa: E701, I001

        try:
            reason = why_not_json(data)
        except CannotCheck as unknown:
            reason = unknown.strerror
        if reason is not None:
            error = ValueError(f"a .json file holds exactly one JSON value, and this is none: {reason}")
            error.__dict__["todo"] = "write one JSON value, in UTF-8"
            raise error
