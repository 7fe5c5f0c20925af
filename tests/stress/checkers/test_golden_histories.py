"""Golden histories, good and bad: what the checkers must say of each, and that a person understands it.

A history is a JSON file in ``tests/stress/histories``; times are milliseconds. ``expected`` lists all that is to be
found.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from stress.checkers.registry import load
from stress.history.history import FileFacts, FinalFile, History, ProcessFacts
from stress.history.record import (
    ABSENT,
    GARBAGE,
    INITIAL,
    NO_VERSION,
    Kind,
    Language,
    Operation,
    Outcome,
    parse_version,
)
from stress.payload import log_record
from stress.result import Finding, Verdict

FOLDER = Path(__file__).parents[1] / "histories"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
WORDS = {"absent": ABSENT, "garbage": GARBAGE, "initial": INITIAL, "-": NO_VERSION}
BEGAN = 3_600_000_000_000  # an hour after the machine was started


def _version(text: str) -> int:
    return WORDS[text] if text in WORDS else parse_version(text)


def _at(ms: float) -> int:
    return BEGAN + round(ms * 1e6)


def _log(fields: dict[str, Any]) -> bytes:
    before, after = (
        "".join(log_record(_version(v), 40) for v in fields.get(part, ())) for part in ("log", "log_after")
    )
    tail: str = fields.get("log_tail", "")
    return (before + tail + after).encode("ascii")


def _operation(fields: dict[str, Any]) -> Operation:
    process, language = fields["by"].split()
    data = fields.get("data", "").encode("latin-1")
    size, digest, text, version = len(data) if data else -1, -1, fields.get("note", ""), fields.get("version", "-")
    if "log" in fields:
        data = _log(fields)
        size, digest, text = len(data), zlib.crc32(data), "keep=0"
        version = "garbage" if "log_tail" in fields else "-"
    return Operation(
        process=int(process[1:]),
        kind=Kind[fields["does"].upper()],
        file=fields.get("file", 0),
        version=_version(version),
        parent=_version(fields.get("from", "-")),
        invoke=_at(fields["at"][0]),
        ret=_at(fields["at"][1]),
        outcome=Outcome[fields.get("outcome", "ok").upper()],
        seq=fields.get("seq", 0),
        language=Language[language.upper()],
        held_from=_at(fields["held"][0]) if "held" in fields else 0,
        held_to=_at(fields["held"][1]) if "held" in fields else 0,
        size=size,
        digest=digest,
        text=text,
        data=data,
    )


def _facts(fields: dict[str, Any]) -> FileFacts:
    made = {**fields, "scenario": "drill", "checkers": frozenset(fields["checkers"])}
    for name in ("initial", "recovered"):
        if name in fields:
            made[name] = _version(fields[name])
    made["corrupt"] = fields.get("corrupt", "").encode("latin-1")
    return FileFacts(**made)


def _final(fields: dict[str, Any], facts: FileFacts) -> FinalFile:
    content: bytes = _log(fields) if "log" in fields else fields.get("content", "").encode("latin-1")
    return FinalFile(
        exists=fields.get("exists", True),
        version=_version(fields.get("version", "-")),
        parent=_version(fields.get("from", "-")),
        content=content,
        mode=fields.get("mode", facts.mode),
        link=fields.get("link", facts.link),
        xattrs_lost=tuple(fields.get("xattrs_lost", ())),
        evidence_kept=fields.get("evidence_kept", True),
    )


def golden(name: str) -> tuple[History, list[str], bool]:
    """The history of that name, what is to be found, and whether it is judged as a run as well."""
    fields = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    files = [_facts(each) for each in fields["files"]]
    processes = []
    for by, role, end, *status in fields.get("processes", ()):
        number, language = int(by.split()[0][1:]), Language[by.split()[1].upper()]
        processes.append(ProcessFacts(number, number, language, role, BEGAN, _at(1000), end, *status))
    history = History.of(
        [_operation(each) for each in fields["operations"]],
        files,
        processes=processes,
        scenarios=["drill"],
        final=[_final(each, facts) for each, facts in zip(fields.get("final", ()), files, strict=False)],
        backups={path: (_version(version), digest) for path, (version, digest) in fields.get("backups", {}).items()},
        leftovers=fields.get("leftovers", ()),
        began=BEGAN,
        ended=_at(1000),
        limit=round(fields.get("limit_ms", 0) * 1e6),
        required=[frozenset(Kind[kind.upper()] for kind in kinds) for kinds in fields.get("required", ())],
    )
    return history, fields["expected"], fields.get("vacuity", False)


def _judged(history: History, *, as_run: bool) -> list[Finding]:
    checkers = load()
    return [found for name in checkers if name != "vacuity" or as_run for found in checkers.get(name)(history)]


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_history_is_judged_as_it_says(name: str) -> None:
    history, expected, as_run = golden(name)
    found = _judged(history, as_run=as_run)
    assert sorted(f"{each.checker}: {each.anomaly}" for each in found) == sorted(expected), [f.message for f in found]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_found_stands_by_itself(name: str) -> None:
    history, _, as_run = golden(name)
    rows = [history.operation(row) for row in range(len(history.ops))]
    for found in _judged(history, as_run=as_run):
        assert found.count >= 1
        assert found.scenario == "drill" or (found.checker == "vacuity" and not found.witness)
        assert len(found.witness) <= 6
        assert all(op in rows for op in found.witness)
        assert list(found.witness) == sorted(found.witness, key=lambda op: op.invoke)
        assert found.message[0].isupper() or found.message[0] == "p"
        assert found.message.endswith(".")
        assert "\n" not in found.message
        assert len(found.message) < 600
        assert found.verdict is (Verdict.UNKNOWN if found.checker == "vacuity" else Verdict.FAIL)
        if found.witness and found.checker not in ("leftovers", "metadata", "vacuity"):
            assert " ms" in found.message, "it must say when"
            assert any(f"p{op.process} (" in found.message for op in found.witness), "it must say who"


@pytest.mark.parametrize("name", NAMES)
def test_checkers_are_pure(name: str) -> None:
    history, _, as_run = golden(name)
    before = history.ops.tobytes()
    history.ops.flags.writeable = False
    first = _judged(history, as_run=as_run)
    assert _judged(history, as_run=as_run) == first
    assert history.ops.tobytes() == before


def test_every_checker_has_something_that_it_catches() -> None:
    caught = {each.split(":")[0] for name in NAMES for each in golden(name)[1]}
    assert caught == set(load())


def test_every_anomaly_has_a_golden_history() -> None:
    from stress.anomalies import ABOUT

    shown = {each.split(": ")[1] for name in NAMES for each in golden(name)[1]}
    assert set(ABOUT) - shown == {"starvation"}, "starvation takes too many operations to be told as data"
