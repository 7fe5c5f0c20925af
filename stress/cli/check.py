"""``stress check RUN``: judge a run that is over once more, from its directory alone."""

from __future__ import annotations

import click

from stress.cli._options import (
    finish,
    judged_again,
    judging_options,
    keep_record,
    load_option,
    report_options,
    run_named,
    save_option,
    terminal_for,
)
from stress.plan import UsageError
from stress.reporters.destinations import destinations

_EPILOG = """\b
Examples:
  stress check .stress/20260131-120000-naive-1a2b3c
  stress check .stress/20260131-120000-naive-1a2b3c --report json=report.json
  stress check .stress/20260131-120000-naive-1a2b3c --export history.npz
  stress check mine.jsonl

\b
A history of your own has one operation a line:
  {"process": 1, "does": "write", "version": "x1", "start": 0.10, "end": 0.20}
  {"process": 2, "does": "read", "version": "x1", "start": 0.15, "end": 0.30}
does is write, update or read; further fields: file, from, outcome (ok, fail, info).
Each write needs a version of its own. Jepsen's events as JSON are read as well:
  {"process": 0, "type": "invoke", "f": "write", "value": 3, "time": 100}

\b
Exit codes are those of the run: 0 pass, 1 violation, 3 unknown; 4 if it can't be read.
"""


@click.command("check", epilog=_EPILOG, short_help="Judge a run that is over once more.")
@click.argument("run", metavar="[RUN]", required=False, type=click.Path())
@report_options
@save_option
@judging_options
@click.option("--export", metavar="FILE.npz", type=click.Path(), help="Write the history as columns. [default: no]")
@load_option
def command(
    run: str | None,
    report: tuple[str, ...],
    quiet: bool,
    save_regression: str | None,
    allow: str | None,
    only: str | None,
    export: str | None,
) -> int:
    """Judge a run that is over once more, without running anything.

    RUN: a run directory, as `stress run` leaves them in .stress (its --runs); latest, or none, is the newest there. Or
    a history that you have recorded yourself, a file whose name ends in .jsonl.
    """
    run = run_named(run)
    if export is not None and not export.endswith(".npz"):
        raise UsageError("--export", export, "is no .npz file; give a name that ends so")
    wanted = destinations(report)
    result = judged_again(run, allow, only)
    if export is not None and result.history is not None:
        from stress.engine import HarnessError
        from stress.history.npz import save_columns

        try:
            save_columns(export, result.history)
        except OSError as error:
            raise HarnessError(f"--export: {export!r} could not be written: {error.strerror or error}") from error
    code = finish(result, wanted, terminal_for(wanted, quiet=quiet))
    keep_record(result, save_regression, wanted)
    return code
