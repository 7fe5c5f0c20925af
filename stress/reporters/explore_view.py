"""What is shown while an exploration goes on: how many schedules, how fast, and what is reached so far."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stress.reporters.stream import is_watched

if TYPE_CHECKING:
    from stress.exploring.explore import Progress

_LINE_S = 5.0


@contextmanager
def view(*, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A function to be told of the progress: one line that changes, or on no terminal a line every five seconds."""
    stream = sys.stderr
    changes = is_watched(stream)
    width_max = shutil.get_terminal_size().columns - 1
    last_s = 0.0
    width = 0

    def watch(progress: Progress) -> None:
        nonlocal last_s, width
        if not changes and progress.elapsed_s - last_s < _LINE_S:
            return
        last_s = progress.elapsed_s
        rate = progress.schedules / max(progress.elapsed_s, 1e-9)
        line = (
            f"{progress.elapsed_s:.0f} s  {progress.schedules:,} schedules ({rate:,.0f}/s), "
            f"{progress.interleavings:,} different  {progress.case}"
        )
        line += f"  {progress.reached}" if progress.reached else ""
        if changes:
            stream.write(f"\r{line[:width_max]:<{width}}")
            width = min(len(line), width_max)
        else:
            stream.write(f"{line}\n")
        stream.flush()

    try:
        yield None if quiet else watch
    finally:
        if width:
            stream.write(f"\r{'':<{width}}\r")
            stream.flush()
