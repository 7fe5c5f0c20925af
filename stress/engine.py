"""Running a plan: lay the world out, let the workers at it, look at what is left, and have the checkers judge.

Data flows one way: plan → workers → journals → history → findings → result. Nothing here prints, and nothing here
exits.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from stress.anomalies import NOT_JUDGED
from stress.checkers.vacuity import not_reached
from stress.execution.cast import Cast
from stress.execution.drivers import shell
from stress.execution.final_read import final_by_reader
from stress.execution.free import FreeRun
from stress.execution.lock_probe import locks_that_nest, not_nested
from stress.execution.progress import Phase, Progress
from stress.execution.runner import Place, RunFailed, Runner, Watch
from stress.history.events import Event, Interrupted, read_events
from stress.history.history import History
from stress.history.jsonl import HistoryError, read_history
from stress.history.run_directory import load_history, load_provenance, save_final, save_provenance, save_world
from stress.history.skipped import Skipped
from stress.host import process_tree
from stress.host.provenance import provenance
from stress.plan import Plan, UsageError
from stress.registry import UnknownName
from stress.resolve import ALWAYS, checkers_named, known_checkers, resolve
from stress.result import Finding, Result, Verdict
from stress.stats import Cpu, cpu_of_run, run_stats
from stress.workload.layout import inspect, lay_out, required_kinds, xattrs_on
from stress.workload.target import Target

__all__ = ["HarnessError", "Progress", "check", "run", "run_checkers"]


class HarnessError(RuntimeError):
    """The harness itself could not go on (a full disk under the run directory, say). Exit code 4; one line."""


def run(
    plan: Plan,
    watch: Callable[[Progress], None] | None = None,
    *,
    runner: Runner | None = None,
) -> Result:
    """Have ``runner`` carry ``plan`` out (None: the free run); ``watch`` is called about four times a second, from this
    thread.

    The plan is one stage: ``check_every_s`` belongs to `stress.campaigns.stages.run`.

    Raises `stress.plan.UsageError` for what the plan asks for and can't be had, and `HarnessError`. SIGINT and
    SIGTERM, while it runs in the main thread, end the run early: what was done until then is checked, and the result
    is marked interrupted.
    """
    assert plan.check_every_s is None, "a run in stages goes through `stress.run`"
    process_tree.reap_children()
    cast = resolve(plan)
    plan = replace(plan, allow=tuple(dict.fromkeys((*plan.allow, *cast.target.allow))))
    with _directory(plan) as directory, _run_directory(plan, cast.target) as folder, _scratch(folder) as scratch:
        try:
            if runner is None:
                cast = _with_locks_tried(cast, folder, directory)
            lay_out(cast.world, directory)
            had_xattrs = xattrs_on(cast.world, directory)
            limit_ns = int(plan.op_limit_s * 1e9)
            save_world(
                folder, cast.world.facts, cast.world.checkers, required_kinds(cast.world), cast.skipped, limit_ns
            )
            save_provenance(folder, provenance(str(directory), cast.target.files))
            ended = (runner or FreeRun()).run(
                cast,
                Place(folder, directory, scratch),
                Watch(watch, lambda history: judged(run_checkers(history, plan.only), plan.allow)[0]),
            )
            final, backups, leftovers = inspect(cast.world, directory, cast.target, had_xattrs)
            if not cast.target.observe:
                final = final_by_reader(cast.target, directory, cast.world.facts, final, plan.op_limit_s)
            save_final(folder, final, backups, leftovers)
        except RunFailed as error:
            raise HarnessError(str(error)) from error
        except OSError as error:
            raise HarnessError(
                f"the run could not go on: {error}; the directories are {folder} and {directory}"
            ) from error
        if watch is not None:
            watch(Progress(Phase.CHECKING))
        cpu = None
        if ended.tool_cpu_s:
            cpu = cpu_of_run(folder, ended.tool_cpu_s, ended.events)
            (folder / "cpu.json").write_text(json.dumps(cpu.to_plain()), encoding="utf-8")
        history = ended.history.with_final(final, backups, leftovers)
        result = _result_of(history, ended.events, cpu, plan.allow, plan.only, interrupted=ended.interrupted)
        result = replace(
            result,
            checkers=cast.world.checkers,
            skipped=(*cast.skipped, *not_reached(history)),
            plan=plan.to_json(),
            run=str(folder),
            provenance=load_provenance(folder),
        )
    _prune(Path(plan.runs), folder, plan.keep)
    return result


def _with_locks_tried(cast: Cast, folder: Path, directory: Path) -> Cast:
    source = shell.write_commands(cast.target, folder)
    nesting = locks_that_nest(cast.target, cast.workers, directory, source)
    lone = sorted({spec.language for spec in cast.workers} - nesting)
    return replace(cast, lone_locks=frozenset(lone), skipped=(*cast.skipped, *map(not_nested, lone)))


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
    folder = Path(run_directory)
    try:
        plan = json.loads((folder / "plan.json").read_text("utf-8"))
        world = json.loads((folder / "world.json").read_text("utf-8"))
        history = load_history(folder)
        events = tuple(read_events(folder))
        shares = folder / "cpu.json"
        cpu = Cpu.from_plain(json.loads(shares.read_text("utf-8"))) if shares.exists() else None
    except (OSError, ValueError, KeyError) as error:
        raise HarnessError(f"{run_directory!r} is no run directory that can be read: {error}") from error
    if watch is not None:
        watch(Progress(Phase.CHECKING))
    allow, only = (*plan.get("allow", ()), *allow), (*plan.get("only", ()), *only)
    known = known_checkers() & frozenset(only or known_checkers())
    interrupted = any(isinstance(event, Interrupted) for event in events)
    return replace(
        _result_of(history, events, cpu, allow, only, interrupted=interrupted),
        checkers={name: frozenset(checkers) & known for name, checkers in world["checkers"].items()},
        skipped=(*(Skipped.from_plain(each) for each in world["skipped"]), *not_reached(history)),
        plan=plan,
        run=str(folder),
        provenance=load_provenance(folder),
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
    findings, allowed = judged(run_checkers(history, only), allow)
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
    """The findings that count; and how often each anomaly struck that is allowed."""
    allowed = dict.fromkeys(allow, 0)
    for finding in findings:
        if finding.anomaly in allowed:
            allowed[finding.anomaly] += finding.count
    return [finding for finding in findings if finding.anomaly not in allowed], allowed


def _meanwhile(plan: Plan, history: History) -> list[Finding]:
    return judged(run_checkers(history, plan.only), plan.allow)[0]


def run_checkers(history: History, only: Sequence[str] = ()) -> list[Finding]:
    """What the checkers find that the history's files name (or of these the ``only`` ones), the worst first.

    A checker that is not known here leaves a doubt: nobody looked for what it finds. Raises `HarnessError` if one
    breaks.
    """
    findings: list[Finding] = []
    named = frozenset[str]().union(*(facts.checkers for facts in history.files))
    for name in sorted(ALWAYS | (named & frozenset(only) if only else named)):
        try:
            look = checkers_named([name])[name]
        except UnknownName as error:
            findings.append(_unjudged(history, name, error))
            continue
        try:
            findings.extend(look(history))
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


def checkers_of(history: History) -> dict[str, frozenset[str]]:
    """Scenario → the checkers that its files name, of those that there are."""
    made: dict[str, frozenset[str]] = {name: frozenset() for name in history.scenarios}
    known = known_checkers()
    for facts in history.files:
        made[facts.scenario] = made.get(facts.scenario, frozenset()) | (facts.checkers & known)
    return made


# Directories

_RUN_NAME = re.compile(r"\d{8}-\d{6}-.+-[0-9a-f]{6}")


@contextmanager
def _run_directory(plan: Plan, target: Target) -> Iterator[Path]:
    """A new run directory, locked as long as the run goes on."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{target.name}-{secrets.token_hex(3)}"
    folder = Path(plan.runs) / name
    try:
        (folder / "journal").mkdir(parents=True)
        with (folder / "plan.json").open("w", encoding="utf-8") as file:
            file.write(json.dumps(plan.to_json(), indent=1))
            file.flush()
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
    except OSError as error:
        raise HarnessError(
            f"--runs {plan.runs}: no run directory could be kept there: {error.strerror or error}"
        ) from error


