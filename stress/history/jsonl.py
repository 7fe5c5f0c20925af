"""Histories from elsewhere: operations as lines of JSON, judged by the same checkers.

One operation a line, in any order::

    {"process": 1, "does": "write",  "file": "a.json", "version": "x1", "start": 0.10, "end": 0.20}
    {"process": 2, "does": "update", "file": "a.json", "version": "x2", "from": "x1", "start": 0.15, "end": 0.30}
    {"process": 3, "does": "read",   "file": "a.json", "version": "x2", "start": 0.40, "end": 0.41}

- ``process``: a whole number, or any text; one process does one thing at a time.
- ``does``: ``write`` (blindly), ``update`` (read, change and write as one) or ``read``.
- ``file``: whose register it is; ``register`` where it is not there.
- ``version``: what was written or seen, any JSON value. What is written to a file must differ each time: that is what
  makes the check fast. ``null`` is a file that is not there, and what a file held before the first write.
- ``from``: what an update started from; without it that is not known.
- ``start``, ``end``: in ``unit`` (``s``, the default, ``ms``, ``us`` or ``ns``), of one clock that never goes back;
  ``info`` needs no ``end``.
- ``outcome``: ``ok`` (the default), ``fail`` (it certainly did not happen) or ``info`` (unknown: it may take effect at
  any time after its start, also after its end).

Or Jepsen's events, an invocation and a completion each a line, times in nanoseconds::

    {"process": 0, "type": "invoke", "f": "write", "value": 3, "time": 100}
    {"process": 0, "type": "ok",     "f": "write", "value": 3, "time": 200}

``f`` is ``read``, ``write`` or ``cas`` (value ``[old, new]``); ``key``, where there is one, is the register. An
operation that never completes is ``info``; and ``info`` has no end, as in Jepsen. From EDN, in Clojure::

    (doseq [op history] (println (json/generate-string (select-keys op [:process :type :f :key :value :time]))))

Source: https://github.com/jepsen-io/jepsen, on histories.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from stress.history.history import FileFacts, FinalFile, History
from stress.history.kinds import Kind, Language, Outcome
from stress.history.naming import PER_UNIT_NS, Naming
from stress.history.record import ABSENT, NO_VERSION, Operation, version_of

Json = object
"""A JSON value, as `json.loads` gives it."""

_KINDS = {"write": Kind.WRITE, "update": Kind.UPDATE, "cas": Kind.UPDATE, "read": Kind.READ}
_OUTCOMES = {"ok": Outcome.OK, "fail": Outcome.FAIL, "info": Outcome.INFO}
_CHECKERS = frozenset({"register", "sessions", "torn", "updates"})
_FIELDS = ("process", "does", "file", "version", "from", "start", "end", "unit", "outcome")
_TIME_NS_MAX = 1 << 62
_LEVELS_MAX = 100
_STRANGERS = 1 << 30
"""The process of versions that nobody wrote: no process has that number."""


class HistoryError(ValueError):
    """A line that is no operation; the message begins with its number and says what would do."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")


class _Unknown:
    """What an update started from, where nobody says."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One operation, from either kind of line. Times in ns."""

    number: int
    process: str
    kind: Kind
    file: Json
    version: Json
    parent: Json | _Unknown
    start: int
    end: int
    outcome: Outcome
    unit: str


@dataclass
class _Names:
    """Gives each value its number, in order of appearance."""

    numbers: dict[str, int] = field(default_factory=dict)

    def of(self, value: Json) -> int:
        return self.numbers.setdefault(_text(value), len(self.numbers))


def read_history(path: str) -> History:
    """The history in the file ``path``; raises OSError and `HistoryError`."""
    lines = list(_operations(path))
    _refuse_overlaps(lines)
    last = max((line.end for line in lines), default=0)
    processes, files, strangers = _Names(), _Names(), _Names()
    versions: dict[tuple[int, str], tuple[int, int]] = {}  # (file, value) → version, line
    seqs: dict[int, int] = {}
    operations: list[Operation] = []
    called = {ABSENT: "null"}
    for line in lines:
        process, file = processes.of(line.process) + 1, files.of(line.file)
        seqs[process] = seqs.get(process, 0) + 1
        version = NO_VERSION
        if line.kind is not Kind.READ:
            version = version_of(process, seqs[process])
            key = (file, _text(line.version))
            if line.version is None or key in versions:
                again = "" if line.version is None else f", as line {versions[key][1]} does"
                why = f"writes {_shown(line.version)} to {_shown(line.file)}{again}; give each write a value of its own"
                raise HistoryError(line.number, why)
            versions[key] = version, line.number
            called[version] = _called(line.version)
        end = last + 1 if line.outcome is Outcome.INFO else line.end
        op = Operation(process, line.kind, file, version, NO_VERSION, line.start, end, line.outcome, seqs[process])
        operations.append(replace(op, language=Language.UNKNOWN))

    def seen(file: int, value: Json) -> int:
        if value is None:
            return ABSENT
        known = versions.get((file, _text(value)))
        version = known[0] if known else version_of(_STRANGERS + strangers.of([file, value]), 1)
        called[version] = _called(value)
        return version

    for at, (line, op) in enumerate(zip(lines, operations, strict=True)):  # now all that was written is known
        if op.kind is Kind.READ:
            operations[at] = replace(op, version=seen(op.file, line.version))
        elif op.kind is Kind.UPDATE and not isinstance(line.parent, _Unknown):
            operations[at] = replace(op, parent=seen(op.file, line.parent))
    names = [json.loads(name) for name in files.numbers]
    return History.of(
        operations,
        [FileFacts(_called(name), "", initial=ABSENT, checkers=_CHECKERS) for name in names],
        scenarios=[""],
        final=[FinalFile(exists=True) for _ in names],  # it is over, and nobody looked: what is phantom stays so
        required=[frozenset({Kind.READ})],
        began=min((op.invoke for op in operations), default=0),
        ended=last,
        given=Naming(
            unit=_finest(lines),
            processes={at + 1: json.loads(name) for name, at in processes.numbers.items()},
            versions=called,
            last=last,
        ),
    )


