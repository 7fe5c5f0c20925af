"""Append text to a file: the whole file replaced or, for logs, in place."""

from __future__ import annotations

import os

from ._copy import copy_content
from ._lock import TIMEOUT_S
from ._replace import Writer, write_all
from ._write import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._errors import Path

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def atomic_append_text(
    text: str,
    target_path: Path,
    *,
    in_place: bool = False,
    durability: str = "full",
    timeout: float | None = TIMEOUT_S,
) -> None:
    """Append ``text`` in UTF-8, as it is, under the file's lock: every append that returned is there, exactly once."""
    data = encode(text)
    with Writer(target_path, durability, timeout) as writer:
        append_whole(writer, data)


def append_whole(writer: Writer, data: bytes) -> None:
    place = writer.place
    try:
        source = os.open(place.name, _READ, dir_fd=place.fd) if place.stat() else -1
    except FileNotFoundError:
        source = -1

    def fill(fd: int) -> None:
        if source >= 0:
            copy_content(source, fd)
        write_all(fd, data)

    try:
        writer.replace(fill)
    finally:
        if source >= 0:
            os.close(source)
