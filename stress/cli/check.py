"""``stress check RUN``: judge a run that is over once more, from its directory alone."""

from __future__ import annotations

import click

from stress.cli._options import check_run, finish, keep_record, report_options, save_option
from stress.reporters.files import destinations
from stress.reporters.terminal import Terminal

__all__ = ["command"]

_EPILOG = """\b
Examples:
  stress check .stress/20260131-120000-naive-1a2b3c
  stress check .stress/20260131-120000-naive-1a2b3c --report json=report.json

\b
Exit codes are those of the run: 0 pass, 1 violation, 3 unknown; 4 if it can't be read.
"""


@click.command("check", epilog=_EPILOG, short_help="Judge a run that is over once more.")
@click.argument("run", metavar="RUN", type=click.Path())
@report_options
@save_option
def command(run: str, report: tuple[str, ...], quiet: bool, save_regression: str | None) -> int:
    """Judge a run that is over once more, without running anything.

    RUN: a run directory, as `stress run` leaves them in .stress (its --runs).
    """
    check_run(run)
    from stress import engine, scenarios
    from stress.regressions import check_name

    wanted = destinations(report)
    if save_regression is not None:
        check_name(save_regression)

    scenarios.load()  # the reports tell what each is judged by
    result = engine.check(run)
    code = finish(result, wanted, Terminal(quiet=quiet))
    keep_record(result, save_regression)
    return code
