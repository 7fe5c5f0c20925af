"""A mistake on the command line, in one line: the option, the value, and what would do."""

from __future__ import annotations

import re

import click


def line_of(error: click.UsageError, command: str = "stress") -> str:
    """Click's error in our words; never a dump of the usage. ``command``: what was called, if click does not tell."""
    path = error.ctx.command_path if error.ctx is not None else command
    help_ = f"`{path} --help` tells more"
    if isinstance(error, click.NoSuchOption):
        near = [name for name in error.possibilities or () if name.startswith("--")]
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        return f"{error.option_name}: is no option of {path}; {hint}{help_}"
    if isinstance(error, click.BadOptionUsage):
        if "requires an argument" in error.message:
            return f"{error.option_name}: needs a value, and none was given; {help_}"
        if "does not take a value" in error.message:
            return f"{error.option_name}: takes no value, and one was given; {help_}"
        return f"{error.option_name}: {_lower(error.message)}; {help_}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        name = error.param.opts[0] if isinstance(error.param, click.Option) else error.param.make_metavar(_ctx(error))
        if isinstance(error, click.MissingParameter):
            return f"{name}: is needed, and was not given; {help_}"
        return f"{name}: {_lower(error.message)}; {help_}"
    extra = re.fullmatch(r"Got unexpected extra arguments? \((.*)\)", error.message)
    if extra:
        return f"{extra[1]!r}: one argument too many for {path}; {help_}"
    return f"{_lower(error.message)}; {help_}"


def _ctx(error: click.UsageError) -> click.Context:
    return error.ctx if error.ctx is not None else click.Context(click.Command("stress"))


def _lower(message: str) -> str:
    message = re.sub(r"\s+", " ", message).strip().rstrip(".")
    return message[:1].lower() + message[1:]