def _called(value: Json) -> str:
    """A value as its user knows it: text without quotes, unless it could be taken for another value."""
    if isinstance(value, str) and value.isprintable() and not re.match(r"[-\d\[{\"\s]|(null|true|false)?$", value):
        return _short(value)
    return _shown(value)


def _finest(lines: list[_Line]) -> str:
    """The unit in which all times can be told as they were given."""
    used = {line.unit for line in lines}
    return next((unit for unit in reversed(PER_UNIT_NS) if unit in used), "s")


def _refuse_overlaps(lines: list[_Line]) -> None:
    """Raise where a process begins one operation before it has ended another."""
    before: dict[str, _Line] = {}
    for line in sorted(lines, key=lambda line: (line.start, line.end)):
        earlier = before.get(line.process)
        if earlier is not None and line.start < earlier.end:
            first, second = sorted((earlier.number, line.number))
            why = f"process {line.process} does this while it does what line {first} says; give each its own process"
            raise HistoryError(second, why)
        before[line.process] = line


# Lines


def _operations(path: str) -> Iterator[_Line]:
    open_: dict[str, _Line] = {}
    last = 0
    with Path(path).open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            plain = _parse(number, raw)
            if "type" not in plain:
                yield _own(number, plain)
                continue
            event = _event(number, plain)
            if event is None:
                continue
            last = max(last, event.start)
            if plain["type"] == "invoke":
                if event.process in open_:
                    why = f"process {event.process} invokes again before what line {open_[event.process].number} began"
                    raise HistoryError(number, f"{why} is over")
                open_[event.process] = event
            elif event.process in open_:
                yield _completed(open_.pop(event.process), event)
            else:
                raise HistoryError(number, f"process {event.process} completes what it did not invoke")
    for invoked in open_.values():
        yield _completed(invoked, replace(invoked, start=last + 1, outcome=Outcome.INFO))


def _parse(number: int, raw: bytes) -> Mapping[str, Json]:
    try:
        plain = json.loads(
            str(raw, "utf-8-sig"), parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_once
        )
        levels = _levels(plain)
    except UnicodeDecodeError as error:
        raise HistoryError(number, f"not UTF-8: {error.reason} at byte {error.start}") from error
    except RecursionError:
        levels = _LEVELS_MAX + 1
    except json.JSONDecodeError as error:  # which counts lines within this one
        raise HistoryError(number, f"not JSON: {error.msg} at character {error.pos + 1}") from error
    except ValueError as error:
        raise HistoryError(number, f"not JSON: {str(error).partition('; use sys')[0]}") from error
    if levels > _LEVELS_MAX:
        raise HistoryError(number, f"nested more than {_LEVELS_MAX} levels deep; write one operation a line")
    if not isinstance(plain, dict):
        raise HistoryError(number, "not an object; write one operation a line")
    return plain


def _levels(value: Json) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_levels, inner), default=0) if inner else 0


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):  # two such numbers would be one
        raise ValueError(f"{text[:40]} is beyond what a floating-point number can be")
    return number


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    plain = dict(pairs)
    if len(plain) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"{next(name for name, count in counts.items() if count > 1)!r} is given twice")
    return plain


def _process(number: int, plain: Mapping[str, Json]) -> str:
    process = plain.get("process")
    if isinstance(process, bool) or not isinstance(process, (int, str)):
        raise HistoryError(number, f"the process {_shown(process)} is neither a whole number nor text")
    return str(process)


