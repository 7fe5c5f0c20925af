"""A run directory: the plan, the journals and the evidence of one run, so that it can be checked again without being
run again.

::

    RUN/plan.json       what was asked for; locked as long as the run goes on
        world.json      the shared files before the run, the scenarios, what was left out
        provenance.json when, where and with what it was made
        journal/        pNNNNNN.ops and .notes, two a process (see `stress.history.journal`)
        events.jsonl    starts, ends, faults
        final.json      the shared files, backups and leftovers when all had ended; final/ holds their bytes
        cpu.json        where the CPU time went
        result.json     the report of the first check

`RunDirectory` alone makes, names and removes these files. Each that is not appended to is there whole or not at all.
"""

from __future__ import annotations

import base64
import dataclasses
import fcntl
import functools
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stress.files import write_text
from stress.history.events import (
    BarrierOpened,
    Ended,
    Event,
    FaultInjected,
    LeftBehind,
    MetadataSeen,
    Started,
    Stopped,
    event_line,
    read_events,
)
from stress.history.history import Columns, FileFacts, FinalFile, FinalState, History, ProcessFacts
from stress.history.journal import read_note, read_rows
from stress.history.kinds import End, FaultKind, Kind, Outcome
from stress.history.record import RECORD
from stress.history.skipped import Skipped

_NAME = re.compile(r"\d{8}-\d{6}-.+-[0-9a-f]{6}")


@dataclass(frozen=True)
class SavedRun:
    """What a run directory holds of a run that is over."""

    plan: Mapping[str, Any]
    history: History
    events: tuple[Event, ...]
    checkers: Mapping[str, frozenset[str]]
    """Scenario → the checkers that its files name."""
    skipped: tuple[Skipped, ...]
    provenance: Mapping[str, str]
    cpu: Mapping[str, float] | None
    """See `stress.stats.Cpu`; None where nobody measured it."""


