"""Running a plan: lay the world out, let the workers at it, look at what is left, and have the checkers judge.

Data flows one way: plan → workers → journals → history → findings → result. Nothing here prints, and nothing here
exits.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from stress import plugins
from stress.anomalies import NOT_JUDGED
from stress.checkers.blind_reads import without_blind_reads
from stress.checkers.elsewhere import not_looked_into, without_what_is_elsewhere
from stress.checkers.vacuity import not_reached
from stress.execution.cast import Cast
from stress.execution.cpu import cpu_of_run
from stress.execution.drivers import shell
from stress.execution.final_read import final_by_reader
from stress.execution.free import FreeRun
from stress.execution.lock_probe import locks_that_nest, not_nested
from stress.execution.progress import Phase, Progress
from stress.execution.runner import Ended, Place, RunFailed, Runner, Watch
from stress.files import pasted
from stress.history.events import Event, Interrupted
from stress.history.history import History
from stress.history.jsonl import HistoryError, read_history
from stress.history.kinds import End
from stress.history.run_directory import RunDirectory, prune
from stress.host import process_tree
from stress.host.interrupts import Interrupts, interrupts
from stress.host.provenance import provenance
from stress.plan import Plan, UsageError
from stress.registry import UnknownName
from stress.resolve import ALWAYS, checkers_named, known_checkers, resolve
from stress.result import Finding, Result, Verdict
from stress.stats import Cpu, run_stats
from stress.workload import tree
from stress.workload.inspection import inspect
from stress.workload.layout import lay_out
from stress.workload.target import Target
from stress.workload.world import required_kinds

__all__ = ["HarnessError", "Progress", "check", "run", "run_checkers"]


class HarnessError(RuntimeError):
    """The harness itself could not go on (a full disk under the run directory, say). Exit code 4; one line."""


def run(plan: Plan, watch: Callable[[Progress], None] | None = None, *, runner: Runner | None = None) -> Result:
    """Have ``runner`` carry ``plan`` out (None: the free run); ``watch`` is called about four times a second, from this
    thread.

    The plan is one stage: ``check_every_s`` belongs to `stress.campaigns.stages.run`.

    Raises `stress.plan.UsageError` for what the plan asks for and can't be had, and `HarnessError`. In the main thread
    SIGINT, SIGTERM and SIGHUP end the run early: what was done until then is checked, and the result is marked
    interrupted. Before the workers have begun, and while it is judged, they raise KeyboardInterrupt.
    """
    assert plan.check_every_s is None, "a run in stages goes through `stress.run`"
    process_tree.reap_children()
    with interrupts() as signals, ExitStack() as stack:
        try:
            cast = resolve(plan)
        except OSError as error:
            raise HarnessError(f"the run could not begin: {error}") from error
        plan = replace(plan, allow=tuple(dict.fromkeys((*plan.allow, *cast.target.allow))))
        with signals.held():
            folder, release = _make_run_directory(plan, cast.target)
            stack.callback(_leave, folder, release)
        cast, ended = _carry_out(plan, cast, runner or FreeRun(), watch, folder, signals)
        if watch is not None:
            watch(Progress(Phase.CHECKING))
        try:
            result = _judge(plan, cast, ended, folder)
        except KeyboardInterrupt:
            again = f"stress check {pasted(str(folder.path))}"
            raise KeyboardInterrupt(f"interrupted before it was judged; `{again}` judges what was done") from None
    prune(Path(plan.runs), folder, plan.keep)
    return result


def _carry_out(
    plan: Plan,
    cast: Cast,
    runner: Runner,
    watch: Callable[[Progress], None] | None,
    folder: RunDirectory,
    signals: Interrupts,
) -> tuple[Cast, Ended]:
    """Lay out, run, and inspect what is left; the directories that it takes are gone afterwards.

    Returns the cast as it was played, and a history with its final state.
    """
    with ExitStack() as stack:
        with signals.held():
            directory = _make_directory(plan)
            stack.callback(_remove, directory, signals)
        with signals.held():
            scratch = _make_scratch(folder)
            stack.callback(_remove, scratch, signals)
        with signals.held():
            temporary = _make_temporary(plan, shared=cast.world.colleagues)
            stack.callback(_remove, temporary, signals)
        try:
            if isinstance(runner, FreeRun):
                cast = _with_locks_tried(cast, folder.path, directory)
            lay_out(cast.world, directory)
            before, identity = tree.take(cast.world, directory), os.lstat(directory)
            folder.save_world(
                cast.world.facts,
                cast.world.checkers,
                required_kinds(cast.world),
                cast.skipped,
                int(plan.op_limit_s * 1e9),
            )
            folder.save_provenance(provenance(str(directory), cast.target.files))
            ended = runner.run(
                cast,
                Place(folder, directory, scratch, temporary),
                Watch(watch, lambda history: judged(_so_far(history, plan.only), plan.allow)[0]),
            )
            if not _is_still(directory, identity):
                raise RunFailed(
                    f"somebody has removed or replaced the directory under test, {directory}: what cleans up there, or "
                    "the target, of which nothing else can be said; --dir puts it elsewhere"
                )
            tree.open_folders(directory)
            made = ended.history.backups_made()
            left = tree.take(cast.world, directory, made)
            final = inspect(cast.world, left, before, cast.target.is_residue, made)
            if all(process.end is End.FINISHED for process in ended.history.processes):
                forgotten = tree.forgotten(temporary, cast.target.is_residue)
                final = replace(final, leftovers=(*final.leftovers, *forgotten))
            if not cast.target.observe:
                facts, limit_s = cast.world.facts, plan.op_limit_s
                read = final_by_reader(cast.target, directory, facts, final.files, limit_s, temporary)
                final = replace(final, files=read)
            folder.save_final(final)
        except RunFailed as error:
            raise HarnessError(str(error)) from error
        except OSError as error:
            cure = ": make room, or give --runs or --dir" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise HarnessError(
                f"the run could not go on: {error}; the directories are {folder.path} and {directory}{cure}"
            ) from error
        return cast, replace(ended, history=ended.history.with_final(final))


def _judge(plan: Plan, cast: Cast, ended: Ended, folder: RunDirectory) -> Result:
    cpu = None
    if ended.tool_cpu_s:
        cpu = cpu_of_run(folder.journals, ended.tool_cpu_s, ended.events)
        folder.save_cpu(cpu.to_plain())
    result = _result_of(ended.history, ended.events, cpu, plan.allow, plan.only, interrupted=ended.interrupted)
    return replace(
        result,
        checkers={name: each & frozenset(plan.only or each) for name, each in cast.world.checkers.items()},
        skipped=(*cast.skipped, *not_reached(ended.history), *not_looked_into(ended.history)),
        plan=plan.to_json(),
        run=str(folder.path),
        provenance=folder.provenance(),
    )


def _with_locks_tried(cast: Cast, folder: Path, directory: Path) -> Cast:
    source = shell.write_commands(cast.target, folder)
    nesting = locks_that_nest(cast.target, cast.workers, directory, source)
    lone = sorted({spec.language for spec in cast.workers} - nesting)
    workers = (
        replace(spec, supported=spec.supported - {"lock"}) if spec.language in lone else spec for spec in cast.workers
    )
    return replace(cast, workers=tuple(workers), skipped=(*cast.skipped, *map(not_nested, lone)))


def check(
    run_directory: str,
    *,
    watch: Callable[[Progress], None] | None = None,
    allow: Sequence[str] = (),
    only: Sequence[str] = (),
) -> Result:
    """Judge a run that is over from its directory alone; raises `HarnessError` if it is none, or a checker breaks.

    ``allow``: anomalies that are counted and not judged; ``only``: checkers, none for all. Both besides the plan's.
    """
    folder = RunDirectory(Path(run_directory))
    try:
        saved = folder.load()
        cpu = None if saved.cpu is None else Cpu.from_plain(saved.cpu)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(f"{run_directory!r} is no run directory that can be read: {error}") from error
    for file in saved.plan.get("load", ()):
        plugins.load_again(file)
    if watch is not None:
        watch(Progress(Phase.CHECKING))
    allow, only = (*saved.plan.get("allow", ()), *allow), (*saved.plan.get("only", ()), *only)
    known = known_checkers() & frozenset(only or known_checkers())
    interrupted = any(isinstance(event, Interrupted) for event in saved.events)
    return replace(
        _result_of(saved.history, saved.events, cpu, allow, only, interrupted=interrupted),
        checkers={name: checkers & known for name, checkers in saved.checkers.items()},
        skipped=(*saved.skipped, *not_reached(saved.history), *not_looked_into(saved.history)),
        plan=saved.plan,
        run=run_directory,
        provenance=saved.provenance,
    )


def _result_of(
    history: History,
    events: tuple[Event, ...],
    cpu: Cpu | None,
    allow: Sequence[str],
    only: Sequence[str],
    *,
    interrupted: bool = False,
) -> Result:
    """What the checkers make of a history."""
    found, named = run_checkers(history, only), frozenset[str]().union(*checkers_of(history).values())
    if only and named and not named & frozenset(only):
        found.append(_not_looked_at(only, named))
    findings, allowed = judged(found, allow)
    return Result(
        verdict=max((finding.verdict for finding in findings), default=Verdict.PASS),
        findings=tuple(findings),
        stats=run_stats(history, events, cpu),
        checkers={name: each & frozenset(only or each) for name, each in checkers_of(history).items()},
        allowed=allowed,
        plan={},
        run="",
        interrupted=interrupted,
        interrupted_by="".join(event.cause for event in events if isinstance(event, Interrupted)),
        began=history.began,
        history=history,
        events=events,
    )


def check_history(path: str, allow: Sequence[str] = (), only: Sequence[str] = ()) -> Result:
    """Judge a history that others have recorded: a file as `stress.history.jsonl` tells. Raises `UsageError`."""
    try:
        history = read_history(path)
    except (OSError, UnicodeDecodeError, HistoryError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError("RUN", path, f"is no history that can be read: {why}") from error
    return replace(_result_of(history, (), None, allow, only), run=path)


def judged(findings: Sequence[Finding], allow: Sequence[str]) -> tuple[list[Finding], dict[str, int]]:
    """Findings split by ``allow``, a sequence of anomalies that do not count against a run.

    Returns the findings of all other anomalies, in their order, and for each allowed anomaly the sum of the counts of
    its findings (0 if there were none).
    """
    allowed = dict.fromkeys(allow, 0)
    for finding in findings:
        if finding.anomaly in allowed:
            allowed[finding.anomaly] += finding.count
    return [finding for finding in findings if finding.anomaly not in allowed], allowed


def run_checkers(history: History, only: Sequence[str] = (), always: frozenset[str] = ALWAYS) -> list[Finding]:
    """What the checkers find that the history's files name (or of these the ``only`` ones), the worst first; and those
    that look at every history, ``always``.

    A checker that is not known here leaves a doubt: nobody looked for what it finds. Raises `HarnessError` if one
    breaks.
    """
    return _run_checkers(*without_what_is_elsewhere(without_blind_reads(history)), only, always)


def _so_far(history: History, only: Sequence[str]) -> list[Finding]:
    """What they find in a run that goes on. A reader that has not found anything yet may be blind, and a file in which
    nobody has may not be the document: that the next looks will tell.
    """
    return _run_checkers(*without_what_is_elsewhere(without_blind_reads(history, 1), 1), only, ALWAYS)


def _run_checkers(
    history: History, findings: list[Finding], only: Sequence[str], always: frozenset[str]
) -> list[Finding]:
    named = frozenset[str]().union(*(facts.checkers for facts in history.files))
    for name in sorted(always | (named & frozenset(only) if only else named)):
        try:
            check_one = checkers_named([name])[name]
        except UnknownName as error:
            findings.append(_unjudged(history, name, error))
            continue
        try:
            findings.extend(check_one(history))
        except Exception as error:
            raise HarnessError(f"the checker {name} broke: {type(error).__name__}: {error}") from error
    return sorted(findings, key=lambda finding: finding.rank)


def _unjudged(history: History, name: str, error: UnknownName) -> Finding:
    files = [facts.path for facts in history.files if name in facts.checkers]
    return Finding(
        anomaly=NOT_JUDGED,
        checker=name,
        scenario="",
        file=files[0],
        message=f"Nobody looked for what the checker {name} finds: {error}. Its package may not be installed.",
        count=len(files),
        verdict=Verdict.UNKNOWN,
    )


def _not_looked_at(only: Sequence[str], named: frozenset[str]) -> Finding:
    names, others = ", ".join(sorted(only)), ", ".join(sorted(named))
    message = f"Nobody looked: {names} judges none of the files; those that do are {others}."
    return Finding(NOT_JUDGED, "vacuity", "", "", message, verdict=Verdict.UNKNOWN)


def checkers_of(history: History) -> dict[str, frozenset[str]]:
    """Scenario → the checkers that its files name, of those that there are."""
    made: dict[str, frozenset[str]] = {name: frozenset() for name in history.scenarios}
    known = known_checkers()
    for facts in history.files:
        made[facts.scenario] = made.get(facts.scenario, frozenset()) | (facts.checkers & known)
    return made


# Directories: each is made while signals are held, so that there is none that nobody will remove.


def _make_run_directory(plan: Plan, target: Target) -> tuple[RunDirectory, Callable[[], None]]:
    try:
        return RunDirectory.make(Path(plan.runs), target.name, plan.to_json())
    except OSError as error:
        advice = (
            f"{plan.runs!r}: {error.strerror or error}; give a directory that can be written to (to a gate as runs)"
        )
        raise UsageError("--runs", advice) from error


def _leave(folder: RunDirectory, release: Callable[[], None]) -> None:
    """Let go of the run directory; one that no check could say anything of is removed."""
    release()
    if not folder.is_readable:
        folder.remove()


def _make_directory(plan: Plan) -> Path:
    """A new directory for the shared files, on the file system that is to be tested."""
    try:
        return Path(tempfile.mkdtemp(prefix="stress-", dir=plan.directory)).resolve()
    except OSError as error:
        where = plan.directory or tempfile.gettempdir()
        raise UsageError("--dir", f"{where!r}: {error.strerror}; give a directory that can be written to") from error


def _make_scratch(folder: RunDirectory) -> Path:
    """A place for what goes between driver and Bash workers: in memory where there is one, not under test."""
    memory = Path("/dev/shm")
    base = memory if os.access(memory, os.W_OK) else folder.path
    return Path(tempfile.mkdtemp(prefix="stress-scratch-", dir=base)).resolve()


def _make_temporary(plan: Plan, *, shared: bool) -> Path:
    """A place for the target's own temporary files, in the file system where such are made."""
    try:
        made = tempfile.mkdtemp(prefix="stress-tmp-")
    except OSError:
        made = tempfile.mkdtemp(prefix="stress-tmp-", dir=plan.directory)
    if shared:
        os.chmod(made, 0o1777)
    return Path(made).resolve()


def _is_still(directory: Path, before: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(directory), before)
    except OSError:
        return False


def _remove(directory: Path, signals: Interrupts) -> None:
    with signals.held():
        tree.remove(directory)
