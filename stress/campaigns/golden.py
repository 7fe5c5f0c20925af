"""A small history as one JSON file: golden data of tests, and violations that are kept for good.

::

    about        what it shows, in a sentence
    expected     ["checker: anomaly"]: what must be found in it
    files        [{path, checkers, and any other field of `stress.history.history.FileFacts`}]
    operations   [{by: "p3 bash", does: "update", at: [start, end], version, from, outcome, held: [from, to],
                   file: index, seq, size, digest, note: {kind, …}}]
    final        [{version, from, exists, mode, link, content, …}], one for each file; not there: not looked at
    processes    [["p3 bash", role, end, status]]
    backups      path → [version, SHA-256]
    leftovers    [path]
    unswept      [[path, when it was last changed]]
    metadata     [[when, file, mode, owner, group, how often it was seen]]
    pauses       [[from, to]], of the nemesis
    cleanings    [[from, to]], of the nemesis
    required     [[kind]], for each scenario
    limit_ms     how long an operation may take

Times are milliseconds since the start barrier was opened. Versions are text: ``p3.12``, ``initial``, ``absent``,
``garbage``, ``-``. Bytes are text in Latin-1. Notes are those of `stress.history.notes`, as `to_plain` gives them.
``log`` and ``log_after`` instead of ``note`` or ``content`` are a log's records by their versions, with ``log_tail``
between the two. What is not there has its default.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from stress.history.events import LeftBehind, MetadataSeen
from stress.history.history import FileFacts, FinalFile, History, ProcessFacts
from stress.history.kinds import End, Kind, Language, Outcome, WorkerRole
from stress.history.notes import LogDelta, data_of, from_plain, to_plain
from stress.history.record import ABSENT, GARBAGE, NO_VERSION, Operation, format_version, parse_version
from stress.workload.payload import log_record

SCENARIO = "saved"
_WORDS = {"absent": ABSENT, "garbage": GARBAGE, "-": NO_VERSION}
_BEGAN = 3_600_000_000_000  # an hour after the machine was started: times are never near zero
_ENDED_MS = 1000


@dataclass(frozen=True)
class Saved:
    """A history from a file, and what must be found in it."""

    history: History
    expected: tuple[str, ...]
    """``checker: anomaly``, each."""
    about: str = ""
    as_run: bool = False
    """Whether it is judged as a whole run, by the checker ``vacuity`` too."""


def read_saved(path: Path, scenario: str = SCENARIO) -> Saved:
    """The history in the file ``path``; raises OSError, and ValueError or KeyError for what is none."""
    plain = json.loads(path.read_text("utf-8"))
    files = [_facts(each, scenario) for each in plain["files"]]
    processes = []
    for by, role, end, *status in plain.get("processes", ()):
        number, language = _by(by)
        processes.append(
            ProcessFacts(number, number, language, WorkerRole(role), _BEGAN, _at(_ENDED_MS), End(end), *status)
        )
    history = History.of(
        [_operation(each) for each in plain["operations"]],
        files,
        processes=processes,
        scenarios=[scenario],
        final=[_final(each, facts) for each, facts in zip(plain.get("final", ()), files, strict=False)],
        backups={path: (_version(version), digest) for path, (version, digest) in plain.get("backups", {}).items()},
        leftovers=plain.get("leftovers", ()),
        unswept=[LeftBehind(_at(_ENDED_MS), path, _at(changed)) for path, changed in plain.get("unswept", ())],
        metadata_seen=[MetadataSeen(_at(at), *seen) for at, *seen in plain.get("metadata", ())],
        pauses=[(_at(begin), _at(end)) for begin, end in plain.get("pauses", ())],
        cleanings=[(_at(begin), _at(end)) for begin, end in plain.get("cleanings", ())],
        began=_BEGAN,
        ended=_at(_ENDED_MS),
        limit=round(plain.get("limit_ms", 0) * 1e6),
        required=[frozenset(Kind[kind.upper()] for kind in kinds) for kinds in plain.get("required", ())],
    )
    return Saved(history, tuple(plain["expected"]), plain.get("about", ""), plain.get("vacuity", False))


def plain_history(history: History) -> dict[str, object]:
    """The plain values of a history of one file; `read_saved` is the inverse."""
    facts = {**_plain_of_file(history.files[0], ("path", "checkers"))}
    facts.pop("scenario")
    plain: dict[str, object] = {"files": [facts]}
    if history.final:  # the mode and the link are told in any case: where they are not, they are those of the facts
        plain["final"] = [_plain_of_file(history.final[0], ("exists", "version", "mode", "link"))]
    if history.backups:
        backups = history.backups.items()
        plain["backups"] = {path: [format_version(version), digest] for path, (version, digest) in backups}
    if history.leftovers:
        plain["leftovers"] = list(history.leftovers)
    if history.metadata_seen:
        plain["metadata"] = [
            [(seen.at - history.began) / 1e6, 0, seen.mode, seen.owner, seen.group, seen.count]
            for seen in history.metadata_seen
        ]
    operations = [history.operation(row) for row in range(len(history.ops))]
    return plain | {"operations": [_plain_operation(op, history.began) for op in operations]}


def _version(text: str) -> int:
    return _WORDS[text] if text in _WORDS else parse_version(text)


def _at(ms: float) -> int:
    return _BEGAN + round(ms * 1e6)


def _by(text: str) -> tuple[int, Language]:
    process, language = text.split()
    return int(process[1:]), Language.named(language)


def _log(plain: Mapping[str, Any]) -> bytes:
    before, after = ("".join(log_record(_version(v), 40) for v in plain.get(part, ())) for part in ("log", "log_after"))
    tail: str = plain.get("log_tail", "")
    return (before + tail + after).encode()


def _operation(plain: Mapping[str, Any]) -> Operation:
    process, language = _by(plain["by"])
    if isinstance(plain.get("note"), str) or "data" in plain:
        raise ValueError("its notes are of an older stress, which this one does not read; save it again")
    note = from_plain(plain["note"]) if "note" in plain else None
    seen = data_of(note)
    size, digest, version = len(seen) if seen else -1, -1, plain.get("version", "-")
    if "log" in plain:
        seen = _log(plain)
        size, digest, note = len(seen), zlib.crc32(seen), LogDelta(0, seen)
        version = "garbage" if "log_tail" in plain else "-"
    return Operation(
        process=process,
        kind=Kind[plain["does"].upper()],
        file=plain.get("file", 0),
        version=_version(version),
        parent=_version(plain.get("from", "-")),
        invoke=_at(plain["at"][0]),
        ret=_at(plain["at"][1]),
        outcome=Outcome[plain.get("outcome", "ok").upper()],
        seq=plain.get("seq", 0),
        language=language,
        held_from=_at(plain["held"][0]) if "held" in plain else 0,
        held_to=_at(plain["held"][1]) if "held" in plain else 0,
        size=plain.get("size", size),
        digest=plain.get("digest", digest),
        note=note,
    )


_VERSIONS = ("initial", "recovered", "version", "from")


def _of_file(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `FileFacts` or a `FinalFile`."""
    made: dict[str, Any] = {key: _version(value) if key in _VERSIONS else value for key, value in plain.items()}
    made |= {key: made[key].encode("latin-1") for key in ("corrupt", "content") if key in made}
    if "from" in made:
        made["parent"] = made.pop("from")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in made.items()}


