"""The track record: violations that were found once, kept as small histories that must always be found again.

A record is made of one finding: its witness alone where that is a violation by itself, else as little of what was done
to the file as still is one. It is judged by the finding's checker, and takes milliseconds.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.campaigns.golden import plain_history, read_saved
from stress.checkers import registry
from stress.engine import HarnessError
from stress.exploring.plan import ExplorePlan
from stress.files import write_text
from stress.history.history import FileFacts, FinalFile, History
from stress.history.notes import BackupNote
from stress.history.record import Operation
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


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one record."""

    path: str
    verdict: Verdict
    said: str
    """Why, in words."""


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


def check_records(folder: str = FOLDER, runs: str = ".stress", seconds: float = 10.0) -> list[Record]:
    """Judge every record in ``folder``, and execute every schedule; none if there is no such folder.

    In place of a schedule that can't be followed any more others are tried for so many ``seconds``; ``runs`` is where
    one of them goes that fails.
    """
    return [
        _check_schedule(path, runs, seconds) if path.name.endswith(SUFFIX) else _check(path)
        for path in sorted(Path(folder).glob("*.json"))
    ]


def _check_schedule(path: Path, runs: str, seconds: float) -> Record:
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
            return Record(str(path), Verdict.FAIL, f"fails again: {', '.join(found)}; `stress replay {path}` shows it")
        if result.verdict is Verdict.PASS:
            return Record(str(path), Verdict.PASS, "does not fail any more")
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
        return Record(str(path), Verdict.UNKNOWN, f"{path} could not be executed: {error}")
    gone = "it can't be followed, for its target has changed"
    assert result.exploration is not None
    if found := _violations(result):
        shows = f"`stress replay {result.exploration.file}` shows one; keep that in place of {path}"
        return Record(str(path), Verdict.FAIL, f"{gone}; others fail: {', '.join(found)}; {shows}")
    if result.verdict is not Verdict.PASS:
        why = result.findings[0].message if result.findings else "the others were not executed"
        return Record(str(path), Verdict.UNKNOWN, f"{gone}; {why}")
    tried = counted(result.exploration.schedules, "other schedule passes", "other schedules pass")
    return Record(str(path), Verdict.PASS, f"does not fail any more: {gone}, and {tried}")


def _check(path: Path) -> Record:
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


def _found_again(path: Path, expected: Sequence[str], found: Collection[str], why: str = "") -> Record:
    """A record of which one anomaly at least, and of a history each, is there."""
    missing = [each for each in expected if each not in found]
    enough = len(missing) < len(expected) if path.name.endswith(SUFFIX) else not missing
    if enough:
        return Record(str(path), Verdict.PASS, f"found again: {', '.join(each for each in expected if each in found)}")
    return Record(str(path), Verdict.FAIL, f"no longer found: {', '.join(missing)}{why}")


def _unjudged(path: Path, error: Exception) -> Record:
    why = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
    return Record(str(path), Verdict.FAIL, f"{path} could not be judged: {why}; mend what is wrong in it, or remove it")


def _record(history: History, finding: Finding) -> str:
    files = [
        number
        for number, facts in enumerate(history.files)
        if facts.path == finding.file and finding.checker in facts.checkers
    ]
    if not files:
        return ""
    number = files[0]
    facts = dataclasses.replace(history.files[number], checkers=frozenset({finding.checker}), scenario="saved")
    small = _Small(history, finding, facts, history.final[number] if history.final else None)
    operations = small.shrink([dataclasses.replace(op, file=0, scenario=0) for op in finding.witness])
    if operations is None:
        rows = history.rows(number)
        operations = small.shrink([dataclasses.replace(history.operation(row), file=0, scenario=0) for row in rows])
    if operations is None:
        return ""
    plain = {
        "about": finding.message,
        "expected": [f"{finding.checker}: {finding.anomaly}"],
        **plain_history(small.history(operations)),
    }
    return json.dumps(plain, indent=1, ensure_ascii=True) + "\n"


class _Small:
    """Tries out what of a history is enough for a finding."""

    def __init__(self, history: History, finding: Finding, facts: FileFacts, final: FinalFile | None) -> None:
        self._finding, self._facts, self._began = finding, facts, history.began
        self._final = [] if final is None else [final]
        named = {posixpath.normpath(op.note.path) for op in finding.witness if isinstance(op.note, BackupNote)}
        self._backups = {
            path: kept for path, kept in history.backups.items() if finding.checker == "backups" and path in named
        }
        self._leftovers = tuple(history.leftovers) if finding.checker == "leftovers" else ()
        self._metadata_seen = [
            dataclasses.replace(seen, file=0)
            for seen in history.metadata_seen
            if finding.checker == "metadata" and history.files[seen.file].path == facts.path
        ]

    def shrink(self, operations: Sequence[Operation]) -> list[Operation] | None:
        """As few of ``operations`` as will do; None if all of them will not."""
        return ddmin(operations, self._found, _TRIES_MAX) if self._found(operations) else None

    def history(self, operations: Sequence[Operation]) -> History:
        """A history of these, and of what else the finding is about."""
        return History.of(
            operations,
            [self._facts],
            scenarios=["saved"],
            final=self._final,
            backups=self._backups,
            leftovers=self._leftovers,
            metadata_seen=self._metadata_seen,
            began=self._began,
        )

    def _found(self, operations: Sequence[Operation]) -> bool:
        found = registry.CHECKERS.get(self._finding.checker)(self.history(operations))
        return any(each.anomaly == self._finding.anomaly and each.verdict is Verdict.FAIL for each in found)