def _time(number: int, name: str, value: Json, scale: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        time = value * scale
    elif isinstance(value, float) and abs(value) < _TIME_NS_MAX:
        time = round(value * scale)
    else:
        raise HistoryError(number, f"{name} is {_shown(value)}; give a number")
    if abs(time) >= _TIME_NS_MAX:
        raise HistoryError(number, f"{name} is {_shown(value)}; give a time within 146 years of the clock's zero")
    return time


def _own(number: int, plain: Mapping[str, Json]) -> _Line:
    if plain.get("outcome") == "info" and plain.get("end") is None:
        plain = {**plain, "end": plain.get("start")}
    for name in ("process", "does", "start", "end"):
        if name not in plain:
            raise HistoryError(number, f"no {name!r}; the fields are {', '.join(_FIELDS)}")
    for name in plain:
        if name not in _FIELDS:
            raise HistoryError(number, f"unknown field {name!r}; there are {', '.join(_FIELDS)}")
    does, outcome, unit = plain["does"], plain.get("outcome", "ok"), plain.get("unit", "s")
    if does not in ("write", "update", "read"):
        raise HistoryError(number, f"does {_shown(does)}; there are write, update and read")
    if outcome not in list(_OUTCOMES):  # a list asks for no hash, which not every JSON value has
        raise HistoryError(number, f"the outcome {_shown(outcome)}; there are {', '.join(_OUTCOMES)}")
    if unit not in list(PER_UNIT_NS):
        raise HistoryError(number, f"the unit {_shown(unit)}; there are {', '.join(PER_UNIT_NS)}")
    if does == "read" and outcome == "ok" and "version" not in plain:
        raise HistoryError(number, "a read without the version that it saw; null is for a file that was not there")
    if does != "update" and "from" in plain:
        raise HistoryError(number, f"a {does} that says what it is from; only an update has that")
    if "from" in plain and plain["from"] is not None and _text(plain["from"]) == _text(plain.get("version")):
        raise HistoryError(number, f"an update from {_shown(plain['from'])} to itself; give each write its own value")
    start, end = (_time(number, name, plain[name], PER_UNIT_NS[str(unit)]) for name in ("start", "end"))
    if end < start:
        raise HistoryError(number, f"ends at {_shown(plain['end'])}, before its start at {_shown(plain['start'])}")
    file, version, parent = plain.get("file", "register"), plain.get("version"), plain.get("from", _Unknown())
    process, kind, ended = _process(number, plain), _KINDS[str(does)], _OUTCOMES[str(outcome)]
    return _Line(number, process, kind, file, version, parent, start, end, ended, str(unit))


def _event(number: int, plain: Mapping[str, Json]) -> _Line | None:
    """One event of Jepsen's, as an operation that begins and ends at its time; None for one of its nemesis."""
    if plain["type"] not in ("invoke", *_OUTCOMES):
        raise HistoryError(number, f"the type {_shown(plain['type'])}; there are invoke, {', '.join(_OUTCOMES)}")
    if plain.get("process") in ("nemesis", ":nemesis"):
        return None
    if isinstance(plain.get("time"), float) or "time" not in plain:
        raise HistoryError(number, "no time in nanoseconds; give a whole number")
    time = _time(number, "time", plain["time"], 1)
    f = plain.get("f")
    process = _process(number, plain)
    if f not in ("read", "write", "cas"):
        raise HistoryError(number, f"f is {_shown(f)}; there are read, write and cas")
    outcome = _OUTCOMES.get(str(plain["type"]), Outcome.OPEN)
    file = plain.get("key", "register")
    return _Line(number, process, _KINDS[str(f)], file, plain.get("value"), _Unknown(), time, time, outcome, "ns")


def _completed(invoked: _Line, completed: _Line) -> _Line:
    """The operation that ``invoked`` began and ``completed`` ended; raises where the two are not of one."""
    number = completed.number
    if (completed.kind, completed.file) != (invoked.kind, invoked.file):
        raise HistoryError(number, f"completes another operation than line {invoked.number} invoked")
    if completed.start < invoked.start:
        raise HistoryError(number, f"completes before line {invoked.number} invoked it")
    value, parent = completed.version, invoked.parent
    if invoked.kind is not Kind.READ:
        if completed.version not in (None, invoked.version):
            why = f"completes with {_shown(completed.version)}, but line {invoked.number} invoked it with "
            raise HistoryError(number, why + _shown(invoked.version))
        value = invoked.version
    if invoked.kind is Kind.UPDATE:
        if not isinstance(value, list) or len(value) != 2:
            raise HistoryError(invoked.number, f"a cas has the value {_shown(value)}; write [old, new]")
        parent, value = value
    return replace(invoked, version=value, parent=parent, end=completed.start, outcome=completed.outcome)


def _text(value: Json) -> str:
    """What tells values apart: the order of keys does not, and ``1.0`` is ``1``, as encoders differ in that."""
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value


def _shown(value: Json) -> str:
    try:
        text = json.dumps(value, sort_keys=True)
    except ValueError:  # an integer of thousands of digits
        text = "a number of thousands of digits"
    return _short(text)


def _short(text: str) -> str:
    """The text, or both ends of it: what tells versions apart is as often at the end."""
    return text if len(text) <= 60 else f"{text[:40]}…{text[-19:]}"
