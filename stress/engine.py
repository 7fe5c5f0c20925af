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
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from stress.anomalies import NOT_JUDGED
from stress.checkers.vacuity import not_reached
from stress.execution.drivers import shell
from stress.execution.launch import Supervised, launch
from stress.execution.progress import JournalFollower, Phase, Progress
from stress.execution.supervisor import RunSpec
from stress.history.events import Interrupted, event_line, read_events
from stress.history.history import History
from stress.history.jsonl import HistoryError, read_history
from stress.history.run_directory import load_history, save_final, save_world
from stress.history.skipped import Skipped
from stress.plan import Plan, UsageError
from stress.registry import UnknownName
from stress.resolve import ALWAYS, Cast, checkers_named, known_checkers, resolve
from stress.result import Finding, Result, Verdict
from stress.stats import Cpu, cpu_of_run, run_stats
from stress.workload.layout import inspect, lay_out, required_kinds, xattrs_on
from stress.workload.target import Target

__all__ = ["HarnessError", "Progress", "check", "run", "run_checkers"]

Watch = Callable[[Progress], None]

_LOOK_S = 0.25


class HarnessError(RuntimeError):
    """The harness itself could not go on (a full disk under the run directory, say). Exit code 4; one line."""


def run(plan: Plan, watch: Watch | None = None, *, unwatched: bool = False) -> Result:
    """Run ``plan``; ``watch`` is called about four times a second from this thread. ``unwatched``: see `RunSpec`.

    The plan is one stage: ``check_every_s`` belongs to `stress.campaigns.stages.run`.

    Raises `stress.plan.UsageError` for what the plan asks for and can't be had, and `HarnessError`. SIGINT and
    SIGTERM, while it runs in the main thread, end the run early: what was done until then is checked, and the result
    is marked interrupted.
    """
    assert plan.check_every_s is None, "a run in stages goes through `stress.run`"
    cast = resolve(plan)
    plan = replace(plan, allow=tuple(dict.fromkeys((*plan.allow, *cast.target.allow))))
    with _directory(plan) as directory, _run_directory(plan, cast.target) as folder, _scratch(folder) as scratch:
        try:
            lay_out(cast.world, directory)
            had_xattrs = xattrs_on(cast.world, directory)
            limit_ns = int(plan.op_limit_s * 1e9)
            save_world(
                folder, cast.world.facts, cast.world.checkers, required_kinds(cast.world), cast.skipped, limit_ns
            )
            run_spec = replace(_run_spec(plan, cast, folder, directory, scratch), unwatched=unwatched)
            interrupted, tool_cpu_s = _supervise(plan, run_spec, cast, watch)
            final, backups, leftovers = inspect(cast.world, directory, cast.target, had_xattrs)
            save_final(folder, final, backups, leftovers)
        except OSError as error:
            raise HarnessError(
                f"the run could not go on: {error}; the directories are {folder} and {directory}"
            ) from error
        result = check(str(folder), watch=watch, tool_cpu_s=tool_cpu_s, interrupted=interrupted)
    _prune(Path(plan.runs), folder, plan.keep)
    return result


def check(
    run_directory: str, *, watch: Watch | None = None, tool_cpu_s: float = 0.0, interrupted: bool = False,
    allow: Sequence[str] = (), only: Sequence[str] = (),
) -> Result:  # fmt: skip
    """Judge a run that is over from its directory alone; raises `HarnessError` if it is none, or a checker breaks.

    ``allow``: anomalies that are counted and not judged; ``only``: checkers, none for all. Both besides the plan's.
    """
    folder = Path(run_directory)
    try:
        plan = json.loads((folder / "plan.json").read_text("utf-8"))
        world = json.loads((folder / "world.json").read_text("utf-8"))
        history = load_history(folder)
        events = read_events(folder)
    except (OSError, ValueError, KeyError) as error:
        raise HarnessError(f"{run_directory!r} is no run directory that can be read: {error}") from error
    if watch is not None:
        watch(Progress(Phase.CHECKING))
    allow, only = (*plan.get("allow", ()), *allow), (*plan.get("only", ()), *only)
    found, known = run_checkers(history, only), known_checkers() & frozenset(only or known_checkers())
    findings, allowed = _judged(found, allow)
    shares = folder / "cpu.json"
    if tool_cpu_s:
        shares.write_text(json.dumps(cpu_of_run(folder, tool_cpu_s, events).to_plain()), encoding="utf-8")
    cpu = Cpu.from_plain(json.loads(shares.read_text("utf-8"))) if shares.exists() else None
    return Result(
        verdict=max((finding.verdict for finding in findings), default=Verdict.PASS),
        findings=tuple(findings),
        stats=run_stats(history, events, cpu),
        checkers={name: frozenset(checkers) & known for name, checkers in world["checkers"].items()},
        skipped=(*(Skipped.from_plain(each) for each in world["skipped"]), *not_reached(history)),
        plan=plan,
        allowed=allowed,
        run=str(folder),
        interrupted=interrupted or any(isinstance(event, Interrupted) for event in events),
        began=history.began,
        history=history,
        events=tuple(events),
    )


