"""``stress bench NAME``: measure, show the figures as they come, and judge nothing."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from stress.bench import measure
from stress.cli._options import write_all
from stress.host.interrupts import temporary_directory
from stress.host.machine import file_system
from stress.options import UsageError, Whole
from stress.registry import close_names
from stress.reporters.bench import BenchTerminal, as_json
from stress.reporters.destinations import Destination, destinations, is_on_stdout

ROUNDS = 30
ROUNDS_QUICK = 2
SAMPLE_S_QUICK = 0.0002
ROUNDS_MAX = 10_000

_EPILOG = """\b
Examples:
  stress bench helpers
  stress bench helpers --dir /dev/shm --rounds 50
  stress bench helpers --only Bash --report json=bench.json
  stress bench harness
  stress bench explore

\b
Exit code 0: it was measured; whether that is fast enough is for you to say.
2 usage, 4 something failed and could not be measured, 130 interrupted.
"""


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in measure.load() if name.startswith(incomplete)]


@click.command("bench", epilog=_EPILOG, short_help="Measure how fast the helpers are, and the harness.")
@click.argument("name", required=False, metavar="BENCHMARK", type=click.UNPROCESSED, shell_complete=_complete)
@click.option(
    "--dir",
    "directory",
    metavar="DIRECTORY",
    type=click.Path(),
    help="The file system to measure on. [default: where temporary files go]",
)
@click.option("--rounds", metavar="N", help=f"Samples of each contender. [default: {ROUNDS}]")
@click.option("--only", metavar="TEXT", help="Measure only what has this in its name. [default: all]")
@click.option("--quick", is_flag=True, help="Only see that everything can be measured. [default: no]")
@click.option(
    "--report", multiple=True, metavar="json=FILE", help="Write all samples and figures to a file. [default: none]"
)
def command(
    name: str | None, directory: str | None, rounds: str | None, only: str | None, quick: bool, report: tuple[str, ...]
) -> int:
    """Measure ways to do the same thing, in turns, as ratios to the fastest way there could be.

    BENCHMARK: what to measure. helpers: all that atomicops has, beside bare system calls and other libraries.
    harness: what recording costs and how fast histories are checked, as figures of this machine.
    explore: what a schedule costs, by kind of process, likewise.
    """
    known = list(measure.load())
    if name is None or name not in known:
        hint = f"is no benchmark{close_names(name or '', known)}"
        raise UsageError("BENCHMARK", name or "", hint)
    usual = ROUNDS_QUICK if quick else ROUNDS
    times = Whole(1, ROUNDS_MAX, "a number of rounds", "30").read("--rounds", usual if rounds is None else rounds)
    wanted = destinations(report, ["json"])
    where = directory if directory is not None else tempfile.gettempdir()
    with _place(where) as place:
        return _measure(name, measure.Setting(place, quick), times, only, _machine(where), wanted)


def _measure(
    name: str,
    setting: measure.Setting,
    rounds: int,
    only: str | None,
    machine: dict[str, object],
    wanted: list[Destination],
) -> int:
    from stress.engine import HarnessError

    terminal = BenchTerminal(sys.stderr if is_on_stdout(wanted) else None)
    came: list[measure.Measured | measure.Figured] = []
    left_out: list[measure.LeftOut] = []
    names: list[str] = []
    for item in measure.BENCHMARKS.get(name)(setting):
        if isinstance(item, measure.LeftOut):
            left_out.append(item)
            continue
        names.append(item.name)
        if only is not None and only.lower() not in item.name.lower():
            continue
        if only is None and isinstance(item, measure.Sheet) and item.takes:
            left_out.append(
                measure.LeftOut(f"{item.name}: not measured, it takes {item.takes}; --only {shlex.quote(item.name)}")
            )
            continue
        if not came:
            terminal.begin(machine)
        if isinstance(item, measure.Case) and not any(isinstance(each, measure.Measured) for each in came):
            terminal.explain(rounds)
        came.append(_made(item, rounds, setting.quick))
        terminal.show(came[-1])
    if not names:
        raise HarnessError(f"{name}: there is nothing to measure here: {'; '.join(one.why for one in left_out)}")
    if not came:
        raise UsageError("--only", only or "", f"is in no case's name; such as {names[0]!r}, one of {len(names)}")
    for one in left_out:
        terminal.show(one)
    if failed := write_all(wanted, lambda kind: as_json(name, machine, rounds, came, left_out)):
        raise failed
    return 0


def _made(item: measure.Case | measure.Sheet, rounds: int, quick: bool) -> measure.Measured | measure.Figured:
    from stress.engine import HarnessError

    try:
        if isinstance(item, measure.Sheet):
            return measure.figure(item)
        return measure.measure(item, rounds, sample_s=SAMPLE_S_QUICK if quick else measure.SAMPLE_S)
    except HarnessError as error:
        raise HarnessError(f"{item.name}: {error}") from error
    except Exception as error:
        who = "".join(f"{note}: " for note in getattr(error, "__notes__", []))
        raise HarnessError(f"{item.name}: {who}{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _place(where: str) -> Iterator[Path]:
    """A new directory there, and nothing of it afterwards."""
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(temporary_directory("stress-bench-", where))
        except (OSError, ValueError) as error:
            advice = (
                f"can't be used: {getattr(error, 'strerror', None) or error}; give a directory that can be written to"
            )
            raise UsageError("--dir", where, advice) from error
        yield Path(os.path.realpath(made))


def _machine(where: str) -> dict[str, object]:
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "directory": where,
        "file_system": found.type if (found := file_system(where)) else "a file system of unknown type",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
