"""``stress list``: what there is: scenarios, targets, checkers, reporters, nemeses, anomalies, runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import metadata
from typing import Any

import click

from stress.cli._options import load_option
from stress.options import UsageError
from stress.registry import Registry, close_names


def _scenarios() -> dict[str, str]:
    from stress.workload import catalog

    catalog.load()
    return {
        name: _from(catalog.SCENARIOS.get(name).about, catalog.SCENARIOS.origin(name)) for name in catalog.SCENARIOS
    }


def _from(about: str, origin: str) -> str:
    """What is said of a thing, and who brought it, where it does not come with the harness."""
    ours = metadata.version("atomicops-stress")
    return about if origin in ("", f"atomicops-stress {ours}") else f"{about} [from {origin}]"


def _targets() -> dict[str, str]:
    from stress.workload import target

    made = {}
    for name in [*target.names(), *target.libraries()]:
        try:
            loaded = target.load(name)
        except target.TargetError as error:
            made[name] = _from(f"can't be used: {error}", target.origin(name))
        else:
            shows = f" (must show {', '.join(loaded.expects)})" if loaded.expects else ""
            made[name] = _from(f"{loaded.about.rstrip('.')}{shows}", target.origin(name))
    return made


def _checkers() -> dict[str, str]:
    from stress.checkers import registry

    return _functions(registry.load())


def _reporters() -> dict[str, str]:
    from stress.reporters import registry

    return _functions(registry.load())


def _nemeses() -> dict[str, str]:
    from stress import plugins
    from stress.execution.nemesis import FAULTS, NEMESES

    plugins.load()
    own = {fault: f"--{fault}-every: see `stress run --help`" for fault in FAULTS}
    return own | _functions(NEMESES)


def _functions(registry: Registry[Any]) -> dict[str, str]:
    return {name: _from(_first_line(registry.get(name)), registry.origin(name)) for name in registry}


def _first_line(function: Callable[..., object]) -> str:
    paragraph = (inspect.getdoc(function) or inspect.getdoc(inspect.getmodule(function)) or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def _anomalies() -> dict[str, str]:
    from stress.anomalies import ANOMALIES

    return {name: ANOMALIES.get(name).about for name in ANOMALIES}


def _runs() -> dict[str, str]:
    from pathlib import Path

    from stress.history.run_directory import runs_in

    made = {}
    for run in reversed(runs_in(Path(".stress"))):
        try:
            plan, result = run.plan(), run.result()
            said = f"{', '.join(plan['scenarios'])} with {plan['target']}"
            message = result["message"] if result else "not judged"
        except (OSError, ValueError, KeyError, TypeError) as error:
            said, message = "can't be read", str(error)
        made[run.path.name] = f"{said}: {message}"
    return made


_LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "scenarios": _scenarios,
    "targets": _targets,
    "checkers": _checkers,
    "reporters": _reporters,
    "nemeses": _nemeses,
    "anomalies": _anomalies,
    "runs": _runs,
}


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in _LISTS if name.startswith(incomplete)]


@click.command("list", short_help="List scenarios, targets, checkers, runs and more.")
@click.argument("what", required=False, metavar="[WHAT]", type=click.UNPROCESSED, shell_complete=_complete)
@load_option
def command(what: str | None) -> int:
    """Show what there is, with a line on each.

    WHAT: scenarios, targets, checkers, reporters, nemeses, anomalies or runs (those in .stress, the newest first); none
    means all of them. What does not come with the harness is shown with who brought it.
    """
    if what is not None and what not in _LISTS:
        raise UsageError("WHAT", what, f"is nothing that can be listed{close_names(what, list(_LISTS))}")
    for number, name in enumerate([what] if what else _LISTS):
        if what is None:
            click.echo(f"{chr(10) if number else ''}{name}:")
        _show(_LISTS[name](), "" if what else "  ")
    return 0


def _show(lines: dict[str, str], indent: str) -> None:
    """In a terminal the lines are wrapped under their second column; elsewhere each is one line."""
    import shutil
    import sys
    import textwrap

    margin = len(indent) + max(map(len, lines), default=0) + 2
    width = max(margin + 30, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 10**6
    for name, about in lines.items():
        head = f"{indent}{name}".ljust(margin)
        click.echo(textwrap.fill(about, width, initial_indent=head, subsequent_indent=" " * margin) or head.rstrip())
