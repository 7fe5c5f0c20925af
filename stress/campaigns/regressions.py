"""The track record: violations that were found once, kept as small histories that must always be found again.

A record is made of one finding: its witness alone where that is a violation by itself, else as little of what was done
to the file as still is one. It is judged by the finding's checker, and takes milliseconds.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from stress.campaigns.golden import plain_history, read_saved
from stress.checkers import registry
from stress.engine import HarnessError
from stress.exploring.plan import ExplorePlan
from stress.files import pasted, write_text
from stress.history.history import History
from stress.history.notes import BackupNote
from stress.history.record import Operation
from stress.outcomes import GateOutcome
from stress.plan import UsageError
from stress.resolve import target_named
from stress.result import Finding, Result, Verdict
from stress.schedulers.saved import SUFFIX, SavedSchedule
from stress.schedulers.shrink import ddmin
from stress.units import counted

FOLDER = "stress-regressions"
"""Where records are kept, unless the gate's table says otherwise."""
_TRIES_MAX = 400
_LIKE_IT_MAX = 50
"""How many schedules are tried in place of one that can't be followed any more."""


_Judged = tuple[Verdict, str]
"""What became of one record, and why, in words."""


def save(result: Result, name: str, folder: str = FOLDER) -> list[str]:
    """Keep the violations of ``result``, one of each anomaly; returns the files.

    They are ``NAME.json``, or ``NAME-ANOMALY.json`` where there are several. A finding of which nothing small could be
    made is left out. Raises OSError.
    """
    if result.history is None:
        return []
    chosen: dict[str, Finding] = {}
    for finding in result.findings:
        if finding.verdict is Verdict.FAIL:
            chosen.setdefault(finding.anomaly, finding)
    written: list[str] = []
    Path(folder).mkdir(parents=True, exist_ok=True)
    for anomaly, finding in chosen.items():
        text = _record(result.history, finding)
        if text:
            path = Path(folder, f"{name}.json" if len(chosen) == 1 else f"{name}-{anomaly}.json")
            write_text(str(path), text)
            written.append(str(path))
    return written


