"""``stress replay FILE``: a schedule that failed once, executed again, the same file syscalls in the same order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stress.cli._options import finish, load_option, report_options, terminal_for
from stress.cli.explore import fix_hashes
from stress.options import UsageError
from stress.reporters.destinations import destinations
from stress.result import Verdict

if TYPE_CHECKING:
    from stress.syscalls.calls import Call, Step

_EPILOG = """\b
Examples:
  stress replay .stress/20260131-120000-guide-1a2b3c.schedule.json
  stress replay .stress/20260131-120000-guide-1a2b3c.schedule.json --step

\b
Exit codes: 1 it fails as before, 0 it does not fail any more, 3 it went another way
(where and why is said), 2 usage, 4 error of the harness.
"""


@click.command("replay", epilog=_EPILOG, short_help="Execute a schedule again that failed once.")
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--step", "stepwise", is_flag=True, help="Show each file syscall, and wait for Enter. [default: no]")
@report_options
@load_option
def command(file: str, stepwise: bool, report: tuple[str, ...], quiet: bool) -> int:
    """Execute a schedule that `stress explore` has kept: the same file syscalls in the same order.

    FILE: its name ends in .schedule.json.
    """
    from stress.schedulers.saved import SavedSchedule, ScheduleError

    try:
        saved = SavedSchedule.from_json(Path(file).read_text("utf-8"), file)
    except OSError as error:
        raise UsageError("FILE", file, f"could not be read: {error.strerror}") from error
    except (ScheduleError, UnicodeDecodeError) as error:
        raise UsageError("FILE", str(error)) from error
    fix_hashes()
    from stress.exploring import explore as exploring

    wanted = destinations(report)
    for line in saved.differences(exploring.versions(), exploring.hashes(map(Path, saved.hashes))):
        click.echo(f"not as it was: {line}", err=True)
    execution, result = exploring.replay(saved, _Stepper(saved.names) if stepwise else None)
    if execution.diverged is not None:
        click.echo(f"UNKNOWN — {exploring.diverged(execution.diverged)}")
        return Verdict.UNKNOWN.exit_code
    return finish(result, wanted, terminal_for(wanted, quiet=quiet))


class _Stepper:
    """Shows the step that is next, and waits for Enter; at the end of input it goes on by itself."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._waits = True

    def __call__(self, call: Call, trace: Sequence[Step]) -> None:
        name = self._names[call.agent] if call.agent < len(self._names) else f"agent {call.agent + 1}"
        click.echo(f"{len(trace) + 1:>4}  {name:<28}  {call.text}", nl=not self._waits)
        if self._waits:
            click.echo("  ", nl=False)
            sys.stdout.flush()
            line = sys.stdin.readline()
            if not line:
                self._waits = False
                click.echo("")
