"""A run directory: the plan, the journals and the evidence of one run, so that it can be checked again without being
run again.

::

    RUN/plan.json       what was asked for
        world.json      the shared files before the run, the scenarios, what was left out
        provenance.json when, where and with what it was made
        journal/        pNNNNNN.ops and .notes, two a process (see `stress.history.journal`)
        events.jsonl    starts, ends, strokes of the nemesis
        final.json      the shared files, backups and leftovers when all had ended; final/ holds their bytes
        result.json     the report of the first check
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from stress.history.events import Ended, Event, FaultInjected, GateOpened, Started, Stopped, read_events
from stress.history.history import Columns, FileFacts, FinalFile, History, ProcessFacts
from stress.history.journal import read_note, read_rows
from stress.history.record import RECORD, End, FaultKind, Kind, Outcome
from stress.history.skipped import Skipped

__all__ = ["load_history", "load_provenance", "save_final", "save_provenance", "save_world"]


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, (frozenset, set)):
        return sorted(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _fields(thing: FileFacts | FinalFile) -> dict[str, object]:
    return {field.name: _plain(getattr(thing, field.name)) for field in dataclasses.fields(thing)}


def _bytes(value: Mapping[str, str]) -> bytes:
    return base64.b64decode(value["base64"])


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def save_world(
    run: Path,
    files: tuple[FileFacts, ...],
    scenarios: Mapping[str, frozenset[str]],
    required: tuple[frozenset[Kind], ...],
    skipped: tuple[Skipped, ...],
    limit_ns: int,
) -> None:
    """Write what the checkers need to know of the world, before the run; ``scenarios``: name → checkers."""
    _write(
        run / "world.json",
        {
            "files": [_fields(facts) for facts in files],
            "scenarios": list(scenarios),
            "checkers": {name: sorted(checkers) for name, checkers in scenarios.items()},
            "required": [sorted(kinds) for kinds in required],
            "skipped": [each.to_plain() for each in skipped],
            "limit": limit_ns,
        },
    )


def save_provenance(run: Path, known: Mapping[str, str]) -> None:
    """Write when, where and with what the run is made: see `stress.host.provenance`."""
    _write(run / "provenance.json", dict(known))


def load_provenance(run: Path) -> dict[str, str]:
    """What `save_provenance` wrote; nothing for a run of an earlier version. Raises ValueError for what is none."""
    try:
        known = json.loads((run / "provenance.json").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(known, dict):
        raise ValueError(f"{run / 'provenance.json'} holds no names and values")
    return {str(name): str(value) for name, value in known.items()}


def save_final(
    run: Path, final: tuple[FinalFile, ...], backups: Mapping[str, tuple[int, str]], leftovers: tuple[str, ...]
) -> None:
    """Write what was there when all had ended."""
    folder = run / "final"
    folder.mkdir()
    plain = []
    for number, file in enumerate(final):
        fields = _fields(dataclasses.replace(file, content=b"")) | {"content": None}
        if file.content:
            fields["content"] = f"final/{number}"
            (folder / str(number)).write_bytes(file.content)
        plain.append(fields)
    _write(run / "final.json", {"files": plain, "backups": backups, "leftovers": leftovers})


def load_history(run: Path, *, now: int = 0) -> History:
    """The history of a run that is over, or, with ``now`` (ns), of one under way.

    An operation that is still open becomes ``info``; it returns when its process's tree had been reaped (after that it
    can't act any more), or ``now``.
    """
    world = json.loads((run / "world.json").read_text("utf-8"))
    events = read_events(run)
    began, ended, processes = _processes(events, now)
    ops = read_rows(*sorted((run / "journal").glob("p*.ops")))
    if now:
        ops = _as_of(ops, now)
    _sort(ops)
    _close_open(ops, processes, now)
    files = tuple(
        FileFacts(**{**fields, "checkers": frozenset(fields["checkers"]), "corrupt": _bytes(fields["corrupt"])})
        for fields in world["files"]
    )
    final, backups, leftovers = _final(run) if not now else ((), {}, ())
    return History(
        ops=ops,
        files=files,
        processes=tuple(processes.values()),
        scenarios=tuple(world["scenarios"]),
        final=final,
        backups=backups,
        leftovers=leftovers,
        pauses=_pauses(events),
        began=began,
        ended=ended,
        limit=world["limit"],
        notes=functools.partial(read_note, run / "journal"),
        required=tuple(frozenset(Kind(kind) for kind in kinds) for kinds in world["required"]),
    )


def _as_of(ops: Columns, now: int) -> Columns:
    """What had happened by ``now``, which is before the first journal was read.

    The journals of a run under way are read one after the other: in a later one there may be a look at what an earlier
    one, when it was read, did not have yet.
    """
    ops = ops[ops["invoke"] <= now]
    later = ops["return"] > now
    ops["outcome"][later] = Outcome.OPEN
    return ops


def _sort(ops: Columns) -> None:
    """Put rows in order of invocation, where they are: eight bytes of each at a time, and not a second history."""
    order = np.argsort(ops["invoke"], kind="stable")
    words = ops.view("<i8").reshape(len(ops), RECORD.itemsize // 8)
    for column in words.T:
        column[:] = column[order]


def _processes(events: Iterable[Event], now: int) -> tuple[int, int, dict[int, ProcessFacts]]:
    began = ended = 0
    processes: dict[int, ProcessFacts] = {}
    for event in events:
        match event:
            case GateOpened():
                began = event.began
            case Stopped():
                ended = event.ended
            case Started(at, process, worker, language, role, within=within):
                end = End.RUNNING if now else End.DIED
                processes[process] = ProcessFacts(process, worker, language, role, at, end=end, within=within)
            case Ended(_, process, end, reaped, status):
                processes[process] = dataclasses.replace(processes[process], ended=reaped, end=end, status=status)
            case _:
                pass
    if began:  # those of the first round waited for the gate
        processes = {
            number: dataclasses.replace(facts, started=max(facts.started, began)) for number, facts in processes.items()
        }
    return began, ended or now, processes


def _pauses(events: Iterable[Event]) -> tuple[tuple[int, int], ...]:
    pauses: list[tuple[int, int]] = []
    for event in events:
        if isinstance(event, FaultInjected) and event.kind is FaultKind.PAUSE:
            begin, end = event.at, event.at + int(event.lasts_s * 1e9)
            if pauses and begin <= pauses[-1][1]:
                begin, end = pauses[-1][0], max(end, pauses.pop()[1])
            pauses.append((begin, end))
    return tuple(pauses)


def _close_open(ops: Columns, processes: Mapping[int, ProcessFacts], now: int) -> None:
    open_rows = np.flatnonzero(ops["outcome"] == Outcome.OPEN)
    for row in open_rows:
        facts = processes.get(int(ops["process"][row]))
        end = facts.ended if facts is not None and facts.ended else now
        ops["return"][row] = max(end, int(ops["invoke"][row]))
        # Of a process that ended by itself no operation may be open: vacuity looks for those, so they stay as they are.
        if facts is None or facts.end is not End.FINISHED:
            ops["outcome"][row] = Outcome.INFO


def _final(run: Path) -> tuple[tuple[FinalFile, ...], dict[str, tuple[int, str]], tuple[str, ...]]:
    try:
        saved = json.loads((run / "final.json").read_text("utf-8"))
    except FileNotFoundError:
        return (), {}, ()
    final = tuple(
        FinalFile(
            **{
                **fields,
                "content": (run / fields["content"]).read_bytes() if fields["content"] else b"",
                "xattrs_lost": tuple(fields["xattrs_lost"]),
            }
        )
        for fields in saved["files"]
    )
    backups = {path: (version, digest) for path, (version, digest) in saved["backups"].items()}
    return final, backups, tuple(saved["leftovers"])