@contextmanager
def _directory(plan: Plan) -> Iterator[Path]:
    """A new directory for the shared files, on the file system that is to be tested; removed at the end."""
    try:
        directory = Path(tempfile.mkdtemp(prefix="stress-", dir=plan.directory)).resolve()
    except OSError as error:
        where = plan.directory or tempfile.gettempdir()
        raise UsageError("--dir", f"{where!r}: {error.strerror}; give a directory that can be written to") from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A place for what goes between driver and Bash workers: in memory where there is one, not under test."""
    memory = Path("/dev/shm")
    base = memory if os.access(memory, os.W_OK) else folder
    scratch = Path(tempfile.mkdtemp(prefix="stress-scratch-", dir=base)).resolve()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _prune(runs: Path, newest: Path, keep: int) -> None:
    """Remove the oldest run directories beyond ``keep``: only what is one by name and by content, and not in use."""
    found = sorted(path for path in runs.iterdir() if _RUN_NAME.fullmatch(path.name) and path != newest)
    too_many = len(found) + 1 - keep
    for path in found:
        if too_many <= 0:
            return
        try:
            with (path / "plan.json").open(encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if "scenarios" in json.load(file) and (path / "journal").is_dir():
                    shutil.rmtree(path)
                    too_many -= 1
        except (OSError, ValueError):
            continue