def _plain_of_file(file: FileFacts | FinalFile, told: Collection[str]) -> dict[str, object]:
    """The inverse of `_of_file`: the fields ``told``, and those that are not their default."""
    plain: dict[str, object] = {}
    for known in fields(file):
        value, key = getattr(file, known.name), "from" if known.name == "parent" else known.name
        if known.name in told or value != known.default:
            plain[key] = format_version(value) if key in _VERSIONS else value
            if isinstance(value, bytes):
                plain[key] = value.decode("latin-1")
            elif isinstance(value, (tuple, frozenset)):
                plain[key] = sorted(value)
    return plain


def _facts(plain: Mapping[str, Any], scenario: str) -> FileFacts:
    return FileFacts(**_of_file(plain) | {"scenario": scenario, "checkers": frozenset(plain["checkers"])})


def _final(plain: Mapping[str, Any], facts: FileFacts) -> FinalFile:
    made = {"exists": True, "mode": facts.mode, "link": facts.link} | _of_file(plain)
    if "log" in made:
        made["content"] = _log(plain)
    return FinalFile(**{key: value for key, value in made.items() if not key.startswith("log")})


def _plain_operation(op: Operation, began: int) -> dict[str, object]:
    def ms(at: int) -> float:
        return (at - began) / 1e6

    plain: dict[str, object] = {
        "by": f"p{op.process} {op.language.label}",
        "does": op.kind.label,
        "at": [ms(op.invoke), ms(op.ret)],
        "version": format_version(op.version),
    }
    optional = {
        "from": (format_version(op.parent), "-"),
        "outcome": (op.outcome.label, "ok"),
        "seq": (op.seq, 0),
        "size": (op.size, -1),
        "digest": (op.digest, -1),
        "note": (None if op.note is None else to_plain(op.note), None),
    }
    plain |= {name: value for name, (value, default) in optional.items() if value != default}
    if op.held_from:
        plain["held"] = [ms(op.held_from), ms(op.held_to)]
    return plain
