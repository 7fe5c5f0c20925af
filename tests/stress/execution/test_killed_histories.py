"""What a campaign of SIGKILLs leaves in the history, against a record of the target's own beside the journals."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from stress import engine
from stress.history.events import FaultInjected, read_events
from stress.history.kinds import FaultKind, Kind, Outcome
from stress.history.record import format_version
from stress.history.run_directory import RunDirectory
from stress.plan import Plan
from stress.result import Verdict

KILLS = int(os.environ.get("STRESS_KILLS", "30"))
"""How many at least; 1000 by hand: ``STRESS_KILLS=1000 pytest tests/stress/execution/test_killed_histories.py``."""

TARGET = """
import os
import atomicops

RESIDUE = (".*.lock", ".*.atomicops-tmp")
fds = {}

def note(*words):
    if os.getpid() not in fds:
        process = os.environ["STRESS_PROCESS"].split(":")[-2]
        fds[os.getpid()] = os.open(f"RECORDS/{process}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fds[os.getpid()], (" ".join(words) + "\\n").encode())

def version_in(document):
    return document["stress"]["version"]

def write(path, document):
    note("begin", "write")
    atomicops.atomic_write_json(document, path, durability="none")
    note("done", version_in(document))

def update(path, change):
    note("begin", "update")
    seen = []
    def noted(document):
        seen.append(change(document))
        return seen[-1]
    atomicops.update_json(path, noted, durability="none")
    note("done", version_in(seen[-1]))

def read(path):
    note("begin", "read")
    document = atomicops.safe_read_json(path)
    note("done", version_in(document))
    return document
"""


def test_what_was_acknowledged_is_there_what_was_open_is_unknown_and_nothing_is_invented(tmp_path: Path) -> None:
    for duration_s in (KILLS * 0.05, KILLS * 0.3 + 10):  # a loaded machine kills less often
        records = tmp_path / f"records {duration_s}"
        records.mkdir()
        run = _killed(tmp_path, records, duration_s)
        killed = {
            event.process
            for event in read_events(run)
            if isinstance(event, FaultInjected) and event.kind is FaultKind.KILL
        }
        if len(killed) >= KILLS // 2:
            break
    assert len(killed) >= KILLS // 2

    ops = RunDirectory(run).history().ops
    ops = ops[ops["kind"] != Kind.OBSERVE]  # which is the harness's own, and not in the target's record
    done: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for process, kind, outcome, version in zip(
        *(ops[name].tolist() for name in ("process", "kind", "outcome", "version")), strict=True
    ):
        done[process].append((Kind(kind).label, format_version(version) if outcome == Outcome.OK else "?"))
        if outcome != Outcome.OK:
            assert outcome == Outcome.INFO
            assert process in killed, "only a kill leaves what nobody knows"
    cut_short = 0
    for process in {*done, *(int(path.name) for path in records.iterdir())}:
        noted = _noted(records / str(process))
        recorded = done[process]
        # A kill may come between a row and the target's first words, and between its last words and the row's end.
        assert recorded[: len(noted) - 1] == noted[:-1]
        assert len(noted) <= len(recorded) <= len(noted) + 1
        for kind, version in recorded[len(noted) :]:
            assert (version, process in killed) == ("?", True), kind
        if noted:
            (kind, version), known = recorded[len(noted) - 1], noted[-1]
            assert kind == known[0]
            assert version in (known[1], "?") if process in killed else version == known[1]
            assert not (known[1] == "?" and version != "?"), "acknowledged, and the target does not know"
        cut_short += any(version == "?" for _, version in recorded)
    assert cut_short > len(killed) / 4, "most kills must come in the middle of something"


def _killed(home: Path, records: Path, duration_s: float) -> Path:
    """A run in which writers are killed."""
    target = home / "mine.py"
    target.write_text(TARGET.replace("RECORDS", str(records)))
    (home / "files").mkdir(exist_ok=True)
    plan = Plan(
        scenarios=("handoff", "session_count"), target=str(target), writers=16, readers=4, mix=(("python", 16),),
        duration_s=duration_s, kill_every_s=0.02, runs=str(home / "runs"), directory=str(home / "files"),
    )  # fmt: skip
    result = engine.run(plan)
    assert result.verdict is Verdict.PASS, result.findings
    return Path(result.run)


def _noted(path: Path) -> list[tuple[str, str]]:
    """What a process's target has noted: kind and version, ``?`` where it did not come to its end."""
    noted: list[tuple[str, str]] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        word, what = line.split(" ")
        if word == "begin":
            noted.append((what, "?"))
        else:
            noted[-1] = noted[-1][0], what
    return noted