@dataclass(frozen=True)
class RunDirectory:
    """The run directory at ``path``. Methods that write raise OSError."""

    path: Path

    @classmethod
    def make(cls, runs: Path, target: str, plan: Mapping[str, object]) -> tuple[RunDirectory, Callable[[], None]]:
        """A new directory in ``runs`` for a run of that target, locked, and what lets go of the lock.

        ``runs`` is made where it is not there, with a ``.gitignore`` for all that is in it.
        """
        if not runs.exists():
            runs.mkdir(parents=True)
            write_text(str(runs / ".gitignore"), "*\n")
        name = re.sub(r"[^\w.:-]", "_", target)[:100]
        run = cls(runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{secrets.token_hex(3)}")
        run.path.mkdir()
        # The lock is of the file, not of its name: it is held before anybody can see the plan.
        new = run.path / ".plan"
        lock = None
        try:
            lock = new.open("x", encoding="utf-8")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.write(json.dumps(plan, indent=1))
            lock.flush()
            run.journals.mkdir()
            new.rename(run._plan)
        except BaseException:
            run.remove()
            with suppress(OSError):  # it writes what is not written yet, and there may be no room for that
                if lock is not None:
                    lock.close()
            raise
        return run, lock.close

    @property
    def journals(self) -> Path:
        """The folder of the journals."""
        return self.path / "journal"

    @property
    def events_file(self) -> Path:
        """Where events are appended, as `stress.history.events` tells."""
        return self.path / "events.jsonl"

    @property
    def supervisor_errors(self) -> Path:
        """The supervisor's standard error."""
        return self.path / "supervisor.err"

    @property
    def result_file(self) -> Path:
        """The report of the first check."""
        return self.path / "result.json"

    @property
    def _plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def exists(self) -> bool:
        """Whether there is a run directory at that path."""
        return self._plan.is_file()

    @property
    def is_readable(self) -> bool:
        """Whether it holds enough for a check to say anything."""
        return self.exists and (self.path / "world.json").is_file()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody prunes it in this block. Raises OSError where somebody else holds it."""
        with self._plan.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def save_world(
        self,
        files: tuple[FileFacts, ...],
        scenarios: Mapping[str, frozenset[str]],
        required: tuple[frozenset[Kind], ...],
        skipped: tuple[Skipped, ...],
        limit_ns: int,
    ) -> None:
        """Write what the checkers need to know of the world, before the run; ``scenarios``: name → checkers."""
        self._write(
            "world.json",
            {
                "files": [_fields(facts) for facts in files],
                "scenarios": list(scenarios),
                "checkers": {name: sorted(checkers) for name, checkers in scenarios.items()},
                "required": [sorted(kinds) for kinds in required],
                "skipped": [each.to_plain() for each in skipped],
                "limit": limit_ns,
            },
        )

    def save_provenance(self, known: Mapping[str, str]) -> None:
        """Write when, where and with what the run is made: see `stress.host.provenance`."""
        self._write("provenance.json", dict(known))

    def save_final(self, final: FinalState) -> None:
        """Write what was there when all had ended."""
        folder = self.path / "final"
        folder.mkdir()
        plain = []
        for number, file in enumerate(final.files):
            fields = _fields(dataclasses.replace(file, content=b"")) | {"content": None}
            if file.content:
                fields["content"] = f"final/{number}"
                (folder / str(number)).write_bytes(file.content)
            plain.append(fields)
        self._write("final.json", {"files": plain, "backups": final.backups, "leftovers": final.leftovers})

    def save_cpu(self, cpu: Mapping[str, float]) -> None:
        """Write where the CPU time went."""
        self._write("cpu.json", dict(cpu))

    def save_result(self, text: str) -> None:
        """Write the report of the first check."""
        write_text(str(self.result_file), text)

    def add_event(self, event: Event) -> None:
        """Append one event."""
        with self.events_file.open("a", encoding="utf-8") as file:
            file.write(event_line(event))

    def _write(self, name: str, content: object) -> None:
        write_text(str(self.path / name), json.dumps(content, indent=1))

    # Reading

    def load(self) -> SavedRun:
        """What is in it. Raises OSError, ValueError, KeyError or TypeError where it is no run directory, or broken."""
        world, history, events = self._read("world.json"), self.history(), tuple(self.events())
        self._see_that_nothing_is_missing(history, events)
        return SavedRun(
            plan=self.plan(),
            history=history,
            events=events,
            checkers={name: frozenset(checkers) for name, checkers in world["checkers"].items()},
            skipped=tuple(Skipped.from_plain(each) for each in world["skipped"]),
            provenance=self.provenance(),
            cpu=self._read("cpu.json") if (self.path / "cpu.json").exists() else None,
        )

    def _see_that_nothing_is_missing(self, history: History, events: Iterable[Event]) -> None:
        """Raise ValueError where records are gone: without a writer's journal, what others read of it is nobody's."""
        ops, known = history.ops, {facts.process for facts in history.processes}
        if unknown := set(np.unique(ops["process"]).tolist()) - known:
            raise ValueError(f"events.jsonl tells nothing of p{min(unknown)}, which did operations")
        odd = ~(np.isin(ops["kind"], list(Kind)) & np.isin(ops["outcome"], list(Outcome)))
        odd |= (ops["file"] < 0) | (ops["file"] >= len(history.files))
        if odd.any():
            raise ValueError(f"p{ops['process'][odd][0]:06}.ops holds what is no operation")
        noted = np.zeros(max(known, default=0) + 1, np.int64)
        np.maximum.at(noted, ops["process"], ops["note_at"] + ops["note_size"])
        for facts in history.processes:
            path = self.journals / f"p{facts.process:06}.ops"
            notes = path.with_suffix(".notes")
            # Who is killed may have had no time to begin one.
            begun = path.stat().st_size == 0 if path.exists() else notes.exists()
            if begun and (facts.end is End.FINISHED or not path.exists()):
                raise ValueError(f"{path.name} is missing or empty")
            if noted[facts.process] > 0 and notes.stat().st_size < noted[facts.process]:
                raise ValueError(f"{notes.name} is cut off")
        if any(isinstance(event, Stopped) for event in events) and not (self.path / "final.json").exists():
            raise ValueError("final.json, what was there when all had ended, is missing")

    def plan(self) -> dict[str, Any]:
        """As `stress.plan.Plan.to_json` gave it."""
        plain = self._read("plan.json")
        for name in ("scenarios", "allow", "only", "load"):
            if not all(isinstance(each, str) for each in plain.get(name, ())):
                raise ValueError(f"plan.json: {name} are no names")
        return plain

    def result(self) -> dict[str, Any]:
        """The report of the first check; empty where there is none."""
        return self._read("result.json") if self.result_file.exists() else {}

    def provenance(self) -> dict[str, str]:
        """What `save_provenance` wrote; nothing for a run of an earlier version."""
        if not (self.path / "provenance.json").exists():
            return {}
        return {str(name): str(value) for name, value in self._read("provenance.json").items()}

    def events(self) -> list[Event]:
        """All events so far."""
        return read_events(self.path)

    def history(self, *, now: int = 0) -> History:
        """The history of a run that is over, or, with ``now`` (ns), of one under way.

        An operation that is still open becomes ``info``; it returns when its process's tree had been reaped (after that
        it can't act any more), or ``now``.
        """
        world = self._read("world.json")
        events = self.events()
        began, ended, processes = _processes(events, now)
        ops = read_rows(*sorted(self.journals.glob("p*.ops")))
        if now:
            ops = _as_of(ops, now)
        _sort(ops)
        _close_open(ops, processes, now)
        files = tuple(
            FileFacts(**{**fields, "checkers": frozenset(fields["checkers"]), "corrupt": _bytes(fields["corrupt"])})
            for fields in world["files"]
        )
        final = FinalState() if now else self._final()
        return History(
            ops=ops,
            files=files,
            processes=tuple(processes.values()),
            scenarios=tuple(world["scenarios"]),
            final=final.files,
            backups=final.backups,
            leftovers=final.leftovers,
            unswept=tuple(event for event in events if isinstance(event, LeftBehind)),
            metadata_seen=tuple(event for event in events if isinstance(event, MetadataSeen)),
            pauses=_pauses(events),
            cleanings=tuple(
                (event.at, event.at + int(event.lasts_s * 1e9))
                for event in events
                if isinstance(event, FaultInjected) and event.kind is FaultKind.CLEAN
            ),
            began=began,
            ended=ended,
            limit=world["limit"],
            notes=functools.partial(read_note, self.journals),
            required=tuple(frozenset(Kind(kind) for kind in kinds) for kinds in world["required"]),
        )

    def _final(self) -> FinalState:
        if not (self.path / "final.json").exists():
            return FinalState()
        saved = self._read("final.json")
        files = tuple(
            FinalFile(
                **{
                    **fields,
                    "content": (self.path / fields["content"]).read_bytes() if fields["content"] else b"",
                    "xattrs_lost": tuple(fields["xattrs_lost"]),
                }
            )
            for fields in saved["files"]
        )
        backups = {path: (version, digest) for path, (version, digest) in saved["backups"].items()}
        return FinalState(files, backups, tuple(saved["leftovers"]))

    def _read(self, name: str) -> dict[str, Any]:
        try:
            plain = json.loads((self.path / name).read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name}: {error}") from error
        if not isinstance(plain, dict):
            raise ValueError(f"{name} holds no names and values")
        return plain


def runs_in(runs: Path) -> list[RunDirectory]:
    """The run directories in ``runs``, the oldest first."""
    return [RunDirectory(path.parent) for path in sorted(runs.glob("*/plan.json"), key=lambda path: path.parent.name)]


def prune(runs: Path, newest: RunDirectory, keep: int) -> None:
    """Remove the oldest run directories beyond ``keep``: only what is one by name and by content, and not in use."""
    found = [run for run in runs_in(runs) if _NAME.fullmatch(run.path.name) and run != newest]
    too_many = len(found) + 1 - keep
    for run in found:
        if too_many <= 0:
            return
        with suppress(OSError, ValueError), run.held():
            if "scenarios" in run.plan() and run.journals.is_dir():
                run.remove()
                too_many -= 1


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


def _as_of(ops: Columns, now: int) -> Columns:
    """What had happened by ``now``, which is before the first journal was read.

    The journals of a run under way are read one after the other: in a later one there may be a read of what an earlier
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
            case BarrierOpened():
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
    if began:  # those of the first round waited for the start barrier
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
