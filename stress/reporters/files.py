"""Where reports go: ``--report KIND=FILE``, looked at before the run and written after it.

Plain system calls, on purpose: no evidence goes through the helpers under test.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stress.plan import UsageError
from stress.registry import close_names
from stress.reporters import registry
from stress.result import Result

__all__ = ["Destination", "destinations", "write_report"]

_NEXT = re.compile(r",(?=[a-z][a-z0-9-]*=)")


@dataclass(frozen=True, slots=True)
class Destination:
    """One report that is wanted: its kind, and the file it goes to."""

    kind: str
    path: str


def destinations(values: Iterable[str], kinds: Iterable[str] | None = None) -> list[Destination]:
    """Read the values of ``--report``, and see that each file can be written; raises `UsageError` before any run.

    A value is ``KIND=FILE``, or several with commas between them. ``kinds``: the only ones that there are; None: all
    that are registered.
    """
    there_are = list(registry.load()) if kinds is None else sorted(kinds)
    wanted: list[Destination] = []
    for text in [part for value in values for part in _NEXT.split(value)]:
        kind, equals, path = text.partition("=")
        if not (kind and equals and path):
            raise UsageError(
                "--report", text, f"is not KIND=FILE; kinds: {', '.join(there_are)}; such as --report json=r.json"
            )
        if kind not in there_are:
            advice = f"can't be made: no kind of report is named {kind!r}{close_names(kind, there_are)}"
            raise UsageError("--report", text, advice)
        if any(os.path.realpath(path) == os.path.realpath(other.path) for other in wanted):
            raise UsageError("--report", text, "names a file that another report goes to; give each its own")
        try:
            _try(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError("--report", text, f"can't be written: {reason}; give a file that can") from error
        wanted.append(Destination(kind, path))
    return wanted


def write_report(destination: Destination, result: Result) -> None:
    """Write one report; a reader of the file sees the old one or the new one. Raises OSError."""
    write_text(destination.path, registry.load().get(destination.kind)(result))


def write_text(path: str, text: str) -> None:
    """Write ``text`` to ``path`` through a new file beside it; a pipe or a device is written to as it is."""
    content = text.encode("utf-8", "backslashreplace")
    if _is_stream(path):
        with open(path, "ab") as stream:
            stream.write(content)
        return
    real = Path(os.path.realpath(path))
    beside, fd = _new_file_beside(real)
    try:
        with open(fd, "wb") as file:
            file.write(content)
        os.replace(beside, real)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _try(path: str) -> None:
    if os.path.isdir(path):
        raise IsADirectoryError(None, "it is a directory")
    if _is_stream(path):
        if not os.access(path, os.W_OK):
            raise PermissionError(None, "Permission denied")
        return
    real = Path(os.path.realpath(path))
    beside, fd = _new_file_beside(real)
    os.close(fd)
    beside.unlink()


def _is_stream(path: str) -> bool:
    """Whether there is something that is no file of its own: a pipe, a device, or a descriptor of ours."""
    ours = path.startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/"))
    return ours or (os.path.exists(path) and not os.path.isfile(path))


def _new_file_beside(real: Path) -> tuple[Path, int]:
    beside = real.with_name(f".{real.name[:100]}.{secrets.token_hex(4)}")
    return beside, os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
