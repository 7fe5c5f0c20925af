"""Histories from elsewhere: operations as lines of JSON, judged by the same checkers.

One operation a line, in any order::

    {"process": 1, "does": "write",  "file": "a.json", "version": "x1", "start": 0.10, "end": 0.20}
    {"process": 2, "does": "update", "file": "a.json", "version": "x2", "from": "x1", "start": 0.15, "end": 0.30}
    {"process": 3, "does": "read",   "file": "a.json", "version": "x2", "start": 0.40, "end": 0.41}

- ``process``: a number from 1, or any text; one process does one thing at a time.
- ``does``: ``write`` (blindly), ``update`` (read, change and write as one) or ``read``.
- ``file``: whose register it is; ``register`` where it is not there.
- ``version``: what was written or seen, any JSON value. What is written to a file must differ each time: that is what
  makes the check fast. ``null`` is a file that is not there, and what a file held before the first write.
- ``from``: what an update started from; without it that is not known.
- ``start``, ``end``: seconds, or with ``"unit": "ns"`` nanoseconds, of one clock that never goes back.
- ``outcome``: ``ok`` (the default), ``fail`` (it certainly did not happen) or ``info`` (unknown).

Or Jepsen's events, an invocation and a completion each a line, times in nanoseconds::

    {"process": 0, "type": "invoke", "f": "write", "value": 3, "time": 100}
    {"process": 0, "type": "ok",     "f": "write", "value": 3, "time": 200}

``f`` is ``read``, ``write`` or ``cas`` (value ``[old, new]``); ``key``, where there is one, is the register. An
operation that never completes is ``info``. From EDN, in Clojure::

    (doseq [op history] (println (json/generate-string (select-keys op [:process :type :f :key :value :time]))))

Source: https://github.com/jepsen-io/jepsen, on histories.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stress.history.history import FileFacts, FinalFile, History
from stress.history.record import ABSENT, Kind, Operation, Outcome, version_of

__all__ = ["HistoryError", "read_history"]

_KINDS = {"write": Kind.WRITE, "update": Kind.UPDATE, "cas": Kind.UPDATE, "read": Kind.READ}
_CHECKERS = frozenset({"register", "sessions", "torn", "updates"})
_FIELDS = {"process", "does", "file", "version", "from", "start", "end", "unit", "outcome"}


class HistoryError(ValueError):
    """A line that is no operation; the message names it and says what would do."""


@dataclass
class _Names:
    """Gives each text its number, in order of appearance."""

    numbers: dict[str, int] = field(default_factory=dict)

    def of(self, value: Any) -> int:
        return self.numbers.setdefault(json.dumps(value, sort_keys=True), len(self.numbers))


def read_history(path: str) -> History:
    """The history in the file ``path``; raises OSError and `HistoryError`."""
    processes, files = _Names(), _Names()
    versions: dict[tuple[int, str], int] = {}
    writers: dict[int, int] = {}
    seqs: dict[int, int] = {}
    operations: list[Operation] = []
    seen: list[tuple[Any, Any]] = []  # what was seen or started from: a version when all writes are known
    for number, plain in _operations(path):
        process = processes.of(plain["process"]) + 1
        file = files.of(plain["file"])
        seqs[process] = seqs.get(process, 0) + 1
        op = Operation(
            process=process, kind=plain["kind"], file=file, invoke=plain["start"], ret=plain["end"],
            outcome=plain["outcome"], seq=seqs[process],
        )  # fmt: skip
        if op.kind is not Kind.READ:
            key = (file, json.dumps(plain["version"], sort_keys=True))
            if plain["version"] is None or key in versions:
                before = "" if plain["version"] is None else f", as in line {writers[versions[key]]}"
                raise HistoryError(
                    f"line {number} writes {json.dumps(plain['version'])[:60]} to {plain['file']}{before}: "
                    "each write needs a value of its own"
                )
            versions[key] = written = version_of(process, op.seq)
            writers[written] = number
            op = replace(op, version=written)
        operations.append(op)
        seen.append((plain["version"], plain["from"]))
    strangers = _Names()

    def version(file: int, value: Any) -> int:
        if value is None:
            return ABSENT
        key = (file, json.dumps(value, sort_keys=True))
        # What nobody wrote keeps a version that no process has.
        return versions[key] if key in versions else version_of((1 << 30) + strangers.of([file, value]), 1)

    for at, (value, parent) in enumerate(seen):
        op = operations[at]
        if op.kind is Kind.READ:
            operations[at] = replace(op, version=version(op.file, value))
        elif op.kind is Kind.UPDATE and parent is not _UNKNOWN:
            operations[at] = replace(op, parent=version(op.file, parent))
    names = [json.loads(name) for name in files.numbers]
    return History.of(
        operations,
        [FileFacts(str(name), "history", initial=ABSENT, checkers=_CHECKERS) for name in names],
        scenarios=["history"],
        final=[FinalFile(exists=True) for _ in names],  # it is over, and nobody looked: what is phantom stays so
        required=[frozenset({Kind.READ})],
        began=min((op.invoke for op in operations), default=0),
        ended=max((op.ret for op in operations), default=0),
    )


_UNKNOWN = object()


def _operations(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, its fields in one form), of either kind of line."""
    open_: dict[str, tuple[int, dict[str, Any]]] = {}
    last = 0
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                plain = json.loads(line)
            except ValueError as error:
                raise HistoryError(f"line {number} is not JSON: {error}") from error
            if not isinstance(plain, dict):
                raise HistoryError(f"line {number} is not an object; write one operation a line")
            if "type" not in plain:
                yield number, _own(number, plain)
                continue
            process, event = json.dumps(plain.get("process")), _event(number, plain)
            last = max(last, event["time"])
            if event["kind"] is None:
                continue  # of Jepsen's nemesis, which does nothing to a register
            if plain["type"] == "invoke":
                if process in open_:
                    first = open_[process][0]
                    raise HistoryError(f"line {number}: process {process} invokes again before line {first} is over")
                open_[process] = number, event
            elif process in open_:
                begun, invoked = open_.pop(process)
                yield begun, _completed(invoked, event, Outcome[plain["type"].upper()])
            else:
                raise HistoryError(f"line {number}: process {process} completes what it did not invoke")
    for begun, invoked in open_.values():
        yield begun, _completed(invoked, invoked | {"time": last + 1}, Outcome.INFO)


