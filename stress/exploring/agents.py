"""Exploring programs and functions of one's own: a few of them over one directory, and a check of what is left there.

::

    stress.explore([["bash", "add.sh"], ["bash", "add.sh"]], shared="data", check=lambda data: ...)
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeAlias

from stress import anomalies
from stress.engine import HarnessError
from stress.exploring.batch import ANOMALIES, STUCK_MAX, a_cpu, may_keep
from stress.exploring.case import empty
from stress.exploring.copying import copy_tree
from stress.exploring.explore import SHOW_EVERY_S, Progress, keep
from stress.exploring.plan import AGENTS, OPTIONS, ExplorePlan
from stress.exploring.search import Search, executing, scheduler_of, shrunk, step
from stress.history.history import History
from stress.host.interrupts import interrupts, temporary_directory
from stress.options import UsageError
from stress.result import Exploration, Finding, Result, Verdict
from stress.schedulers.execution import Run, Tally
from stress.schedulers.saved import SavedSchedule
from stress.schedulers.table import table
from stress.stats import run_stats
from stress.syscalls import Denied, Forked, Kind, Program, Ran, Supervisor
from stress.syscalls.calls import Scheduler

Agent: TypeAlias = Callable[[], object] | Sequence[str] | str
"""A function, called in a process of its own, with the memory that was there at the first execution; or a program: its
arguments, or a command line as a shell would split it. It starts in the shared directory."""

_QUOTED, _NOT_WORDS = re.compile(r"'[^']*'|\\.", re.DOTALL), re.compile(r"[|&;<>()$`\n*?~#]")
"""Of a command line, what a shell takes as it is; and what else has a meaning for it than to be part of a word."""

_NAME_MAX, _SAID_MAX = 52, 300
"""Characters that are shown of a command line, and of what it printed on standard error."""

_NOT_JUDGED = ("stuck", "endless")
"""What was not seen to its end: a program may well make so many syscalls, an operation of a scenario does not."""

Check: TypeAlias = Callable[..., object]
"""Called after each execution with the shared directory; and, if it takes two arguments, with what became of the agents
(`stress.syscalls.Ran`: statuses, outputs). Returning False, or raising, says that something is wrong."""


def explore(
    agents: Sequence[Agent],
    shared: str | Path,
    check: Check | None = None,
    *,
    scheduler: str = "mix",
    schedules: int | None = 1000,
    duration: float | str | None = None,
    depth: int = 3,
    seed: int = 0,
    may_fail: bool = False,
    keep_going: bool = False,
    replay: str | Path | None = None,
    runs: str | Path = ".stress",
    watch: Callable[[Progress], None] | None = None,
) -> Result:
    """Execute ``agents`` at the same time again and again, each file syscall in an order that a scheduler decides.

    Args:
        agents: See `Agent`.
        shared: A directory. It is put back to how it is now before each execution, and at the end. Should this process
            be killed meanwhile, how it was is in ``stress-*/before`` in the directory for temporary files.
        check: See `Check`.
        scheduler: ``mix``, ``random``, ``pct``, ``dpor`` or ``exhaustive``: as for ``stress explore``.
        schedules: Executions at most; None: no limit (then give a ``duration``, or a scheduler that comes to an end).
        duration: Seconds at most, or a text such as ``"30s"``.
        depth: Of the bugs to find; of an exhaustive search, the preemptions.
        seed: Of the scheduler.
        may_fail: Whether an agent may end with another exit status than 0.
        keep_going: Whether to count failing schedules, and not to stop at the first.
        replay: A schedule that was kept: it alone is executed, and a divergence is *unknown*.
        runs: Where a failing schedule is kept.

    Returns:
        *fail* with the shrunk schedule (`Result.exploration`), or *pass*.

    Raises:
        UsageError: Something was asked for that can't be had.
        HarnessError: The kernel or the container does not allow it; the text says what would.
    """
    shared = Path(shared)
    plan = ExplorePlan(
        scenarios=(),
        target="the given agents",
        processes=len(agents),
        scheduler=scheduler,
        depth=depth,
        schedules=schedules,
        duration_s=OPTIONS["duration"].read("duration", duration),
        seed=seed,
        keep_going=keep_going,
    )
    if check is not None and not callable(check):
        raise UsageError("check", str(check), "is no function; give one that is called with the directory")
    if not shared.is_dir():
        raise UsageError("shared", str(shared), "is no directory; make it, with the files as they are at the start")
    if schedules is None and duration is None and scheduler not in ("dpor", "exhaustive"):
        raise UsageError("schedules", "None", "without a duration the exploration would have no end")
    may_keep(str(runs))
    with ExitStack() as stack:
        before = Path(stack.enter_context(temporary_directory())) / "before"
        before.mkdir()
        try:
            copy_tree(shared, before)
        except OSError as error:
            raise UsageError("shared", str(error.filename or shared), f"can't be copied: {error.strerror}") from error
        put_back = partial(_put_back, before, Path(os.path.realpath(shared)))
        stack.callback(put_back)
        try:
            return _explore(plan, agents, shared, check, may_fail, put_back, replay, Path(runs), watch, stack)
        except Denied as denied:
            raise HarnessError(f"syscalls can't be scheduled here: {denied}") from denied


def _explore(
    plan: ExplorePlan,
    agents: Sequence[Agent],
    shared: Path,
    check: Check | None,
    may_fail: bool,
    put_back: Callable[[], None],
    replay: str | Path | None,
    runs: Path,
    watch: Callable[[Progress], None] | None,
    stack: ExitStack,
) -> Result:
    kinds, names = [_kind(agent) for agent in agents], [_name(number, agent) for number, agent in enumerate(agents, 1)]
    short = [name.partition(" ")[0] for name in names]
    supervisor = stack.enter_context(Supervisor(shared, cpu=a_cpu()))

    acted: set[int] = set()
    stuck: list[str] = []
    undecided: list[str] = []

    def execute(scheduler: Scheduler) -> Ran:
        ran = supervisor.run(kinds, scheduler)
        acted.update(ran.decisions)
        stuck.extend(seen.text for seen in ran.findings if seen.kind in _NOT_JUDGED)
        undecided.extend(seen.text for seen in ran.findings if seen.kind == "undecided")
        return ran

    run = executing(put_back, execute, partial(_judge, shared, check, may_fail, short))
    if replay is not None:
        return _replay(plan, run, Path(replay), names)
    search = Search(scheduler_of(plan.scheduler, plan.seed, plan.depth), len(agents), plan.depth)
    began = shown = time.monotonic()
    while plan.schedules is None or search.schedules < plan.schedules:
        if STUCK_MAX <= search.schedules == len(stuck):
            break
        now = time.monotonic()
        if not step(search, run, keep_going=plan.keep_going):
            break
        if undecided:  # what it has left elsewhere would be there in the next
            return _result(plan, search, Verdict.UNKNOWN, (_doubt(undecided[0]),))
        if plan.duration_s is not None and now - began >= plan.duration_s:
            break
        if watch is not None and now - shown >= SHOW_EVERY_S:
            shown = now
            watch(Progress(now - began, search.schedules, len(search.tally.interleavings), "", search.coverage))
    failing = search.found or search.lesser
    if failing is None:
        verdict = Verdict.PASS if search.tally.complete else Verdict.UNKNOWN
        doubts = () if search.tally.complete else (_doubt(stuck[-1] if stuck else search.words()),)
        if len(acted) < 2 and search.tally.complete:
            verdict, doubts = Verdict.UNKNOWN, (_doubt(_nothing_shown(acted, short, shared)),)
        return _result(plan, search, verdict, doubts)
    found = shrunk(run, failing, short)
    path = keep(found, {"mode": AGENTS, "seed": plan.seed}, names, runs)
    lines = table(found.execution, names, critical=found.steps, width=100)
    return _result(plan, search, Verdict.FAIL, found.findings, lines, found.words, path)


def _replay(plan: ExplorePlan, run: Run, path: Path, names: Sequence[str]) -> Result:
    try:
        saved = SavedSchedule.from_json(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise UsageError("replay", str(path), f"can't be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError("replay", str(error)) from error
    scheduler = saved.replay()
    scheduler.begin()
    execution = run(scheduler)
    tally = Tally()
    tally.add(execution)
    search = Search(scheduler, plan.processes, plan.depth, tally, points=len(execution.trace))
    lines = table(execution, names, critical=saved.marked, width=100)
    if execution.diverged is not None:
        return _result(plan, search, Verdict.UNKNOWN, (_doubt(f"the replay diverged at {execution.diverged}"),), lines)
    verdict = Verdict.FAIL if execution.failed else Verdict.PASS
    return _result(plan, search, verdict, execution.findings, lines, saved.critical)


def _nothing_shown(acted: set[int], names: Sequence[str], shared: Path) -> str:
    who = f"none but {names[min(acted)]}" if acted else "none of them"
    return f"nothing was shown of agents that work at the same time: {who} touched a file in {shared}"


def _doubt(message: str) -> Finding:
    return Finding(anomalies.TOO_FEW_OPERATIONS, "explore", "", "", message, verdict=Verdict.UNKNOWN)


def _kind(agent: Agent) -> Kind:
    if callable(agent):
        return Forked(agent)
    try:
        argv = _words(agent) if isinstance(agent, str) else [os.fspath(word) for word in agent]
    except TypeError:
        argv = []
    if not argv:
        raise UsageError("agents", str(agent), "is no program; give its arguments, or a function")
    if not Path(argv[0]).is_absolute() and "/" in argv[0]:
        argv[0] = str(Path(argv[0]).absolute())
    return Program(argv, dict(os.environ) | {"PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")})


def _words(line: str) -> list[str]:
    if _NOT_WORDS.search(_QUOTED.sub("", line)):
        return ["sh", "-c", line]
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError("agents", line, f"is no command line: {str(error).lower()}") from error


def _name(number: int, agent: Agent) -> str:
    if callable(agent):
        return f"agent{number} {getattr(agent, '__name__', type(agent).__name__)}"
    line = agent if isinstance(agent, str) else shlex.join(map(os.fspath, agent))
    return f"agent{number} {line if len(line) <= _NAME_MAX else line[: _NAME_MAX - 1] + '…'}"


def _put_back(before: Path, shared: Path) -> None:
    """Make the directory what it was, though an agent has removed it, or put something else in its place."""
    with interrupts() as signals, signals.held():  # it is the user's: a second Ctrl-C does not leave it empty
        if shared.is_symlink() or (shared.exists() and not shared.is_dir()):
            shared.unlink()
        shared.mkdir(parents=True, exist_ok=True)
        empty(shared)
        copy_tree(before, shared)


def _judge(shared: Path, check: Check | None, may_fail: bool, names: Sequence[str], ran: Ran) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    if ran.ending == "done":
        for name, status, (_, stderr) in zip(names, ran.statuses, ran.outputs, strict=True):
            if status and not may_fail:
                said = last_words(stderr)
                message = f"{name} ended with {status}" + (f": {said}" if said else "")
                findings.append(_finding(anomalies.AGENT_FAILED, message))
        if check is not None and (wrong := _checked(check, shared, ran)):
            findings.insert(0, _finding(anomalies.CHECK_FAILED, wrong))
    seen_here = [seen for seen in ran.findings if seen.kind in ANOMALIES and seen.kind not in _NOT_JUDGED]
    findings += [_finding(ANOMALIES[seen.kind], seen.text) for seen in seen_here]
    return tuple(findings)


def last_words(stderr: bytes) -> str:
    """What a program that failed said, in one line: of a traceback the last line, else the end of all of it."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    if any(line.startswith("Traceback (") for line in lines):
        return lines[-1]
    said = " / ".join(lines)
    return said if len(said) <= _SAID_MAX else f"…{said[-_SAID_MAX:]}"


def _checked(check: Check, shared: Path, ran: Ran) -> str:
    """What is wrong, in words; empty where nothing is."""
    try:
        answer = check(shared, ran) if _takes_ran(check) else check(shared)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # that of `pytest.fail` is no Exception
        return f"the check raised {type(error).__name__}: {error}".strip().removesuffix(":")
    return "the check returned False" if answer is False else ""


def _takes_ran(check: Check) -> bool:
    """Whether it has a second argument that must be given, or is named so."""
    try:
        second = list(inspect.signature(check).parameters.values())[1:2]
    except ValueError:  # of some functions written in C
        return False
    return any(
        each.name == "ran" or (each.default is each.empty and each.kind <= each.VAR_POSITIONAL) for each in second
    )


def _finding(anomaly: anomalies.Anomaly, message: str) -> Finding:
    return Finding(anomaly, "explore", "", "", message)


def _result(
    plan: ExplorePlan,
    search: Search,
    verdict: Verdict,
    findings: tuple[Finding, ...],
    lines: Sequence[str] = (),
    critical: str = "",
    file: str = "",
) -> Result:
    return Result(
        verdict=verdict,
        findings=findings,
        stats=run_stats(History.of([], [])),
        plan=plan.to_json() | {"writers": plan.processes, "readers": 0},
        exploration=Exploration(
            schedules=search.schedules,
            interleavings=len(search.tally.interleavings),
            seconds=search.seconds,
            cases=(("agents", search.words()),),
            proved=search.proved,
            failing=search.tally.failed,
            found_after=failing.after if (failing := search.found or search.lesser) else 0,
            critical=critical,
            table=tuple(lines),
            file=file,
        ),
    )
