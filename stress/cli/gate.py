"""``stress gate``: all that the project's ``[tool.stress]`` names, within one budget, as a gate in CI."""

from __future__ import annotations

import os
from pathlib import Path

import click

from stress.cli._github import append_summary
from stress.cli._options import write_all
from stress.files import pasted, write_text
from stress.options import OPTIONS, UsageError
from stress.reporters.destinations import destinations, is_on_stdout

CONFIG = "pyproject.toml"
WORKFLOW = ".github/workflows/stress.yml"

_EPILOG = """\b
Examples:
  stress gate --init
  stress gate --budget 2m
  stress gate --only helpers --report junit=gate.xml
  stress gate --config ci/stress.toml

\b
Canaries are targets that are broken on purpose, two a day in turn. Each must be caught;
if one is not, the gate no longer sees, and that fails it.

\b
Exit codes: 0 all came out as expected, 1 something did not, 2 usage, 3 unknown (a run
proved nothing, or the budget did not do), 4 error of the harness, 130 interrupted.
"""

_TABLE = """\

[tool.stress]
budget = "60s"        # for all of it; what a campaign leaves goes to the next
canaries = 2          # targets that are broken on purpose, each of which must be caught; 0: none
# regressions = "stress-regressions"   # violations kept by `stress check RUN --save-regression NAME`

# One table for each campaign: any option of `stress run`, scenarios, seeds, and what is expected of it.
[tool.stress.campaigns.helpers]
target = "atomicops"  # or your own .py or .toml file: see `stress run --help`
scenarios = ["bridge"]
writers = 16
duration = "20s"
# seeds = [1, 2]      # one run for each
# kill-every = "200ms"
# expect = "pass"     # or "fail", or the name of an anomaly: see `stress list anomalies`
# throughput-floor = 0.001   # changes a second, as a share of a plain loop of writes measured in the same run
"""

_WORKFLOW = """\
name: stress
on: [push, pull_request]
permissions:
  contents: read
jobs:
  gate:
    runs-on: ubuntu-latest
    timeout-minutes: 15
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.11"
      - run: sudo apt-get update -q && sudo apt-get install -qy jq
      - run: pip install atomicops-stress  # or from where you have it
      - run: stress gate --report junit=stress.xml
      - if: failure()
        uses: actions/upload-artifact@v4
        with:
          name: stress
          include-hidden-files: true
          path: |
            stress.xml
            .stress/gate-*
"""


@click.command("gate", epilog=_EPILOG, short_help="Run what [tool.stress] names, as a gate in CI.")
@click.option(
    "--config", default=CONFIG, metavar="FILE", type=click.Path(), help=f"Where [tool.stress] is. [default: {CONFIG}]"
)
@click.option("--budget", metavar="DURATION", help="How long all of it may take. [default: the table's, or 60s]")
@click.option("--only", metavar="NAME", help="Run that campaign and nothing else. [default: all]")
@click.option("--seed", metavar="N", default="0", help="Turns the choice of canaries. [default: 0]")
@click.option(
    "--report",
    multiple=True,
    metavar="KIND=FILE,...",
    help="Write a report: json=FILE, junit=FILE, markdown=FILE. [default: none]",
)
@click.option("--init", is_flag=True, help=f"Write a table into FILE, and {WORKFLOW}, and stop. [default: no]")
def command(config: str, budget: str | None, only: str | None, seed: str, report: tuple[str, ...], init: bool) -> int:
    """Run what the project's [tool.stress] names, and what must be caught, and judge it as one."""
    if init:
        return _init(config)
    from dataclasses import replace

    from stress.campaigns import gate
    from stress.reporters.gate import REPORTS, gate_lines, gate_verdict

    wanted = destinations(report, REPORTS)
    chosen = gate.read_config(config)
    if budget is not None:
        chosen = replace(chosen, budget_s=gate.BUDGET.read("--budget", budget))
    names = [campaign.name for campaign in chosen.campaigns]
    if only is not None and only not in names:
        from stress.registry import close_names

        raise UsageError("--only", only, f"is no campaign of {config}{close_names(only, names)}")
    result = gate.run(
        chosen,
        seed=OPTIONS["seed"].read("--seed", seed),
        only=only,
        watch=lambda line: click.echo(f"… {line}", err=True),
    )
    lines = [*gate_lines(result), "", gate_verdict(result)]
    for outcome in result.outcomes:
        if outcome.kind == "campaign" and outcome.verdict and outcome.result is not None and outcome.result.run:
            lines.append(f"Show it again: stress check {pasted(outcome.result.run)}")
    if result.kept:
        lines.append(f"Kept: {result.kept}")
    click.echo("\n".join(lines), err=is_on_stdout(wanted))
    failed = write_all(wanted, lambda kind: REPORTS[kind](result))
    append_summary(lambda: REPORTS["markdown"](result))
    if failed:
        raise failed
    return result.exit_code


def _init(config: str) -> int:
    """Append the table, and write the workflow where there is none."""
    import tomllib

    path = Path(config)
    try:
        before = path.read_text("utf-8") if path.exists() else ""
        tool = tomllib.loads(before).get("tool", {})
        if not isinstance(tool, dict):
            raise UsageError("--init", config, "has a tool that is no table; it is left as it is")
        if "stress" in tool:
            raise UsageError("--init", config, "has a [tool.stress] already; it is left as it is")
        text = f"{before.rstrip()}\n{_TABLE}" if before.strip() else _TABLE.lstrip()
        write_text(config, text)
        click.echo(f"{config}: [tool.stress] added")
        workflow = Path(path.parent, WORKFLOW)
        if workflow.exists():
            click.echo(f"{workflow}: there is one, left as it is")
        else:
            os.makedirs(workflow.parent, exist_ok=True)
            write_text(str(workflow), _WORKFLOW)
            click.echo(f"{workflow}: written; look it over")
    except OSError as error:
        raise UsageError("--init", config, f"could not be written: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError("--init", config, f"is not TOML: {error}") from error
    return 0