def _own(number: int, plain: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("process", "does", "start", "end"):
        if name not in plain:
            raise HistoryError(f"line {number} has no {name!r}; write {sorted(_FIELDS - {'unit'})}")
    for name in plain:
        if name not in _FIELDS:
            raise HistoryError(f"line {number} has an unknown field {name!r}; there are {', '.join(sorted(_FIELDS))}")
    if plain["does"] not in ("write", "update", "read"):
        raise HistoryError(f"line {number} does {plain['does']!r}; there are write, update and read")
    scale = 1 if plain.get("unit") == "ns" else 1e9
    times = [plain["start"], plain["end"]]
    if any(isinstance(time, bool) or not isinstance(time, (int, float)) for time in times) or times[1] < times[0]:
        raise HistoryError(f"line {number}: start and end must be numbers, the end not before the start")
    try:
        outcome = Outcome[str(plain.get("outcome", "ok")).upper()]
    except KeyError:
        outcome = Outcome.OPEN
    if outcome is Outcome.OPEN:
        raise HistoryError(f"line {number} has the outcome {plain['outcome']!r}; there are ok, fail and info")
    start, end = (round(time * scale) for time in times)
    return {
        "process": plain["process"],
        "kind": _KINDS[plain["does"]],
        "file": plain.get("file", "register"),
        "version": plain.get("version"),
        "from": plain.get("from", _UNKNOWN),
        "start": start,
        "end": end,
        "outcome": outcome,
    }


def _event(number: int, plain: Mapping[str, Any]) -> dict[str, Any]:
    if plain["type"] not in ("invoke", "ok", "fail", "info"):
        raise HistoryError(f"line {number} has the type {plain['type']!r}; there are invoke, ok, fail and info")
    if isinstance(plain.get("time"), bool) or not isinstance(plain.get("time"), int):
        raise HistoryError(f"line {number} has no time in nanoseconds")
    kind = _KINDS.get(str(plain.get("f"))) if plain.get("f") != "update" else None
    if kind is None and isinstance(plain.get("process"), int):
        raise HistoryError(f"line {number} has f {plain.get('f')!r}; there are read, write and cas")
    return {
        "process": plain.get("process"),
        "kind": kind,
        "file": plain.get("key", "register"),
        "value": plain.get("value"),
        "time": plain["time"],
    }


def _completed(invoked: Mapping[str, Any], completed: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    kind = invoked["kind"]
    value = completed["value"] if kind is Kind.READ else invoked["value"]
    parent: Any = _UNKNOWN
    if kind is Kind.UPDATE:
        if not isinstance(value, list) or len(value) != 2:
            raise HistoryError(f"a cas has the value {json.dumps(value)[:60]}; write [old, new]")
        parent, value = value
    return {
        "process": invoked["process"],
        "kind": kind,
        "file": invoked["file"],
        "version": value,
        "from": parent,
        "start": invoked["time"],
        "end": max(invoked["time"], completed["time"]),
        "outcome": outcome,
    }
