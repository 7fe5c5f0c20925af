"""``stress doctor``: whether this machine has what a run needs, and what to install where it has not."""

from __future__ import annotations

import fcntl
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from stress.plan import UsageError
from stress.result import Verdict

__all__ = ["command"]

_TOOLS = {"bash": "bash", "jq": "jq", "flock": "util-linux"}
"""Tool → the Debian package that has it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that was looked at."""

    what: str
    ok: bool
    said: str


@click.command("doctor", short_help="Say what this machine lacks for a run.")
@click.option(
    "--dir",
    "directory",
    metavar="DIRECTORY",
    type=click.Path(),
    help="Look at this directory's file system. [default: where temporary files go]",
)
def command(directory: str | None) -> int:
    """Say whether this machine has what a run needs, and what to install where it has not.

    Exit code 0 if nothing is missing, 3 if a part of a run would be left out.
    """
    where = directory if directory is not None else tempfile.gettempdir()
    answers = [Answer("python", True, f"{platform.python_version()} on {platform.platform(terse=True)}")]
    answers += [_tool(name, package) for name, package in _TOOLS.items()]
    answers += [Answer("cores", True, str(os.cpu_count())), *_directory(where)]
    for answer in answers:
        click.echo(f"{'ok     ' if answer.ok else 'MISSING'}  {answer.what:<12} {answer.said}")
    return 0 if all(answer.ok for answer in answers) else Verdict.UNKNOWN.exit_code


def _tool(name: str, package: str) -> Answer:
    from stress.workers.tools import version_of_tool

    version = version_of_tool(name)
    if version is None:
        return Answer(name, False, f"not found: apt-get install {package}")
    return Answer(name, True, version or "of a version that it does not tell")


def _directory(where: str) -> list[Answer]:
    try:
        with tempfile.NamedTemporaryFile(dir=where, prefix="stress-doctor-") as file:
            answers = [Answer("directory", True, f"{where} on {_file_system(where)}")]
            answers.append(_flock(file.name))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError("--dir", where, f"can't be used: {reason}; give a directory that can be written to") from error
    return answers


def _flock(path: str) -> Answer:
    """Two descriptors of one file must exclude each other."""
    with open(path, "rb") as one, open(path, "rb") as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return Answer("locks", False, f"flock(2) does not work there: {error.strerror}; choose another --dir")
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Answer("locks", True, "flock(2) excludes there")
        return Answer("locks", False, "flock(2) does not exclude there; choose another --dir")


def _file_system(where: str) -> str:
    """The type of the file system that holds ``where``, of the longest mount point above it."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "replace")
    except OSError:
        return "a file system of unknown type"
    real, best, kind = os.path.realpath(where), "", "a file system of unknown type"
    for line in mounts.splitlines():
        point, type_ = line.split()[1:3]
        point = point.replace("\\040", " ")
        if len(point) >= len(best) and (real == point or real.startswith(point.rstrip("/") + "/")):
            best, kind = point, type_
    return kind
