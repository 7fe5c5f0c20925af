"""Options that several commands have, and the end that running and checking share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from stress.reporters.files import Destination, write_report
from stress.reporters.terminal import Terminal
from stress.result import Result

__all__ = ["finish", "report_options"]

F = TypeVar("F", bound=Callable[..., Any])


def report_options(function: F) -> F:
    """Add ``--report`` and ``--quiet``, as ``report`` (a tuple of texts) and ``quiet``."""
    report = click.option(
        "--report",
        multiple=True,
        metavar="KIND=FILE,...",
        help="Write a report: json=FILE, junit=FILE. Can be given more than once. [default: none]",
        shell_complete=lambda ctx, param, incomplete: [
            kind for kind in ("json=", "junit=") if kind.startswith(incomplete)
        ],
    )
    quiet = click.option("--quiet", "-q", is_flag=True, help="Show the verdict and the findings only. [default: no]")
    return report(quiet(function))


def finish(result: Result, wanted: Sequence[Destination], terminal: Terminal) -> int:
    """Write the reports, show the result; returns the exit code. Raises `stress.engine.HarnessError`."""
    from stress.engine import HarnessError

    failed = None
    for destination in wanted:
        try:
            write_report(destination, result)
        except OSError as error:
            failed = HarnessError(
                f"--report: {f'{destination.kind}={destination.path}'!r} could not be written: "
                f"{error.strerror or error}; `stress check {result.run} --report …` writes it without another run"
            )
    terminal.show(result, [] if failed else [destination.path for destination in wanted])
    if failed:
        raise failed
    return result.exit_code