def check_history(path: str, allow: Sequence[str] = (), only: Sequence[str] = ()) -> Result:
    """Judge a history that others have recorded: a file as `stress.history.jsonl` tells. Raises `UsageError`."""
    try:
        history = read_history(path)
    except (OSError, UnicodeDecodeError, HistoryError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError("RUN", path, f"is no history that can be read: {why}") from error
    findings, allowed = _judged(run_checkers(history, only), allow)
    return Result(
        verdict=max((finding.verdict for finding in findings), default=Verdict.PASS),
        findings=tuple(findings),
        stats=run_stats(history),
        checkers={name: each & frozenset(only or each) for name, each in checkers_of(history).items()},
        allowed=allowed,
        plan={},
        run=path,
        began=history.began,
        history=history,
    )


def _judged(findings: Sequence[Finding], allow: Sequence[str]) -> tuple[list[Finding], dict[str, int]]:
    """The findings that count; and how often each anomaly struck that is allowed."""
    allowed = dict.fromkeys(allow, 0)
    for finding in findings:
        if finding.anomaly in allowed:
            allowed[finding.anomaly] += finding.count
    return [finding for finding in findings if finding.anomaly not in allowed], allowed


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


# What takes part


def _run_spec(plan: Plan, cast: Cast, folder: Path, directory: Path, scratch: Path) -> RunSpec:
    source = shell.write_commands(cast.target, folder)
    return RunSpec(
        run=folder.resolve(),
        directory=directory,
        scratch=scratch,
        specs=cast.workers,
        files={facts.path: (index, facts.form) for index, facts in enumerate(cast.world.facts)},
        target=cast.target,
        bash=None if source is None else source.resolve(),
        seed=plan.seed,
        duration_ns=None if plan.duration_s is None else int(plan.duration_s * 1e9),
        ops=plan.ops,
        op_limit_s=plan.op_limit_s,
        faults=cast.faults,
        clean=(directory, scratch),
    )


# While it runs


def _supervise(plan: Plan, run_spec: RunSpec, cast: Cast, watch: Watch | None) -> tuple[bool, float]:
    """Have the run supervised, and watch; returns whether it was interrupted, and the tool's own CPU seconds."""
    follower = JournalFollower(run_spec.run, cast.world.facts)
    cpu = time.process_time()
    try:
        with launch(run_spec) as supervised, _interruptible(supervised) as interrupted:
            next_check = 1.0
            while supervised.alive(_LOOK_S):
                elapsed_s = supervised.elapsed_s()
                if watch is not None or plan.stop_on_first:
                    follower.poll(elapsed_s)
                if watch is not None:
                    watch(_progress(plan, follower, supervised, cast, elapsed_s))
                if plan.stop_on_first and elapsed_s > next_check:
                    # Each look at all that was done so far may take a quarter of the time at the most.
                    started = time.monotonic()
                    if follower.violations.keys() - {*plan.allow} or _violated(run_spec.run, plan):
                        supervised.stop()
                    next_check = elapsed_s + max(0.5, 4 * (time.monotonic() - started))
            failure = supervised.failure()
            supervisor_cpu_s = supervised.cpu_s()
    finally:
        follower.close()
    if failure:
        raise HarnessError(failure)
    if interrupted():
        with (run_spec.run / "events.jsonl").open("a", encoding="utf-8") as events:
            events.write(event_line(Interrupted(time.monotonic_ns())))
    return interrupted(), time.process_time() - cpu + supervisor_cpu_s


def _violated(folder: Path, plan: Plan) -> bool:
    history = load_history(folder, now=time.monotonic_ns())
    findings, _ = _judged(run_checkers(history, plan.only), plan.allow)
    return any(finding.verdict is Verdict.FAIL for finding in findings)


def _progress(plan: Plan, follower: JournalFollower, supervised: Supervised, cast: Cast, elapsed_s: float) -> Progress:
    return Progress(
        phase=supervised.phase(),
        elapsed_s=elapsed_s,
        duration_s=plan.duration_s,
        ops=plan.ops,
        kinds=follower.kinds(),
        per_s=follower.per_s(elapsed_s),
        mean_in_flight=follower.mean_in_flight(elapsed_s),
        kills=supervised.kills(),
        violations={name: count for name, count in follower.violations.items() if name not in plan.allow},
        writers=sum(spec.part == "writer" for spec in cast.workers),
        readers=sum(spec.part == "reader" for spec in cast.workers),
    )


@contextmanager
def _interruptible(supervised: Supervised) -> Iterator[Callable[[], bool]]:
    """SIGINT and SIGTERM stop the run cleanly; what the handlers were comes back after it."""
    seen: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        supervised.stop()

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
