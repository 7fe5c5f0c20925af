"""GitHub's workflow commands: a line for each finding, which GitHub shows on the run's page.

The form and its escapes are those of GitHub's "Workflow commands for GitHub Actions" and of ``@actions/core``.
"""

from __future__ import annotations

from stress.reporters.groups import Group, told
from stress.reporters.witness import headline
from stress.reporters.words import again, one_line
from stress.result import Result, Verdict

ANNOTATIONS_MAX = 10
"""Annotations of one kind that GitHub shows of a step."""
_MESSAGE_SHOWN = 2000


def workflow_commands(result: Result) -> list[str]:
    """Lines for standard output: errors for violations, warnings for doubts, no more of either than are shown."""
    lines: list[str] = []
    for verdict, command in ((Verdict.FAIL, "error"), (Verdict.UNKNOWN, "warning")):
        all_ = told(finding for finding in result.findings if finding.verdict is verdict)
        groups = [*(each.first for each in all_), *(group for each in all_ for group in each.others)]
        lines += [_annotation(command, group, again(result)) for group in groups[:ANNOTATIONS_MAX]]
    return lines


def _annotation(command: str, group: Group, shows_again: str | None) -> str:
    message = one_line(group.best.message)[:_MESSAGE_SHOWN]
    if group.best.cause:
        message += f"\nUsual cause: {group.best.cause}."
    if shows_again:
        message += f"\nShow it again: {one_line(shows_again)}"
    return f"::{command} title={_property(headline(group))}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
