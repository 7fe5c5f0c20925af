"""Where reports go: ``--report KIND=FILE``, looked at before the run and written after it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from stress.files import try_writing, write_text
from stress.options import UsageError
from stress.registry import close_names
from stress.reporters import registry

STDOUT = "-"
"""The file that is standard output."""

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
    wanted: list[Destination] = []
    texts = [part for value in values for part in _NEXT.split(value)]
    there_are = sorted((registry.load() if texts else ()) if kinds is None else kinds)
    for text in texts:
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
            if path != STDOUT:
                try_writing(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError("--report", text, f"can't be written: {reason}; give a file that can") from error
        wanted.append(Destination(kind, path))
    return wanted


def is_on_stdout(wanted: Iterable[Destination]) -> bool:
    """Whether one of them goes to standard output: whoever reads it reads nothing else there."""
    return any(each.path == STDOUT for each in wanted)


def write(destination: Destination, text: str) -> None:
    """Write one report; a reader of the file sees the old one or the new one. Raises OSError."""
    if destination.path == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(destination.path, text)
