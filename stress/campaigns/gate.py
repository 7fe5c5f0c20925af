"""The gate: what ``[tool.stress]`` of a project names is run within one budget, and all must come out as expected.

Four things are looked at, the one likeliest to fail first: campaigns; canaries, targets that are broken on purpose
and must be caught, or the gate no longer sees; the track record, histories whose violations must be found again;
and, where a campaign asks for it, the pace, against a plain loop of writes measured in the same run.

How likely a campaign is to fail is told from its last results, by Laplace's rule of succession: (failures + 1) /
(runs + 2). A campaign that was never run so comes before one that has passed, and after one that has failed.
"""

from __future__ import annotations

import datetime
import itertools
import json
import math
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomllib

from stress.anomalies import ANOMALIES
from stress.campaigns import regressions, stages
from stress.exploring.batch import cases_of
from stress.exploring.explore import explore
from stress.exploring.plan import OPTIONS as EXPLORE_OPTIONS
from stress.exploring.plan import ExplorePlan
from stress.files import write_text
from stress.host.interrupts import temporary_directory
from stress.options import OPTIONS, Duration, Text, UsageError, Value, Whole
from stress.outcomes import GateOutcome, GateResult
from stress.plan import Plan
from stress.registry import close_names
from stress.resolve import resolve
from stress.result import Result, Verdict
from stress.workload import target

CANARY_S = 10.0
"""What a canary is given at the most; it ends at the first violation, mostly within two or three seconds."""
RUNS = ".stress"
OVERHEAD_S = 2.0
"""What a run takes besides: starting the workers, and judging."""
LEAST_S = 1.0
"""With less than that left of the budget, nothing is begun."""
BUDGET = Duration("60s", most_s=86400.0)
_SETTINGS: dict[str, tuple[str, Value]] = {
    "budget": ("budget_s", BUDGET),
    "canaries": ("canaries", Whole(0, 100, "a number of targets", "2")),
    "regressions": ("regressions", Text("is not a path; give a directory")),
    "runs": ("runs", Text("is not a path; give a directory")),
}
"""Key of ``[tool.stress]`` → the field of `Config` that it fills, and what its value may be."""
_MODES = ("run", "explore")
_OWN = ("scenarios", "mode", "seeds", "expect", "throughput-floor")
_NOT_A_CAMPAIGNS = ("runs", "stop-on-first")
_KEPT = "gate.json"
_FLOOR_S = 0.1
_DOCUMENT = b'{"status": "running", "pad": "' + b"x" * 990 + b'"}'


@dataclass(frozen=True, slots=True)
class Campaign:
    """One entry of ``[tool.stress.campaigns]``. ``expect``: ``pass``, ``fail``, or an anomaly that must be found."""

    name: str
    plans: tuple[Plan | ExplorePlan, ...]
    """One for each seed."""
    expect: str = "pass"
    throughput_floor: float | None = None
    """The least changes a second that will do, as a share of those of a plain loop of writes."""


@dataclass(frozen=True, slots=True)
class Config:
    """``[tool.stress]``, read."""

    campaigns: tuple[Campaign, ...]
    budget_s: float = 60.0
    canaries: int = 2
    """How many of the targets that are broken on purpose are run each time."""
    regressions: str = regressions.FOLDER
    runs: str = RUNS


# What is to be done


def read_config(path: str) -> Config:
    """``[tool.stress]`` of the file ``path``; raises `UsageError`, which names the key and its likely meaning."""
    try:
        content = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        advice = f"could not be read: {error.strerror}; `stress gate --init` writes one"
        raise UsageError("--config", path, advice) from error
    except (ValueError, RecursionError) as error:
        raise UsageError("--config", path, f"is not TOML: {error}") from error
    tool = content.get("tool")
    table = tool.get("stress") if isinstance(tool, dict) else None
    if not isinstance(table, dict):
        raise UsageError("--config", path, "has no [tool.stress]; `stress gate --init` writes one")
    _only_known(table, {*_SETTINGS, "campaigns"}, "[tool.stress]")
    made: dict[str, Any] = {
        field: value.read(f"[tool.stress] {name}", table[name])
        for name, (field, value) in _SETTINGS.items()
        if name in table
    }
    if "regressions" in made and not Path(made["regressions"]).is_dir():
        advice = f"is no directory; `--save-regression` makes {regressions.FOLDER}, where no other is named"
        raise UsageError("[tool.stress] regressions", made["regressions"], advice)
    campaigns = table.get("campaigns", {})
    if not isinstance(campaigns, dict) or not all(isinstance(each, dict) for each in campaigns.values()):
        raise UsageError("[tool.stress] campaigns", "are tables: write [tool.stress.campaigns.NAME]")
    runs = made.get("runs", RUNS)
    return Config(tuple(_campaign(name, fields, runs) for name, fields in campaigns.items()), **made)


