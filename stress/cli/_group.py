"""The group of all commands: the modules of this package, each one."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from stress.exits import EXIT_USAGE, UsageError
from stress.registry import close_names

_BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def _short_help(name: str) -> str:
    tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text("utf-8"))
    keywords = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "short_help"]
    return str(ast.literal_eval(keywords[0].value))


@contextmanager
def _few_threads() -> Iterator[None]:
    """While numpy is loaded: its OpenBLAS starts a thread for each CPU then, and none here multiplies matrices. What we
    start later does not inherit it.
    """
    if _BLAS_THREADS in os.environ:
        yield
        return
    os.environ[_BLAS_THREADS] = "1"
    try:
        yield
    finally:
        del os.environ[_BLAS_THREADS]


class CommandGroup(click.Group):
    """Commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names there are; ``run`` comes first."""
        names = [name for _, name, _ in pkgutil.iter_modules([str(Path(__file__).parent)]) if name[0] != "_"]
        return sorted(names, key=lambda name: (name != "run", name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help. It is read from the commands' sources: to import them all takes half a second."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _short_help(name)) for name in self.list_commands(ctx)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        with _few_threads():
            command = importlib.import_module(f"stress.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names; raises `UsageError` with the names there are."""
        name = args[0] if args else ""
        if not name.startswith("-") and name not in (names := self.list_commands(ctx)):
            raise UsageError("COMMAND", name, f"is no command of stress{close_names(name, names)}")
        return super().resolve_command(ctx, args)


_EPILOG = """\b
Examples:
  stress run                                  all of it, for ten seconds
  stress run --target guide                   the same, at recipes that lose data
  stress run handoff --target my_helpers.py   one scenario, at functions of yours
  stress check .stress/RUN                    judge a run that is over once more
  stress report .stress/RUN                   a page that shows what happened
  stress list targets                         what can be tested

\b
Exit codes:
  0 pass, 1 violation, 2 usage, 3 unknown (the run proves nothing),
  4 error of the harness, 130 interrupted

\b
Environment:
  CI=true            plain lines, one now and then or one a stage, and no live table
  NO_COLOR           no colours
  FORCE_COLOR        colours where there is no terminal, such as in a log of CI

\b
Shell completion:
  bash   eval "$(_STRESS_COMPLETE=bash_source stress)"     in ~/.bashrc
  zsh    eval "$(_STRESS_COMPLETE=zsh_source stress)"      in ~/.zshrc
  fish   _STRESS_COMPLETE=fish_source stress | source      in config.fish
"""


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib import metadata  # which takes longer than all else here

        version = metadata.version("atomicops-stress")
        click.echo(f"stress {version} (Python {'.'.join(map(str, sys.version_info[:3]))}, {sys.platform})")
        ctx.exit()


@click.group(
    cls=CommandGroup,
    epilog=_EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def group(ctx: click.Context) -> int:
    """Find out whether processes that share files can see, lose or destroy what they should not.

    Many real processes, Bash and Python, work on the same files; what they did and saw is judged, and a violation is
    shown with the operations that prove it.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return EXIT_USAGE  # nothing was tested: that must not look like a pass
    return 0
