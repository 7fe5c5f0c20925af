"""``stress explore``: a few processes, every file syscall of which is scheduled."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from stress.cli._options import finish, load_option, plan_options, report_options, save_option, terminal_for, typed
from stress.exploring.plan import OPTIONS, SCHEDULERS, ExplorePlan
from stress.reporters.destinations import destinations, is_on_stdout

_EPILOG = f"""\b
Examples:
  stress explore --target guide                       finds the first lost update
  stress explore session_count progress_log --schedules 10000
  stress explore handoff --scheduler dpor --processes 2      to prove it
  stress explore --scheduler exhaustive --depth 2     all with 2 preemptions
  stress explore --target mine.toml --languages command --duration 60s
  stress explore --until 99.9% --depth 2              as many as that takes

\b
Schedulers: {", ".join(SCHEDULERS)}.
  mix          random and pct in turn
  pct          finds each bug of depth N with a probability that the report gives
  exhaustive   every schedule with at most --depth preemptions
  dpor         one schedule of each set of equivalent ones; when none is left, the
               case is proved

\b
A failing schedule is shrunk and kept; `stress replay FILE` shows it again.
Exit codes: those of `stress run`; 4 also where the kernel forbids it.
"""


@click.command("explore", epilog=_EPILOG, short_help="Schedule every file syscall of a few processes, and judge.")
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...", type=click.UNPROCESSED)
@plan_options(OPTIONS)
@click.option(
    "--runs", metavar="DIRECTORY", default=".stress", help="Where to keep failing schedules. [default: .stress]"
)
@report_options
@load_option
@save_option
def command(
    scenarios: tuple[str, ...],
    report: tuple[str, ...],
    quiet: bool,
    runs: str,
    save_regression: str | None,
    **given: Any,
) -> int:
    """Decide the order of the file syscalls of a few real processes, one schedule after another, and judge each.

    SCENARIO: as for `stress run`; each is explored by itself, and none means session_count.
    """
    plan = ExplorePlan.from_options(typed(given, OPTIONS), scenarios)
    fix_hashes()
    from stress.exploring import explore as exploring
    from stress.reporters.explore_view import view

    wanted = destinations(report)
    with view(quiet=quiet) as watch:
        result = exploring.explore(plan, watch, folder=runs)
    code = finish(result, wanted, terminal_for(wanted, quiet=quiet))
    if save_regression is not None and result.exploration is not None and result.exploration.file:
        from stress.campaigns.regressions import save_schedule

        click.echo(f"Kept: {save_schedule(result.exploration.file, save_regression)}", err=is_on_stdout(wanted))
    return code


def fix_hashes() -> None:
    """Start this command anew where hashes of strings are random: sets would have another order in each process."""
    script = Path(sys.argv[0])
    is_ours = script.name == "stress" or (script.name == "__main__.py" and script.parent.name == "stress")
    if is_ours and os.environ.get("PYTHONHASHSEED") != "0":
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})
