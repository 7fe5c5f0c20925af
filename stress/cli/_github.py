"""In a job of GitHub Actions: findings as annotations, and the Markdown report in the job's summary."""

from __future__ import annotations

import os
from collections.abc import Callable

import click

from stress.reporters.github import workflow_commands
from stress.reporters.markdown import as_markdown
from stress.result import Result


def tell_github(result: Result, *, to_stderr: bool = False) -> None:
    """Do so where ``GITHUB_ACTIONS`` is ``true``."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in workflow_commands(result):
        click.echo(line, err=to_stderr)
    append_summary(lambda: as_markdown(result))


def append_summary(text: Callable[[], str]) -> None:
    """Append to the job's summary, where there is one. That it can't be written is said, and changes no verdict."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        # Appended to: other commands of the same step have their parts in it.
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as summary:
            summary.write(text() + "\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        click.echo(f"stress: GITHUB_STEP_SUMMARY: {path!r} could not be written: {reason}", err=True)
