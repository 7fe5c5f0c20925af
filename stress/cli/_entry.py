"""From arguments to an exit code, whatever happens in between.

0 pass · 1 violation · 2 usage · 3 unknown · 4 harness error · 130 interrupted. An error of ours never looks like a
violation, nor like a pass.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO, cast

import click

from stress.cli._group import group
from stress.exits import EXIT_HARNESS, EXIT_INTERRUPTED, EXIT_USAGE, UsageError
from stress.host.interrupts import Interrupts, interrupts
from stress.reporters.stream import PatientStream

DEBUG_VARIABLE = "STRESS_DEBUG"
"""Set in the environment: a traceback of an error of ours is printed, and not put into a file."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The console script: do what ``argv`` (default: `sys.argv`) says, and exit."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed: take its descriptor, before a journal does
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that has no × gets a ?, not a traceback
    shown = PatientStream(sys.stdout)
    sys.stdout, sys.stderr = cast(TextIO, shown), cast(TextIO, PatientStream(sys.stderr))
    code = run_command(list(sys.argv[1:] if argv is None else argv))
    shown.flush()
    if shown.error:
        code = _say(f"standard output could not be written: {shown.error.strerror or shown.error}")
    sys.exit(code)


def run_command(argv: list[str]) -> int:
    """Do what ``argv`` says; returns the exit code, and says what went wrong in one line on standard error."""
    try:
        return _do(argv)
    finally:
        if plugins := sys.modules.get("stress.plugins"):  # else none was loaded
            for each in plugins.broken():
                _say(str(each))


def _do(argv: list[str]) -> int:
    signals = Interrupts()
    try:
        with interrupts() as signals:
            returned = group.main(argv, prog_name="stress", standalone_mode=False)
        if isinstance(returned, int):
            return returned
        raise TypeError(f"the command gave {returned!r} for an exit code")
    except UsageError as error:
        return _say(str(error), EXIT_USAGE)
    except click.UsageError as error:
        called = f"stress {argv[0]}" if argv and not argv[0].startswith("-") else "stress"
        return _say(_line_of(error, called), EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt) as error:
        return _say(str(error.__cause__ or error) or "interrupted", EXIT_INTERRUPTED)
    except SystemExit as error:
        if "_STRESS_COMPLETE" in os.environ:  # click ends shell completion so
            return error.code if isinstance(error.code, int) else EXIT_HARNESS
        return _say(_explain(error), EXIT_HARNESS)
    except BaseException as error:
        return _say("interrupted", EXIT_INTERRUPTED) if signals.raised else _say(_explain(error), EXIT_HARNESS)


def _say(line: str, code: int = EXIT_HARNESS) -> int:
    try:
        from stress.reporters.words import one_line

        line = one_line(line)
    except Exception:  # what it imports may be what went wrong
        line = " ".join(line.split())
    with contextlib.suppress(OSError, ValueError):
        print(f"stress: {line}", file=sys.stderr, flush=True)
    return code


def _line_of(error: click.UsageError, called: str) -> str:
    """Click's error in our words; never a dump of the usage. ``called``: which command, if click does not tell."""
    context = error.ctx or click.Context(click.Command(called), info_name=called)
    path = context.command_path
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
        name = error.param.opts[0] if isinstance(error.param, click.Option) else error.param.make_metavar(context)
        if isinstance(error, click.MissingParameter):
            return f"{name}: is needed, and was not given; {help_}"
        return f"{name}: {_lower(error.message)}; {help_}"
    extra = re.fullmatch(r"Got unexpected extra arguments? \((.*)\)", error.message)
    if extra:
        return f"{extra[1]!r}: one argument too many for {path}; {help_}"
    return f"{_lower(error.message)}; {help_}"


def _lower(message: str) -> str:
    message = re.sub(r"\s+", " ", message).strip().rstrip(".")
    return message[:1].lower() + message[1:]


def _explain(error: BaseException) -> str:
    """One line for what is not the user's mistake; for what is ours, where the traceback is."""
    if _is_foreseen(error):
        return str(error)
    if isinstance(error, MemoryError):
        error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    if isinstance(error, OSError) and (cure := _cure(error)) and not os.environ.get(DEBUG_VARIABLE):
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        return f"{error.strerror}{where}: {cure}"
    import tempfile
    import traceback

    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
        where = "the traceback is above"
    else:
        try:
            fd, path = tempfile.mkstemp(prefix="stress-traceback-", suffix=".txt")
            with open(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
                traceback.print_exception(error, file=file)
            where = f"the traceback is in {path}"
        except OSError:
            where = f"set {DEBUG_VARIABLE}=1 for a traceback"
    said = re.sub(r"\s+", " ", str(error))[:300]
    return f"an error in stress itself, which says nothing about the target: {type(error).__name__}: {said} ({where})"


_CURES = {
    errno.EMFILE: "raise `ulimit -n`",
    errno.ENFILE: "close some programs",
    errno.EAGAIN: "no process could be started; raise `ulimit -u`",
    errno.ENOMEM: "close some programs, or raise `ulimit -v`",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or have your quota raised",
    errno.EFBIG: "raise `ulimit -f`",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: "choose a place that you may use",
}
"""What to do where the machine does not let us, which is no error in stress."""


def _cure(error: OSError) -> str:
    if error.errno == errno.ENOENT and error.filename is None:  # of what was not named, but had to be there
        if "temporary directory" in str(error.strerror):
            return "set TMPDIR to a directory that can be written to"
        return "the current directory has been removed; go to one that is there"
    return _CURES.get(error.errno or 0, "")


def _is_foreseen(error: BaseException) -> bool:
    engine = sys.modules.get("stress.engine")  # not imported: then it can't have raised
    return engine is not None and isinstance(error, engine.HarnessError)
