"""``stress check RUN``: judge a run that is over once more, from its directory alone."""

from __future__ import annotations

from pathlib import Path

import click

from stress.cli._options import finish, report_options
from stress.plan import UsageError
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
def command(run: str, report: tuple[str, ...], quiet: bool) -> int:
    """Judge a run that is over once more, without running anything.

    RUN: a run directory, as `stress run` leaves them in .stress (its --runs).
    """
    if not run or not Path(run, "plan.json").is_file():
        raise UsageError("RUN", run, f"is no run directory{_advice(run)}")
    wanted = destinations(report)
    from stress import engine, scenarios

    scenarios.load()  # the reports tell what each is judged by
    return finish(engine.check(run), wanted, Terminal(quiet=quiet))


def _advice(run: str) -> str:
    for folder in (Path(run or "."), Path(run or ".").parent, Path(".stress")):
        runs = sorted(path.parent for path in folder.glob("*/plan.json"))
        if runs:
            return f"; the newest in {folder} is {runs[-1]}"
    return "; give one that `stress run` has left, such as .stress/20260131-120000-naive-1a2b3c"