def save_schedule(file: str, name: str) -> str:
    """Keep a failing schedule (`stress.schedulers.saved`); returns the file. Raises OSError."""
    path = Path(FOLDER, name + SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(str(path), Path(file).read_text("utf-8"))
    return str(path)


def check_records(folder: str = FOLDER, runs: str = ".stress", seconds: float = 10.0) -> list[GateOutcome]:
    """Judge every record in ``folder``, and execute every schedule; none if there is no such folder.

    In place of a schedule that can't be followed any more others are tried for so many ``seconds``; ``runs`` is where
    one of them goes that fails.
    """
    outcomes = []
    for path in sorted(Path(folder).glob("*.json")):
        judged = _check_schedule(path, runs, seconds) if path.name.endswith(SUFFIX) else _check(path)
        outcomes.append(GateOutcome("record", path.stem, *judged))
    return outcomes


def _check_schedule(path: Path, runs: str, seconds: float) -> _Judged:
    """Execute a schedule: of a target that is broken it must fail again, of one that was mended it must not.

    One that can't be followed says nothing of a target that has changed: its like are looked for then.
    """
    from stress.exploring.explore import explore, replay

    try:
        saved = SavedSchedule.from_json(path.read_text("utf-8"), str(path))
        expected = target_named(str(saved.plan.get("target"))).expects
        execution, result = replay(saved)
        found = _violations(result)
        if expected:
            why = f" (its replay diverged at {execution.diverged})" if execution.diverged else ""
            return _found_again(path, expected, found, why)
        if found:
            return Verdict.FAIL, f"fails again: {', '.join(found)}; `stress replay {pasted(str(path))}` shows it"
        if result.verdict is Verdict.PASS:
            return Verdict.PASS, "does not fail any more"
        plan = dataclasses.replace(
            ExplorePlan.from_json(saved.plan),
            scheduler="mix",
            until=None,
            keep_going=False,
            schedules=_LIKE_IT_MAX,
            duration_s=seconds,
        )
        result = explore(plan, folder=runs)
    except (OSError, ValueError) as error:
        return _unjudged(path, error)
    except HarnessError as error:  # it can't be executed here, which is nobody's fault
        return Verdict.UNKNOWN, f"{path} could not be executed: {error}"
    gone = "it can't be followed, for its target has changed"
    assert result.exploration is not None
    if found := _violations(result):
        shows = f"`stress replay {pasted(result.exploration.file)}` shows one; keep that in place of {path}"
        return Verdict.FAIL, f"{gone}; others fail: {', '.join(found)}; {shows}"
    if result.verdict is not Verdict.PASS:
        why = result.findings[0].message if result.findings else "the others were not executed"
        return Verdict.UNKNOWN, f"{gone}; {why}"
    tried = counted(result.exploration.schedules, "other schedule passes", "other schedules pass")
    return Verdict.PASS, f"does not fail any more: {gone}, and {tried}"


def _check(path: Path) -> _Judged:
    try:
        saved = read_saved(path)
        if not saved.expected:
            raise ValueError("it does not say what is expected")
        names = list(registry.load())
        found = {
            f"{finding.checker}: {finding.anomaly}"
            for name in sorted({expected.partition(":")[0] for expected in saved.expected} & set(names))
            for finding in registry.CHECKERS.get(name)(saved.history)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return _unjudged(path, error)
    return _found_again(path, saved.expected, found)


def _violations(result: Result) -> list[str]:
    return sorted({str(finding.anomaly) for finding in result.findings if finding.verdict is Verdict.FAIL})


def _found_again(path: Path, expected: Sequence[str], found: Collection[str], why: str = "") -> _Judged:
    """A record of which one anomaly at least, and of a history each, is there."""
    missing = [each for each in expected if each not in found]
    enough = len(missing) < len(expected) if path.name.endswith(SUFFIX) else not missing
    if enough:
        return Verdict.PASS, f"found again: {', '.join(each for each in expected if each in found)}"
    return Verdict.FAIL, f"no longer found: {', '.join(missing)}{why}"


def _unjudged(path: Path, error: Exception) -> _Judged:
    why = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
    return Verdict.FAIL, f"{path} could not be judged: {why}; mend what is wrong in it, or remove it"


def _record(history: History, finding: Finding) -> str:
    """The text of a record of ``finding``; empty where nothing small is a violation by itself."""
    number = next(
        (
            number
            for number, facts in enumerate(history.files)
            if facts.path == finding.file and finding.checker in facts.checkers
        ),
        None,
    )
    if number is None:
        return ""
    small = _small(history, finding, number)
    check = registry.CHECKERS.get(finding.checker)

    def found(operations: Sequence[Operation]) -> bool:
        return any(
            each.anomaly == finding.anomaly and each.verdict is Verdict.FAIL for each in check(small(operations))
        )

    whole = map(history.operation, history.rows(number))
    for chosen in (finding.witness, whole):
        operations = [dataclasses.replace(op, file=0, scenario=0) for op in chosen]
        if found(operations):
            plain = {
                "about": finding.message,
                "expected": [f"{finding.checker}: {finding.anomaly}"],
                **plain_history(small(ddmin(operations, found, _TRIES_MAX))),
            }
            return json.dumps(plain, indent=1, ensure_ascii=True) + "\n"
    return ""


def _small(history: History, finding: Finding, number: int) -> Callable[[Sequence[Operation]], History]:
    """Makes the history of some operations on file ``number``, with what else the finding is about."""
    facts, checker = history.files[number], finding.checker
    named = {posixpath.normpath(op.note.path) for op in finding.witness if isinstance(op.note, BackupNote)}
    return lambda operations: History.of(
        operations,
        [dataclasses.replace(facts, checkers=frozenset({checker}), scenario="saved")],
        scenarios=["saved"],
        final=[history.final[number]] if history.final else [],
        backups={path: kept for path, kept in history.backups.items() if checker == "backups" and path in named},
        leftovers=history.leftovers if checker == "leftovers" else (),
        metadata_seen=[
            dataclasses.replace(seen, file=0)
            for seen in history.metadata_seen
            if checker == "metadata" and seen.file == number
        ],
        began=history.began,
    )
