"""Options that several commands have, and the end that running and checking share."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stress.cli._github import tell_github
from stress.files import pasted
from stress.options import OPTIONS, Option, UsageError
from stress.reporters import registry
from stress.reporters.destinations import STDOUT, Destination, is_on_stdout, write
from stress.reporters.terminal import Terminal
from stress.result import Result

if TYPE_CHECKING:
    from stress.engine import HarnessError


def _kinds_of_report() -> list[str]:
    """For the help, which must not import them all: read from their sources."""
    folder = Path(__file__).parents[1] / "reporters"
    sources = [path.read_text("utf-8") for path in (*folder.glob("*.py"), *folder.glob("*/__init__.py"))]
    return sorted(kind for text in sources for kind in re.findall(r'^@reporter\("(.+)"\)$', text, re.M))


_KINDS = _kinds_of_report()

F = TypeVar("F", bound=Callable[..., Any])


def plan_options(table: Mapping[str, Option] = OPTIONS, **defaults: str) -> Callable[[F], F]:
    """Add the options of ``table``, each with its name for a parameter; values stay as they are typed, and None is what
    was not given. ``defaults``: what the help says where it is not a plan's.
    """

    def add(function: F) -> F:
        for name, option in reversed(list(table.items())):
            about = f"{option.about} [default: {defaults.get(name, option.default)}]"
            more: dict[str, Any] = {} if option.metavar else {"is_flag": True, "default": None}
            if option.metavar == "DIRECTORY":
                more["type"] = click.Path()
            if name == "target":
                more["shell_complete"] = _complete_target
            function = click.option(f"--{name}", metavar=option.metavar, help=about, **more)(function)
        return function

    return add


def typed(given: Mapping[str, Any], table: Mapping[str, Option] = OPTIONS) -> dict[str, Any]:
    """The options of ``table`` that were given: name → value, of click's parameters."""
    parameters = ((name, given.get(name.replace("-", "_"))) for name in table)
    return {name: value for name, value in parameters if value is not None}


