"""A run while it goes on: a live table in a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stress.execution.progress import Phase, Progress
from stress.plan import Plan, readers_of
from stress.reporters.table import columns_of, table
from stress.units import counted, format_duration, format_rate


class View:
    """What is shown of a run under way: here nothing. Used as a context manager; `watch` is what the engine calls."""

    watch: Callable[[Progress], None] | None = None
    """Shows how far the run has come; None where nobody looks, and following it is spared."""

    def __enter__(self) -> View:
        """Begin; nothing is shown before the first `watch`."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave the terminal as it was."""


class LiveView(View):
    """The live table. It has no thread of its own, as the engine forks: it is drawn when `watch` is called."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console, self._plan = console, plan
        self._live: Live | None = None
        self._last: Progress | None = None

    def __exit__(self, *exc: object) -> None:
        """Take the table away, and show the cursor again."""
        if self._live is not None:
            self._live.stop()

    def watch(self, progress: Progress) -> None:
        """Draw."""
        if self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )
            self._live.start()
        # While the checkers work there are no new figures: the last ones stay.
        self._last = progress if progress.kinds or self._last is None else self._last
        size = self._console.size
        self._live.update(frame(self._plan, self._last, progress.phase, size.width, size.height), refresh=True)


class LineView(View):
    """A line when it starts, one every ``every_s`` seconds, and one when the checkers begin: of a run in stages one for
    each stage, and no other.
    """

    def __init__(self, write: Callable[[str], None], plan: Plan, every_s: float = 10.0) -> None:
        self._write, self._plan, self._every_s = write, plan, every_s
        self._next_s = every_s
        self._phase: Phase | None = None
        self._last = Progress(Phase.STARTING)

    def watch(self, progress: Progress) -> None:
        """Write a line, if it is time for one."""
        if not self._phase:
            self._write(headline(self._plan, progress))
        if progress.phase is not Phase.CHECKING:
            self._last = progress
        if progress.phase is Phase.CHECKING is not self._phase:
            self._write(f"{progress_line(self._last)}; checking it" if progress.stage else "checking what was done")
        elif progress.stage == 0 and progress.elapsed_s >= self._next_s and progress.phase is Phase.RUNNING:
            self._next_s = progress.elapsed_s + self._every_s
            self._write(progress_line(progress))
        self._phase = progress.phase


def headline(plan: Plan, progress: Progress) -> str:
    """What runs, on one line."""
    writers = progress.writers or plan.writers
    readers = progress.readers or readers_of(plan.writers, plan.readers)
    return (
        f"{', '.join(plan.scenarios)} with {plan.target}: {counted(writers, 'writer')}, "
        f"{counted(readers, 'reader')}, {_until(plan)}, seed {plan.seed}"
    )


def _until(plan: Plan) -> str:
    ends = [] if plan.duration_s is None else [format_duration(plan.duration_s)]
    if plan.ops is not None:
        ends.append(counted(plan.ops, "operation"))
    return " or ".join(ends)


def progress_line(progress: Progress) -> str:
    """How far it has come, on one line."""
    rate = sum(progress.per_s.values())
    stage = ""
    if progress.stage:
        stage = f"stage {progress.stage}{f' of {progress.stages}' if progress.stages else ''}: "
    return (
        f"{stage}{progress.elapsed_s:.1f} s{_left(progress)}: "
        f"{counted(progress.total, 'operation')}, {format_rate(rate)}/s, "
        f"{progress.mean_in_flight:.1f} in flight, {counted(progress.kills, 'kill')}, {_violations(progress)}"
    )


def _left(progress: Progress) -> str:
    """How much there is to do yet, where that is known."""
    left = []
    if progress.duration_s is not None:
        left.append(f"{format_duration(round(max(0.0, progress.duration_s - progress.elapsed_s), 1))} left")
    if progress.ops is not None:
        left.append(f"{max(0, progress.ops - progress.total):,} operations left")
    return f", {' or '.join(left)}" if left else ""


def _violations(progress: Progress) -> str:
    ranked = sorted(progress.violations.items(), key=lambda item: item[0].rank)
    found = ", ".join(f"{name} ×{count:,}" for name, count in ranked)
    return f"{found or 'no violation seen so far'}; most kinds are judged at the end"


_ROOMY = 4
"""Lines above which a blank one is no waste."""


def frame(plan: Plan, progress: Progress, phase: Phase, width: int, height: int | None = None) -> RenderableType:
    """One picture of the live view, in so many columns and lines (None: as many as are needed).

    A low terminal loses the last rows of the table, then the hint, then what is in flight; a narrow one columns of the
    table (`stress.reporters.table`), and the ends of lines, with an ellipsis.
    """
    one_line: dict[str, Any] = {"overflow": "ellipsis", "no_wrap": True}
    flight = f"{progress.mean_in_flight:.1f} operations in flight on average · {counted(progress.kills, 'kill')}"
    parts: list[RenderableType] = [
        Text(headline(plan, progress), style="bold", **one_line),
        _bar(progress, phase, width),
        Text(_violations(progress), style="bold red" if progress.violations else "green", **one_line),
    ]
    lines = [Text(flight, **one_line), Text("Ctrl-C ends it early, with a report", style="dim", **one_line)]
    free = None if height is None else height - len(parts)
    parts += lines if free is None else lines[: max(0, free - 1)]
    if columns := columns_of(progress.kinds, progress.per_s):
        free = None if height is None else height - len(parts)
        if free is None or free > _ROOMY:
            parts.append(Text())
            free = None if free is None else free - 1
        parts.append(table(columns, width, free))
    return Group(*parts)


def _bar(progress: Progress, phase: Phase, width: int) -> RenderableType:
    shares = []
    if progress.duration_s:
        shares.append(progress.elapsed_s / progress.duration_s)
    if progress.ops:
        shares.append(progress.total / progress.ops)
    words = {
        Phase.STARTING: "starting the workers",
        Phase.STOPPING: "letting operations under way end",
        Phase.CHECKING: "checking what was done",
    }.get(phase)
    if words is None:
        of = f" of {progress.duration_s:.1f}" if progress.duration_s else ""
        stage = f"stage {progress.stage}, " if progress.stage else ""
        words = f"{stage}{progress.elapsed_s:.1f}{of} s" + (
            f", {progress.total:,} of {progress.ops:,}" if progress.ops else ""
        )
    line = Table.grid(padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True)
    done = 1.0 if phase is Phase.CHECKING else min(1.0, max(shares, default=0.0))
    line.add_row(ProgressBar(total=1.0, completed=done, width=max(10, min(40, width - len(words) - 2))), words)
    return line
