"""``stress report RUN``: reports of a run that is over, a page for people among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from stress.cli._options import (
    judged_again,
    judging_options,
    load_option,
    report_option,
    run_named,
    write_reports,
)
from stress.options import UsageError
from stress.reporters.destinations import STDOUT, destinations

_EPILOG = """\b
Examples:
  stress report .stress/20260131-120000-naive-1a2b3c
  stress report .stress/20260131-120000-naive-1a2b3c --report trace=trace.json
  stress report .stress/20260131-120000-naive-1a2b3c --report html=page.html,junit=report.xml
  stress report latest --only torn,updates --allow metadata-lost
  stress report mine.jsonl

\b
Exit codes: 0 the reports were written, whatever the verdict; 2 usage; 4 if the run
can't be read or a report can't be written. `stress check` gives the verdict's.
"""


@click.command("report", epilog=_EPILOG, short_help="Write reports of a run that is over.")
@click.argument("run", metavar="[RUN]", required=False, type=click.Path())
@report_option
@click.option("--open", "show", is_flag=True, help="Open the page in a browser. [default: no]")
@judging_options
@load_option
def command(run: str | None, report: tuple[str, ...], show: bool, allow: str | None, only: str | None) -> int:
    """Write reports of a run that is over, without running anything, and print where they are.

    RUN: a run directory, as `stress run` leaves them in .stress (its --runs); latest, or none, is the newest there. Or
    a history that you have recorded yourself, a file whose name ends in .jsonl. Without --report it gets a page that
    opens without a network: report.html in the run directory, or NAME.html beside NAME.jsonl.
    """
    run = run_named(run)
    page = Path(run).with_suffix(".html") if run.endswith(".jsonl") else Path(run, "report.html")
    wanted = destinations(report or [f"html={page}"])
    pages = [each.path for each in wanted if each.kind == "html" and each.path != STDOUT]
    if show and not pages:
        raise UsageError("--open", "there is no page to open; give --report html=FILE too, or no --report")
    if failed := write_reports(judged_again(run, allow, only), wanted):
        raise failed
    files = [each.path for each in wanted if each.path != STDOUT]
    for path in files:
        click.echo(path, err=len(files) < len(wanted))  # a report on standard output is alone there
    if show:
        _open(pages)
    return 0


def _open(pages: Sequence[str]) -> None:
    import webbrowser

    for page in pages:
        if not webbrowser.open(Path(page).resolve().as_uri()):
            click.echo(f"stress: no browser could be started for {page}; BROWSER names one", err=True)
