"""``stress run``: many real processes, free-running, for a time or a number of operations."""

from __future__ import annotations

from typing import Any

import click

from stress.cli._options import finish, keep_record, plan_options, report_options, save_option, terminal_for, typed
from stress.plan import Plan, read_toml
from stress.reporters.destinations import destinations

_EPILOG = """\b
Examples:
  stress run --writers 16 --duration 10s
  stress run handoff progress_log --mix bash=8,python=8
  stress run --dir /dev/shm --kill-every 200ms
  stress run --target naive --stop-on-first
  stress run --duration 24h --check-every 10m --keep 50
  stress run --target my_helpers.py --report json=report.json,junit=report.xml
  stress run --target mine.toml --ops 100000 --seed 7

\b
Durations take a unit: 200ms, 30s, 2m, 1h; a number alone is seconds.
A seed fixes what the workers decide to do, not how the operating system schedules
them: the same seed gives the same operations, not the same run. What was seen is kept
in the run directory; `stress check` shows it again.

\b
A target of your own:
  mine.py    a module that defines any of write(path, document), read(path),
             update(path, change), append(path, text), backup(path), recover(path)
  mine.toml  a command line for each, such as  write = "mytool put {path}"
             or a worker in any language:  worker = ["node", "mine.js"]

\b
Exit codes: 0 pass, 1 violation, 2 usage, 3 unknown, 4 error of the harness,
130 interrupted.
"""


def _complete_scenario(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from stress.workload import catalog

    catalog.load()
    return [name for name in catalog.SCENARIOS if name.startswith(incomplete)]


@click.command("run", epilog=_EPILOG, short_help="Run many processes on shared files, and judge.")
@click.argument(
    "scenarios", nargs=-1, metavar="[SCENARIO]...", type=click.UNPROCESSED, shell_complete=_complete_scenario
)
@plan_options()
@click.option(
    "--plan",
    metavar="FILE",
    help="Take options from a TOML file; keys are their names, and scenarios. Options given here win. [default: none]",
    type=click.Path(),
)
@report_options
@save_option
def command(
    scenarios: tuple[str, ...],
    report: tuple[str, ...],
    quiet: bool,
    plan: str | None,
    save_regression: str | None,
    **given: Any,
) -> int:
    """Have many real processes work on the same files, and judge what they did and saw.

    SCENARIO: which files and which operations; `stress list scenarios` has the names, and none means bridge, which is
    all of it at once.
    """
    from stress.campaigns import stages
    from stress.resolve import looked_up

    chosen = plan_of(scenarios, given, plan)
    looked_up(chosen)  # before anything else is looked at
    wanted = destinations(report)
    terminal = terminal_for(wanted, quiet=quiet)
    with terminal.view(chosen) as view:
        result = stages.run(chosen, view.watch)
    code = finish(result, wanted, terminal)
    keep_record(result, save_regression, wanted)
    return code


def plan_of(scenarios: tuple[str, ...], given: dict[str, Any], file: str | None = None) -> Plan:
    """The plan of a command line: ``given`` are click's parameters, None where an option is not there."""
    options: dict[str, Any] = {}
    if file is not None:
        options, named = read_toml(file)
        scenarios = scenarios or named
    own = typed(given)
    # What was typed also wins where it contradicts the file by what it implies.
    for one, other in (("mix", "writers"), ("writers", "mix"), ("ops", "duration"), ("duration", "ops")):
        if one in own and other not in own:
            options.pop(other, None)
    return Plan.from_options(options | own, scenarios)
