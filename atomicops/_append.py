# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Append text to a file: the whole file replaced or, for logs, in place."""

from __future__ import annotations

import os

from ._copy import copy_content
from ._errors import failed
from ._inplace import append_in_place, keep_tail, torn_at
from ._lock import TIMEOUT_S
from ._replace import Writer, encode, write_all
from ._write import check_json_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._errors import Path


def atomic_append_text(
    text: str,
    target_path: Path,
    *,
    in_place: bool = False,
    durability: str = "full",
    timeout: float | None = TIMEOUT_S,
) -> None:
    """Append ``text`` to the file, in UTF-8 and as it is. Every append that returned is there, exactly once.

    Under the file's lock. As a rule the whole file is replaced, so that a reader never sees half a line; the kernel
    copies what was there (and shares it, where the file system can). A missing file, and missing parent directories,
    are made.

    Args:
        text: what to append; no newline is added.
        target_path: the file.
        in_place: for append-only logs: write at the end of the file that is there, at a cost that does not depend on
            its size. A reader may then see the first part of a text whose write is under way. A failed append is cut
            off again. So is, by the next append, what a killed process or a power loss has left of one: recognised by
            a mark (an extended attribute) set before and removed after, never by what the text looks like; the bytes
            cut off are kept in ``{file}.{seconds}.corrupt``. Where the file system has no such attributes, the file is
            replaced.
        durability, timeout: as for :func:`atomic_write_bytes`.

    Raises:
        ValueError: a lone surrogate, or a ``.json`` file that would no longer be one JSON value; nothing was touched.
        LockTimeout, CommittedNotDurable, OSError: as for :func:`atomic_write_bytes`. Source: write(2),
            copy_file_range(2).
    """
    append_bytes(encode(text), target_path, in_place, durability, timeout)


def append_bytes(data: bytes, target_path: Path, in_place: bool, durability: str, timeout: float | None) -> None:
    with Writer(target_path, durability, timeout) as writer:
        _check(writer, data, in_place)
        if not (in_place and append_in_place(writer, data, timeout)):
            _append_whole(writer, data)


def _append_whole(writer: Writer, data: bytes) -> None:
    source = writer.open()
    if source is None:
        writer.replace(data)
        return
    try:
        try:
            size = os.fstat(source.fileno()).st_size
        except OSError as error:
            raise failed(error, writer.given, "reading it") from None
        end = torn_at(source.fileno(), size)
        if end < size:
            keep_tail(writer, source.fileno(), end, size)
        writer.replace(lambda fd: _fill(fd, source.fileno(), end, data))
    finally:
        source.close()


def _fill(fd: int, source: int, end: int, data: bytes) -> None:
    copy_content(source, fd)
    if os.fstat(fd).st_size > end:  # without what an in-place append left that was killed
        os.ftruncate(fd, end)
        os.lseek(fd, end, os.SEEK_SET)
    write_all(fd, data)


def _check(writer: Writer, data: bytes, in_place: bool) -> None:
    names = (os.fsencode(writer.given), writer.place.name)
    if any(name.endswith(b".json") for name in names):
        check_json_target((writer.read(to_replace=not in_place) or b"") + data, b".json")
