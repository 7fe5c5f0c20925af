"""``stress compare TARGET TARGET…``: the same plan over several targets, side by side."""

from __future__ import annotations

from typing import Any

import click

from stress.cli._options import plan_options, write_all
from stress.options import OPTIONS, UsageError, Whole
from stress.reporters.destinations import destinations, is_on_stdout

_EPILOG = """\b
Examples:
  stress compare atomicops guide naive
  stress compare atomicops atomicwrites filelock --dir /dev/shm
  stress compare my_helpers.py atomicops --scenario handoff --rounds 5

\b
Each round runs every target once, in a new order; speed and latency are medians of the
ratios to the first target within a round. "durable" counts the calls that sync in one
write, where there is strace: two (the file and its directory) outlast a power loss.

\b
Exit codes: 0 every target passed, 1 one did not, 2 usage, 3 unknown, 4 error of the
harness, 130 interrupted.
"""

ROUNDS_MAX = 1000
DURATION, WRITERS = "3s", "8"
_NOT_HERE = ("target", "stop-on-first", "check-every", "keep")
_OPTIONS = {name: option for name, option in OPTIONS.items() if name not in _NOT_HERE}


@click.command("compare", epilog=_EPILOG, short_help="Run several targets side by side.")
@click.argument("targets", nargs=-1, metavar="TARGET TARGET...", type=click.UNPROCESSED)
@click.option("--scenario", multiple=True, metavar="NAME", help="Which scenario; can be given again. [default: bridge]")
@click.option("--rounds", metavar="N", default="3", help="How often each is run. [default: 3]")
@plan_options(_OPTIONS, duration=f"{DURATION}; with --ops, no limit", writers=WRITERS, mix="what every target has")
@click.option("--report", multiple=True, metavar="json=FILE", help="Write all figures to a file. [default: none]")
def command(
    targets: tuple[str, ...], scenario: tuple[str, ...], rounds: str, report: tuple[str, ...], **given: Any
) -> int:
    """Run the same plan over several targets in turns, and show what each does and costs.

    TARGET: a name from `stress list targets`, or your own .py or .toml file. The first is what others are measured by.
    """
    from stress.cli.run import plan_of
    from stress.resolve import looked_up

    if len(targets) < 2:
        raise UsageError("TARGET", " ".join(targets), "is not enough to compare; give two or more")
    times = Whole(1, ROUNDS_MAX, "a number of rounds", "3").read("--rounds", rounds)
    if given["duration"] is None and given["ops"] is None:
        given["duration"] = DURATION
    if given["mix"] is None:
        given["writers"] = given["writers"] or WRITERS
        given["mix"] = _common_mix(targets, given)
    wanted = destinations(report, ["json"])
    plans = [plan_of(scenario, given | {"target": target}) for target in targets]
    seed = plans[0].seed
    for plan in plans:
        looked_up(plan)
    from dataclasses import replace

    from stress.campaigns.compare import compare
    from stress.reporters.compare import again_lines, as_json, lines
    from stress.result import Verdict

    compared = compare(
        [replace(plan, seed=seed) for plan in plans], times, lambda line: click.echo(f"… {line}", err=True)
    )
    for line in (*lines(compared), *again_lines(compared)):
        click.echo(line, err=is_on_stdout(wanted))
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
        if named := [one.target for one in compared if one.verdict is verdict]:
            click.echo(f"{verdict.name}: {', '.join(named)}", err=is_on_stdout(wanted))
    if failed := write_all(wanted, lambda kind: as_json(compared, times)):
        raise failed
    return max(one.verdict for one in compared).exit_code


def _common_mix(targets: tuple[str, ...], given: dict[str, Any]) -> str | None:
    """Python alone, where a target has nothing else: what is compared must be done in the same languages."""
    from stress.workload import target

    try:
        loaded = [target.load(name) for name in targets]
    except target.TargetError:
        return None  # the plan says what is wrong with it
    if all(one.operations for one in loaded) and not all(one.bash for one in loaded) and given["writers"].isdigit():
        return f"python={given['writers']}"
    return None
