"""``stress explore``: a few processes, every file syscall of which is scheduled."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from stress.cli._options import finish, report_options
from stress.exploring.plan import DEFAULT_SCHEDULES, SCHEDULERS, ExplorePlan
from stress.plan import UsageError
from stress.reporters.destinations import destinations
from stress.reporters.terminal import Terminal
from stress.units import parse_duration

__all__ = ["command", "fix_hashes"]

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
  pct          finds each bug of depth N with a probability that is said
  exhaustive   every schedule with at most --depth preemptions
  dpor         one of all schedules that differ in nothing that matters: where none
               is left, it is proved

\b
A failing schedule is shrunk and kept; `stress replay FILE` shows it again.
The exit codes are those of `stress run`; 4 where the kernel does not let it.
"""


@click.command("explore", epilog=_EPILOG, short_help="Schedule every file syscall of a few processes, and judge.")
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...", type=click.UNPROCESSED)
@click.option("--target", metavar="NAME|FILE", help="What to test, as for `stress run`. [default: atomicops]")
@click.option("--processes", metavar="N", help="Processes; of three or more the last reads. [default: 3]")
@click.option("--ops", metavar="N", help="Operations of each process. [default: 1]")
@click.option(
    "--languages",
    metavar="LANGUAGE,...",
    help="Of the processes, in turn. [default: each of the target's by itself, and all in turn]",
)
@click.option("--scheduler", metavar="NAME", help="Who decides what is next: see below. [default: mix]")
@click.option("--depth", metavar="N", help="Depth of the bugs to find; with exhaustive, preemptions. [default: 3, 2]")
@click.option(
    "--schedules",
    metavar="N",
    help=f"Schedules of each scenario at most. [default: {DEFAULT_SCHEDULES}; no limit with --duration, --until, "
    "dpor and exhaustive]",
)
@click.option("--duration", metavar="DURATION", help="How long at most. [default: no limit]")
@click.option("--until", metavar="PERCENT", help="Go on until one bug of that depth would be found so probably.")
@click.option("--seed", metavar="N", help="Seed of the schedulers and of the operations. [default: a new one]")
@click.option("--dir", "directory", metavar="DIRECTORY", help="Where to put the files. [default: in memory]")
@click.option(
    "--runs", metavar="DIRECTORY", default=".stress", help="Where to keep failing schedules. [default: .stress]"
)
@click.option("--keep-going", is_flag=True, help="Count failing schedules; do not stop at the first. [default: no]")
@click.option("--allow", metavar="ANOMALY,...", help="What is not to be judged. [default: nothing]")
@report_options
def command(
    scenarios: tuple[str, ...], report: tuple[str, ...], quiet: bool, runs: str, keep_going: bool, **given: Any
) -> int:
    """Decide the order of the file syscalls of a few real processes, one schedule after another, and judge each.

    SCENARIO: as for `stress run`; each is explored by itself, and none means session_count.
    """
    plan = _plan(scenarios, keep_going, {name: value for name, value in given.items() if value is not None})
    fix_hashes()
    from stress.exploring import explore as exploring
    from stress.reporters.explore_view import view

    wanted = destinations(report)
    with view(quiet=quiet) as watch:
        result = exploring.explore(plan, watch, folder=runs)
    return finish(result, wanted, Terminal(quiet=quiet))


def fix_hashes() -> None:
    """Start this command anew where hashes of strings are random: sets would have another order in each process."""
    if os.environ.get("PYTHONHASHSEED") != "0" and len(sys.orig_argv) > 1:
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})


def _plan(scenarios: tuple[str, ...], keep_going: bool, given: dict[str, str]) -> ExplorePlan:
    fields: dict[str, Any] = {"keep_going": keep_going}
    if scenarios:
        fields["scenarios"] = scenarios
    for name in ("target", "scheduler", "directory"):
        if name in given:
            fields[name] = given[name]
    for name in ("processes", "ops", "depth", "schedules", "seed"):
        if name in given:
            fields[name] = _number(name, given[name])
    if "languages" in given:
        fields["languages"] = tuple(part.strip() for part in given["languages"].split(","))
    if "allow" in given:
        fields["allow"] = tuple(part.strip() for part in given["allow"].split(","))
    if "duration" in given:
        try:
            fields["duration_s"] = parse_duration(given["duration"])
        except (ValueError, OverflowError):
            raise UsageError("--duration", given["duration"], "is not a duration; give one such as 60s") from None
    if "until" in given:
        try:
            fields["until"] = float(given["until"].rstrip("%")) / 100
        except ValueError:
            raise UsageError("--until", given["until"], "is no percentage; give one such as 99.9%") from None
    searches = fields.get("scheduler") in ("dpor", "exhaustive")
    if "schedules" not in given and ("duration" in given or "until" in given or searches):
        fields["schedules"] = None
    if fields.get("scheduler") == "exhaustive":
        fields.setdefault("depth", 2)
    return ExplorePlan(**fields)


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--{name}", text, f"is no whole number; give one such as --{name} 3") from None