def _complete_target(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    from stress.workload import target

    names = [name for name in target.names() if name.startswith(incomplete)]
    return names or [CompletionItem(incomplete, type="file")]


report_option = click.option(
    "--report",
    multiple=True,
    metavar="KIND=FILE,...",
    help=f"Write a report: {', '.join(f'{kind}=FILE' for kind in _KINDS)}. FILE may be -, standard "
    "output. Can be given more than once. [default: none]",
    shell_complete=lambda ctx, param, incomplete: [f"{kind}=" for kind in _KINDS if kind.startswith(incomplete)],
)
"""Adds ``--report``, as ``report`` (a tuple of texts)."""


def report_options(function: F) -> F:
    """Add ``--report`` and ``--quiet``, as ``report`` (a tuple of texts) and ``quiet``."""
    quiet = click.option("--quiet", "-q", is_flag=True, help="Show the verdict and the findings only. [default: no]")
    return report_option(quiet(function))


def _load(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    from stress.plugins import load_file

    for path in value if not ctx.resilient_parsing else ():
        load_file(path)


load_option = click.option(
    "--load",
    multiple=True,
    metavar="FILE.py",
    expose_value=False,
    is_eager=True,
    callback=_load,
    type=click.Path(),
    help="Load a Python file first, for the scenarios, targets, checkers, … that it registers. [default: none]",
)
"""Adds ``--load``; what it names is loaded as the option is read."""


def judging_options(function: F) -> F:
    """Add ``--allow`` and ``--only``, as ``allow`` and ``only`` (a text or None), for `judged_again`."""
    allow = click.option("--allow", metavar="ANOMALY,...", help="Do not judge these anomalies. [default: the run's]")
    only = click.option("--only", metavar="CHECKER,...", help="Run only these checkers. [default: the run's]")
    return allow(only(function))


def judged_again(run: str, allow: str | None, only: str | None) -> Result:
    """The verdict on a run directory, or on a history in a ``.jsonl`` file. Raises `UsageError` and
    `stress.engine.HarnessError`.
    """
    from stress import engine
    from stress.resolve import judging_named
    from stress.workload import catalog

    catalog.load()  # the reports tell what each is judged by
    judging = {
        name: OPTIONS[name].read(f"--{name}", value) for name, value in (("allow", allow), ("only", only)) if value
    }
    judging_named(judging.get("allow", ()), judging.get("only", ()))
    return engine.check_history(run, **judging) if run.endswith(".jsonl") else engine.check(run, **judging)


def _record_name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[\w][\w.-]{0,99}", value):
        advice = "is no name for a record; give letters, digits and -, such as lost-update-1"
        raise UsageError("--save-regression", value, advice)
    return value


save_option = click.option(
    "--save-regression",
    metavar="NAME",
    callback=_record_name,
    help="Keep each violation as a small history in stress-regressions/, for `stress gate` to find again. "
    "[default: none]",
)
"""Adds ``--save-regression``, as ``save_regression``: a name that does for a file, or None."""


def keep_record(result: Result, name: str | None, wanted: Sequence[Destination]) -> None:
    """Do what ``--save-regression`` says, and tell what was kept. Raises `stress.engine.HarnessError`."""
    if name is None:
        return
    from stress.campaigns import regressions
    from stress.engine import HarnessError

    try:
        written = regressions.save(result, name)
    except OSError as error:
        raise HarnessError(f"--save-regression: {name!r} could not be kept: {error.strerror or error}") from error
    nothing = "Kept nothing: there is no violation of which a record can be made"
    click.echo(f"Kept: {', '.join(written)}" if written else nothing, err=is_on_stdout(wanted))


def terminal_for(wanted: Sequence[Destination], *, quiet: bool) -> Terminal:
    """What shows the result to people: on standard error where a report goes to standard output."""
    return Terminal(quiet=quiet, stream=sys.stderr if is_on_stdout(wanted) else None)


def finish(result: Result, wanted: Sequence[Destination], terminal: Terminal) -> int:
    """Write the reports, show the result; returns the exit code. Raises `stress.engine.HarnessError`."""
    failed = write_reports(result, wanted)
    terminal.show(result, [] if failed else [each.path for each in wanted if each.path != STDOUT])
    tell_github(result, to_stderr=is_on_stdout(wanted))  # the runner listens to both
    if failed:
        raise failed
    return result.exit_code


def write_all(wanted: Sequence[Destination], text: Callable[[str], str], cure: str = "") -> HarnessError | None:
    """Write the ``text`` of each kind, also of those after one that can't be written; returns what is to be raised of
    the last such. ``cure``: what would do then.
    """
    from stress.engine import HarnessError

    failed = None
    for destination in wanted:
        try:
            write(destination, text(destination.kind))
        except OSError as error:
            where = f"{destination.kind}={destination.path}"
            failed = HarnessError(f"--report: {where!r} could not be written: {error.strerror or error}{cure}")
    return failed


def write_reports(result: Result, wanted: Sequence[Destination]) -> HarnessError | None:
    """`write_all` of the reports of a result."""
    cure = f"; `stress report {pasted(result.run)} --report …` writes it without another run"
    return write_all(wanted, lambda kind: registry.load().get(kind)(result), cure)


def run_named(run: str | None) -> str:
    """``run``, a run directory or a history in a ``.jsonl`` file; for ``latest`` or none the newest run directory in
    ``.stress``. Raises `UsageError`, with the newest one that is near, where it is neither.
    """
    from stress.history.run_directory import RunDirectory, runs_in

    if run is None or (run == "latest" and not Path(run).exists()):
        there = runs_in(Path(".stress"))
        if not there:
            raise UsageError("RUN", "there is no run in .stress yet; `stress run` makes one")
        return str(there[-1].path)
    if not run.endswith(".jsonl") and not (run and RunDirectory(Path(run)).exists):
        raise UsageError("RUN", run, f"is no run directory{_advice(run)}")
    return run


def _advice(run: str) -> str:
    from stress.history.run_directory import runs_in

    for folder in (Path(run or "."), Path(run or ".").parent, Path(".stress")):
        if runs := runs_in(folder):
            return f"; the newest in {folder} is {runs[-1].path}"
    return "; give one that `stress run` has left, such as .stress/20260131-120000-naive-1a2b3c"