def _only_known(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise UsageError(where, f"has an unknown key {key!r}{close_names(key, sorted(known))}")


def _campaign(name: str, table: Mapping[str, Any], runs: str) -> Campaign:
    where = f"[tool.stress.campaigns.{name}]"
    mode = table.get("mode", "run")
    options = {*(EXPLORE_OPTIONS if mode == "explore" else OPTIONS)} - {*_NOT_A_CAMPAIGNS, "seed", "keep-going"}
    _only_known(table, {*options, *_OWN}, where)
    if mode not in _MODES:
        raise UsageError(f"{where} mode", str(mode), f"is no mode{close_names(str(mode), list(_MODES))}")
    names = table.get("scenarios", [])
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise UsageError(f"{where} scenarios", str(names), 'is no list of names; write ["bridge"]')
    seeds = table.get("seeds", [None])
    if not isinstance(seeds, list) or not seeds:
        raise UsageError(f"{where} seeds", str(seeds), "is no list of numbers; write [1, 2]")
    expect = table.get("expect", "pass")
    if not isinstance(expect, str) or (expect not in ("pass", "fail") and expect not in ANOMALIES):
        raise UsageError(
            f"{where} expect", str(expect), f"is no outcome{close_names(str(expect), ['pass', 'fail', *ANOMALIES])}"
        )
    floor = table.get("throughput-floor")
    if floor is not None and (isinstance(floor, bool) or not isinstance(floor, (int, float)) or not 0 < floor <= 100):
        raise UsageError(f"{where} throughput-floor", str(floor), "is no ratio; give a number above 0, such as 0.01")
    given = {key: value for key, value in table.items() if key in options}
    plans: list[Plan | ExplorePlan] = []
    with _named(where):
        for seed in seeds:
            seeded = given | ({} if seed is None else {"seed": seed})
            if mode == "explore":
                plans.append(ExplorePlan.from_options(seeded, tuple(names)))
            else:
                plans.append(Plan.from_options(seeded | {"runs": runs}, tuple(names)))
        if isinstance(plans[0], Plan):
            resolve(plans[0])
        else:
            cases_of(plans[0])
    return Campaign(name, tuple(plans), expect, floor)


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Have a mistake in the options of a campaign name the campaign."""
    try:
        yield
    except UsageError as error:
        option = {"SCENARIO": "scenarios"}.get(error.option, error.option.removeprefix("--"))
        raise UsageError(f"{where} {option}", error.value, error.advice) from error


def canaries_of(number: int, seed: int, today: datetime.date) -> list[str]:
    """The canaries of a day: as many as asked for, in turn, so that all have theirs."""
    zoo = [name for name in target.names() if target.load(name).expects]
    if not zoo:
        return []
    first = today.toordinal() * number + seed
    return [zoo[(first + place) % len(zoo)] for place in range(min(number, len(zoo)))]


# Doing it


@dataclass(frozen=True, slots=True)
class _Task:
    """One thing to do: what and which, as in `GateOutcome`, and the seconds that it wants at the most."""

    kind: str
    name: str
    seconds: float
    do: Callable[[float], GateOutcome]

    @property
    def key(self) -> str:
        """By which the results of the last runs are kept."""
        return f"{self.kind} {self.name}"


def allot(wanted: float, left: float, all_wanted: float) -> float:
    """Seconds for a task that wants ``wanted``, where ``left`` are left for tasks that together want ``all_wanted``."""
    return min(wanted, left * wanted / all_wanted) if all_wanted > 0 else 0.0


def run(
    config: Config,
    *,
    seed: int = 0,
    only: str | None = None,
    watch: Callable[[str], None] = lambda line: None,
    today: datetime.date | None = None,
) -> GateResult:
    """Do all that ``config`` asks for, or the campaign ``only``; ``watch`` is told what begins.

    Raises `stress.plan.UsageError` and `stress.engine.HarnessError`, as a run does.
    """
    began = time.monotonic()
    outcomes: list[GateOutcome] = []
    if only is None:
        outcomes = regressions.check_records(config.regressions, config.runs, config.budget_s / 10)
    past = _past(config.runs)
    chosen = [campaign for campaign in config.campaigns if only in (None, campaign.name)]
    tasks = [
        _campaign_task(campaign, plan, config.runs, config.budget_s) for campaign in chosen for plan in campaign.plans
    ]
    if only is None:
        day = today if today is not None else datetime.datetime.now(datetime.timezone.utc).date()
        tasks += [_canary_task(name, config, seed) for name in canaries_of(config.canaries, seed, day)]
    tasks.sort(key=lambda task: -_risk(past, task.key))
    interrupted = False
    # From the last: what a task and those behind it want.
    wanted = list(itertools.accumulate(task.seconds + OVERHEAD_S for task in reversed(tasks)))
    for task in tasks:
        left, all_wanted = config.budget_s - (time.monotonic() - began), wanted.pop()
        seconds = allot(task.seconds + OVERHEAD_S, left, all_wanted) - OVERHEAD_S
        if interrupted or seconds < min(LEAST_S, task.seconds):
            why = "interrupted" if interrupted else "the budget ends before it; give more with budget or --budget"
            outcomes.append(GateOutcome(task.kind, task.name, Verdict.UNKNOWN, f"not run: {why}"))
            continue
        watch(task.key)
        outcome = task.do(seconds)
        interrupted = outcome.result is not None and outcome.result.interrupted
        outcomes.append(outcome)
        if not interrupted:
            fails, runs = past.get(task.key, (0, 0))
            past[task.key] = (fails + (outcome.verdict is not Verdict.PASS), runs + 1)
    _keep_past(config.runs, past)
    return GateResult(
        tuple(outcomes), time.monotonic() - began, config.budget_s, _keep_worst(outcomes, config.runs), interrupted
    )


def _risk(past: Mapping[str, tuple[int, int]], key: str) -> float:
    fails, runs = past.get(key, (0, 0))
    return (fails + 1) / (runs + 2)


def _campaign_task(campaign: Campaign, plan: Plan | ExplorePlan, runs: str, budget_s: float) -> _Task:
    several = len(campaign.plans) > 1
    name = f"{campaign.name} (seed {plan.seed})" if several else campaign.name
    # How long operations take nobody knows: a campaign in operations may have all that the others leave.
    wanted = budget_s if plan.duration_s is None else plan.duration_s

    def do(seconds: float) -> GateOutcome:
        if isinstance(plan, ExplorePlan):
            began = time.monotonic()
            result = explore(replace(plan, duration_s=seconds), folder=runs)
            outcome = _judge_campaign(campaign, name, result, math.inf)
            cut_short = plan.duration_s is None and time.monotonic() - began >= seconds
            return _cut_short(outcome, "schedules", plan.schedules, seconds) if cut_short else outcome
        before = _floor_per_s(plan.directory)
        result = stages.run(replace(plan, duration_s=seconds, stop_on_first=True))
        floor = statistics.median([before, _floor_per_s(plan.directory)])
        outcome = _judge_campaign(campaign, name, result, floor)
        cut_short = plan.duration_s is None and plan.ops is not None and outcome.operations < plan.ops
        return _cut_short(outcome, "operations", plan.ops, seconds) if cut_short else outcome

    return _Task("campaign", name, wanted, do)


def _cut_short(outcome: GateOutcome, what: str, asked: int | None, seconds: float) -> GateOutcome:
    """``outcome`` of a campaign that the budget has ended: without a violation it is unknown."""
    result = outcome.result
    if result is None or result.verdict is Verdict.FAIL or result.interrupted:
        return outcome
    done = f"{outcome.operations:,}" + ("" if asked is None else f" of {asked:,}")
    said = f"{outcome.said}; the budget left {seconds:.0f} s for {done} {what}: give more with budget or --budget"
    return replace(outcome, verdict=max(outcome.verdict, Verdict.UNKNOWN), said=said)


def _judge_campaign(campaign: Campaign, name: str, result: Result, floor_per_s: float) -> GateOutcome:
    ranked = sorted(result.findings, key=lambda finding: finding.rank)
    found = list(dict.fromkeys(finding.anomaly for finding in ranked if finding.verdict is Verdict.FAIL))
    seen = f"{result.verdict.label}{': ' + ', '.join(found) if found else ''}"
    ratio = result.stats.changes_per_s / floor_per_s
    verdict, said = result.verdict, seen
    if campaign.expect == "fail":
        verdict = {Verdict.FAIL: Verdict.PASS, Verdict.PASS: Verdict.FAIL}.get(verdict, verdict)
        said = f"{seen}; a violation was expected"
    elif campaign.expect != "pass":
        verdict = Verdict.PASS if campaign.expect in found else Verdict.FAIL
        said = f"{seen}; {campaign.expect} was expected"
    elif verdict is Verdict.UNKNOWN and result.findings:
        said = f"unknown: {result.findings[0].message}"
    if result.interrupted and verdict is Verdict.PASS:
        verdict, said = Verdict.UNKNOWN, f"{said}, until it was interrupted"
    if campaign.throughput_floor is not None and ratio < campaign.throughput_floor and not result.interrupted:
        verdict = Verdict.FAIL
        said += f"; too slow: {ratio:.3f} of a plain loop of writes, and {campaign.throughput_floor:g} was asked for"
    seconds, done = result.stats.duration_s, result.stats.total
    if result.exploration is not None:
        seconds, done = result.exploration.seconds, result.exploration.schedules
        said = f"{said} ({done:,} schedules{', proved' if result.exploration.proved else ''})"
    return GateOutcome("campaign", name, verdict, said, seconds, done, ratio or None, result.without_history())


def _canary_task(name: str, config: Config, seed: int) -> _Task:
    broken = target.load(name)
    where = broken.scenarios or ("bridge",)

    def do(seconds: float) -> GateOutcome:
        spent, operations, seen, result = 0.0, 0, "", None
        # Scheduling is chance: a canary that gets away is given its time once more before the gate is called blind.
        for attempt in range(2):
            plan = Plan(where, name, duration_s=seconds, seed=seed + attempt, stop_on_first=True, runs=config.runs)
            result = stages.run(plan).without_history()
            spent += result.stats.duration_s
            operations += result.stats.total
            found = {finding.anomaly for finding in result.findings if finding.verdict is Verdict.FAIL}
            if caught := sorted(found & set(broken.expects)):
                said = f"caught: {', '.join(caught)}"
                return GateOutcome("canary", name, Verdict.PASS, said, spent, operations, None, result)
            seen = f"{result.verdict.label}{': ' + ', '.join(sorted(found)) if found else ''}"
            if result.interrupted:
                return GateOutcome("canary", name, Verdict.UNKNOWN, "interrupted", spent, operations, None, result)
        said = f"this gate no longer sees {' or '.join(broken.expects)}: {name} came out as {seen}, twice"
        return GateOutcome("canary", name, Verdict.FAIL, said, spent, operations, None, result)

    return _Task("canary", name, CANARY_S, do)


def _floor_per_s(directory: str | None) -> float:
    """Writes a second of a plain loop, one process, temporary file and rename: how fast this machine is just now."""
    with temporary_directory("stress-floor-", directory) as folder:
        path, temp = os.path.join(folder, "state.json"), os.path.join(folder, "temp")
        began, count = time.monotonic(), 0
        while (spent := time.monotonic() - began) < _FLOOR_S or not count:
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            os.write(fd, _DOCUMENT)
            os.close(fd)
            os.rename(temp, path)
            count += 1
        return count / max(spent, 1e-9)


# What is kept


def _past(runs: str) -> dict[str, tuple[int, int]]:
    """Task → (times that it failed, times that it was run), over the last runs of this gate."""
    try:
        plain = json.loads(Path(runs, _KEPT).read_text("utf-8"))
        return {str(key): (int(fails), int(count)) for key, (fails, count) in plain.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # nothing is lost but the order


def _keep_past(runs: str, past: Mapping[str, tuple[int, int]]) -> None:
    try:
        Path(runs).mkdir(parents=True, exist_ok=True)
        write_text(str(Path(runs, _KEPT)), json.dumps(past, indent=1, sort_keys=True) + "\n")
    except OSError:
        pass


def _keep_worst(outcomes: Sequence[GateOutcome], runs: str) -> str:
    """Copy the worst failed campaign's run directory to a name that is not pruned; returns it, or where it is."""
    bad = [outcome for outcome in outcomes if outcome.verdict is not Verdict.PASS and outcome.result is not None]
    worst = max(bad, key=lambda outcome: outcome.verdict, default=None)
    if worst is None or worst.result is None or not worst.result.run:
        return ""
    run = Path(worst.result.run)
    kept = run.with_name(f"gate-{run.name}")
    try:
        shutil.copytree(run, kept)
    except (OSError, shutil.Error):
        return str(run)
    return str(kept)
