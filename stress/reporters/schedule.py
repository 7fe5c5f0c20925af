"""An exploration, for people: the schedule that failed as a table, what it needs, and what was not scheduled."""

from __future__ import annotations

from collections.abc import Iterator

from stress.result import Exploration


def schedule_lines(exploration: Exploration, *, quiet: bool = False) -> Iterator[str]:
    """Lines of text; times of the findings above are steps, a millisecond each."""
    if exploration.table:
        yield ""
        yield "The schedule, a file syscall a line; where times are told, a step is a millisecond:"
        yield ""
        yield from exploration.table
    if exploration.critical:
        yield ""
        yield f"It fails because {exploration.critical}."
    if exploration.file:
        yield ""
        yield f"Kept: {exploration.file}"
    if not quiet:
        yield ""
        yield f"Not scheduled: {exploration.invisible}."
