"""In a job of GitHub Actions: findings as annotations, and the Markdown report in the job's summary."""

from __future__ import annotations

import os

import click

from stress.reporters.github import workflow_commands
from stress.reporters.markdown import as_markdown
from stress.result import Result

__all__ = ["tell_github"]


def tell_github(result: Result) -> None:
    """Do so where ``GITHUB_ACTIONS`` is ``true``. A summary that can't be written is named, and changes no verdict."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in workflow_commands(result):
        click.echo(line)
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        # Appended to: other commands of the same step have their parts in it.
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as summary:
            summary.write(as_markdown(result) + "\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        click.echo(f"stress: GITHUB_STEP_SUMMARY: {path!r} could not be written: {reason}", err=True)
