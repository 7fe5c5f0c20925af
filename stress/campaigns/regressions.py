"""The track record: violations that were found once, kept as small histories that must always be found again.

A record is made of one finding: its witness alone where that is a violation by itself, else as little of what was done
to the file as still is one. It is judged by the finding's checker, and takes milliseconds.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.campaigns.golden import plain_history, read_saved
from stress.checkers import registry
from stress.engine import HarnessError
from stress.files import write_text
from stress.history.history import FileFacts, FinalFile, History
from stress.history.notes import BackupNote
from stress.history.record import Operation
from stress.resolve import target_named
from stress.result import Finding, Result, Verdict
from stress.schedulers.saved import SUFFIX, SavedSchedule
from stress.schedulers.shrink import ddmin

FOLDER = "stress-regressions"
"""Where records are kept, unless the gate's table says otherwise."""
_TRIES_MAX = 400


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one record: ``missing`` are those of ``expected`` that were not found; ``broken``: why it could
    not be judged.
    """

    path: str
    expected: tuple[str, ...]
    missing: tuple[str, ...] = ()
    broken: str = ""


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


def check_records(folder: str = FOLDER) -> list[Record]:
    """Judge every record in ``folder``, and execute every schedule; none if there is no such folder."""
    return [
        _check_schedule(path) if path.name.endswith(SUFFIX) else _check(path)
        for path in sorted(Path(folder).glob("*.json"))
    ]


def _check_schedule(path: Path) -> Record:
    """Execute a schedule: of a target that is broken it must fail again, of one that was mended it must not."""
    from stress.exploring.explore import replay

    try:
        saved = SavedSchedule.from_json(path.read_text("utf-8"), str(path))
        expected = target_named(str(saved.plan.get("target"))).expects
        execution, result = replay(saved)
    except (OSError, ValueError, HarnessError) as error:
        return Record(str(path), (), broken=f"{type(error).__name__}: {error}")
    found = {str(finding.anomaly) for finding in result.findings if finding.verdict is Verdict.FAIL}
    if expected:
        missing = () if found & set(expected) else expected
        why = f" (its replay diverged at {execution.diverged})" if missing and execution.diverged else ""
        return Record(str(path), tuple(each + why for each in expected), tuple(each + why for each in missing))
    broken = f"fails again: {', '.join(sorted(found))}" if found else ""
    return Record(str(path), ("nothing: it was mended",), broken=broken)


def _check(path: Path) -> Record:
    try:
        saved = read_saved(path)
        names = list(registry.load())
        found = {
            f"{finding.checker}: {finding.anomaly}"
            for name in sorted({expected.partition(":")[0] for expected in saved.expected} & set(names))
            for finding in registry.CHECKERS.get(name)(saved.history)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return Record(str(path), (), broken=f"{type(error).__name__}: {error}")
    return Record(str(path), saved.expected, tuple(each for each in saved.expected if each not in found))


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
