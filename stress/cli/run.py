"""``stress run``: many real processes, free-running, for a time or a number of operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from stress.cli._options import finish, keep_record, report_options, save_option, terminal_for
from stress.plan import OPTIONS, Plan, read_toml
from stress.reporters.destinations import destinations

__all__ = ["check_names", "command", "plan_of"]

F = TypeVar("F", bound=Callable[..., Any])

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

\b
Exit codes: 0 pass, 1 violation, 2 usage, 3 unknown, 4 error of the harness,
130 interrupted.
"""


def _complete_scenario(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from stress.workload import catalog

    catalog.load()
    return [name for name in catalog.SCENARIOS if name.startswith(incomplete)]


def _complete_target(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    from stress.workload import target

    names = [name for name in target.names() if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


def _option(name: str, metavar: str, help_: str, **more: Any) -> Callable[[F], F]:
    # Values stay as they are typed: `stress.plan` reads them, and says what is wrong with them.
    return click.option(f"--{name}", metavar=metavar, help=help_, **more)


@click.command("run", epilog=_EPILOG, short_help="Run many processes on shared files, and judge.")
@click.argument(
    "scenarios", nargs=-1, metavar="[SCENARIO]...", type=click.UNPROCESSED, shell_complete=_complete_scenario
)
@_option(
    "target",
    "NAME|FILE",
    "What to test: a name from `stress list targets`, or your own .py or .toml file. [default: atomicops]",
    shell_complete=_complete_target,
)
@_option("writers", "N", "Writing processes. [default: 16]")
@_option("readers", "N", "Reading processes. [default: a quarter of the writers, at least 2]")
@_option(
    "mix",
    "LANGUAGE=N,...",
    "Writers of each language: bash, python, command. [default: as evenly as the target allows]",
)
@_option("duration", "DURATION", "How long the workers work. [default: 10s, or no limit with --ops]")
@_option("ops", "N", "Stop after that many operations of all workers together. [default: no limit]")
@_option("seed", "N", "Seed of what the workers decide to do. [default: a new one for each run]")
@_option(
    "dir",
    "DIRECTORY",
    "Where to put the files under test: the file system that is tested. [default: where temporary files go]",
    type=click.Path(),
)
@_option("runs", "DIRECTORY", "Where to keep run directories. [default: .stress]", type=click.Path())
@_option("kill-every", "DURATION", "SIGKILL a random worker about this often, and start another. [default: never]")
@_option("pause-every", "DURATION", "Stop a random worker for a moment about this often. [default: never]")
@_option(
    "pause-for",
    "DURATION",
    "How long a pause lasts, of a worker inside a lock if there is one: longer than a lease, such as 6s. "
    "[default: a moment, of any worker]",
)
@_option("fill-every", "DURATION", "Have a random worker's disk full for a moment about this often. [default: never]")
@_option(
    "signal-every",
    "DURATION",
    "Interrupt a random worker about this often: Ctrl-C, or in Python a handler that does the operation once more. "
    "[default: never]",
)
@_option(
    "clean-every",
    "DURATION",
    "Remove what is not part of the scenario about this often: lock and temp files. [default: never]",
)
@_option("nemesis", "NAME=DURATION,...", "Have others' nemeses strike about this often. [default: none]")
@_option(
    "load",
    "FILE.py,...",
    "Load Python files first, for the scenarios, targets, checkers, … that they register. [default: none]",
    type=click.Path(),
)
@_option("stop-on-first", "", "End the run at the first violation. [default: no]", is_flag=True, default=None)
@_option("op-limit", "DURATION", "An operation that takes longer than this hangs. [default: 30s]")
@_option(
    "check-every",
    "DURATION",
    "Judge in stages of that length, each with fresh files, and go on: for hours and days. [default: at the end]",
)
@_option(
    "allow", "ANOMALY,...", "Count these anomalies, and do not judge them; the verdict repeats it. [default: none]"
)
@_option("only", "CHECKER,...", "Have these checkers look alone. [default: those that the scenarios name]")
@_option(
    "keep", "N", "Run directories to keep; the oldest go, not those in which this run found something. [default: 20]"
)
@_option(
    "plan",
    "FILE",
    "Take options from a TOML file; keys are their names, and scenarios. Options given here win. [default: none]",
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
    from stress.campaigns.regressions import check_name

    chosen = plan_of(scenarios, given, plan)
    check_names(chosen)
    wanted = destinations(report)
    if save_regression is not None:
        check_name(save_regression)
    terminal = terminal_for(wanted, quiet=quiet)
    with terminal.view(chosen) as view:
        result = stages.run(chosen, view.watch)
    code = finish(result, wanted, terminal)
    keep_record(result, save_regression)
    return code


def plan_of(scenarios: tuple[str, ...], given: dict[str, Any], file: str | None = None) -> Plan:
    """The plan of a command line: ``given`` are click's parameters, None where an option is not there."""
    options: dict[str, Any] = {}
    if file is not None:
        options, named = read_toml(file)
        scenarios = scenarios or named
    typed = {name: given[name.replace("-", "_")] for name in OPTIONS if given.get(name.replace("-", "_")) is not None}
    # What was typed also wins where it contradicts the file by what it implies.
    for one, other in (("mix", "writers"), ("writers", "mix"), ("ops", "duration"), ("duration", "ops")):
        if one in typed and other not in typed:
            options.pop(other, None)
    return Plan.from_options(options | typed, scenarios)


def check_names(plan: Plan) -> None:
    """See that the scenarios and the target are there, before anything else is looked at."""
    from stress.resolve import judging_named, loaded, scenarios_named, target_named

    loaded(plan.load)
    scenarios_named(plan.scenarios)
    target_named(plan.target)
    judging_named(plan.allow, plan.only)
