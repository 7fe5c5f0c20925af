"""What recording an operation costs, and how fast what was recorded is loaded."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from stress import engine
from stress.bench.measure import Figure, Setting, Sheet
from stress.execution.cast import Cast
from stress.execution.drivers.driver import Numbered
from stress.execution.drivers.observe import Observation
from stress.execution.drivers.python import PythonDriver
from stress.execution.free import FreeRun
from stress.execution.progress import Progress
from stress.execution.runner import Ended, Place, Watch
from stress.history.events import BarrierOpened, Started, read_events
from stress.history.history import History
from stress.history.journal import ROW_BYTES, Header, Journal, read_header, read_rows, row_of
from stress.history.kinds import Kind, Language, Outcome
from stress.history.npz import save_columns
from stress.history.record import INITIAL, NO_VERSION, version_of
from stress.history.run_directory import RunDirectory, runs_in
from stress.plan import Plan
from stress.workload.payload import document_of, examine_document

_ROWS, _QUICK = 200_000, 2000


def sheets(setting: Setting) -> Iterator[Sheet]:
    """Recording, loading, verifying; then the start of many workers, and the harness's share of a run."""
    rows = _QUICK if setting.quick else _ROWS
    yield Sheet("recording", lambda: _recording(setting.directory, rows))
    yield Sheet("verifying a document", lambda: _verifying(rows // 20))
    yield Sheet("recording and verifying", lambda: _watching(setting))
    for workers in (16,) if setting.quick else (16, 128, 512):
        yield Sheet(f"starting {workers} workers", lambda workers=workers: _starting(setting, workers))  # type: ignore[misc]


def _recording(folder: Path, rows: int) -> Iterator[Figure]:
    journal = Journal(str(folder), 1, 1, Language.PYTHON)
    per_op = min(_record(journal, rows) for _ in range(5)) / rows
    journal.close()
    yield Figure("an operation", per_op * 1e9, "ns", f"invoked and completed, the best of five times {rows:,}")
    yield Figure(
        "an operation, on disk", float(ROW_BYTES), "bytes", "besides what few have: notes, digests, locks held"
    )
    ops = read_rows(folder / "p000001.ops")
    path = folder / "columns.npz"
    began = time.perf_counter()
    save_columns(str(path), History(ops=ops[:rows], files=()))
    seconds = time.perf_counter() - began
    yield Figure("exporting", rows / seconds, "operations/s", f"as compressed columns, {rows:,}, once")
    yield Figure("an operation, exported", path.stat().st_size / rows, "bytes", "as compressed columns")
    for made in (*folder.glob("p*"), path):
        made.unlink()


def _record(journal: Journal, rows: int) -> float:
    invoke, complete = journal.invoke, journal.complete
    row, ok, version = row_of(Kind.READ, 0, 0), Outcome.OK, version_of(1, 1)
    began = time.perf_counter()
    for _ in range(rows):
        complete(invoke(row), ok, version, INITIAL)
    return time.perf_counter() - began


def _verifying(times: int) -> Iterator[Figure]:
    for size in (300, 64 << 10):
        documents = [document_of(version_of(1, number), size, {"status": "running"}) for number in range(1, 65)]
        texts = [json.dumps(document) for document in documents]
        parse = min(_each(json.loads, texts, times) for _ in range(3))
        verify = min(_each(examine_document, documents, times) for _ in range(3))
        yield Figure(f"parsing, {size:,} bytes", parse * 1e6, "µs", "json.loads, the best of three")
        yield Figure(f"verifying, {size:,} bytes", verify * 1e6, "µs", "of the parsed document, the best of three")


def _each(call: object, values: list[object] | list[str], times: int) -> float:
    assert callable(call)
    rounds = max(1, times // len(values))
    began = time.perf_counter()
    for _ in range(rounds):
        for value in values:
            call(value)
    return (time.perf_counter() - began) / (rounds * len(values))


def _watching(setting: Setting) -> Iterator[Figure]:
    """Operations per second of 16 Python workers and their readers, watched and not, in turns."""
    watched, unwatched = FreeRun(), _Unrecorded(python_driver=_Unexamined, python_journal=_Counter)
    rates: dict[FreeRun, list[float]] = {watched: [], unwatched: []}
    seconds = 0.5 if setting.quick else 2.0
    for turn in range(1 if setting.quick else 7):
        for runner, made in rates.items():
            runs = setting.directory / f"runs-{turn}-{runner is watched}"
            plan = Plan(mix={"python": 16}, duration=seconds, seed=turn + 1, dir=setting.directory, runs=runs)
            headers = _headers(Path(engine.run(plan, runner=runner).run))
            made.append(sum(header.rows for header in headers) / seconds)
    ratios = [one / other for one, other in zip(*rates.values(), strict=True)]
    how = f"16 Python workers and their readers, {len(ratios)} times {seconds:g} s of the bridge, the median"
    yield Figure("recorded and verified", float(np.median(rates[watched])), "operations/s", how)
    yield Figure("neither", float(np.median(rates[unwatched])), "operations/s", "the same in turns")
    yield Figure("of the one by the other", float(np.median(ratios)), "×", "the median of the pairs")


class _Unrecorded(FreeRun):
    """A free run whose journals hold a count and no operations: there is nothing to judge."""

    def run(self, cast: Cast, place: Place, watch: Watch) -> Ended:
        """See `stress.execution.runner.Runner`."""
        ended = super().run(cast, place, watch)
        return replace(ended, history=replace(ended.history, ops=ended.history.ops[:0]))


class _Unexamined(PythonDriver):
    """Does the same operations, and looks at nothing that they saw."""

    def examine(self, op: Numbered, raw: object) -> Observation:
        """As if all went well."""
        return Observation()


class _Counter(Journal):
    """Records nothing but how many operations there were."""

    def invoke(self, row: int, value: int = NO_VERSION, /) -> int:
        """Count one."""
        self.rows += 1
        return 0

    def record_parent(self, parent: int) -> None:
        """Nothing."""

    def complete(self, ret: int, outcome: Outcome, value: int, parent: int = NO_VERSION, /) -> None:
        """Nothing."""

    def close(self) -> None:
        """The header has the count; there are no rows for it."""
        os.close(self._fd)


def _headers(run: Path) -> list[Header]:
    """Those of the journals of a run that is over."""
    headers = []
    for path in sorted(RunDirectory(run).journals.glob("p*.ops")):
        with path.open("rb") as file:
            header = read_header(file.fileno())
        assert header is not None, "the run is over"
        headers.append(header)
    return headers


def _starting(setting: Setting, workers: int) -> Iterator[Figure]:
    runs = setting.directory / f"runs-{workers}"
    seconds = 2 + workers // 128  # many take long over their first operations
    where = setting.directory
    plan = Plan("handoff", mix={"python": workers}, readers=0, duration=seconds, seed=1, dir=where, runs=runs)
    sizes: list[int] = []

    def weigh(progress: Progress) -> None:
        if progress.phase == "running" and not sizes:
            there = [each.pid for each in read_events(runs_in(runs)[0].path) if isinstance(each, Started)]
            sizes.extend(map(_own_bytes, there[:: len(there) // 8]))  # a look at all would take the run's time

    result = engine.run(plan, weigh)
    run = Path(result.run)
    events = read_events(run)
    opened = next(event.began for event in events if isinstance(event, BarrierOpened))
    first = min(event.at for event in events if isinstance(event, Started))
    headers = _headers(run)
    woken = [header.woken_ns for header in headers]
    ops = read_rows(*RunDirectory(run).journals.glob("p*.ops"))
    last = int(ops["invoke"][ops["seq"] == 1].max())
    how = f"{workers} Python workers, once"
    yield Figure("until the start barrier opens", (opened - first) / 1e9, "s", f"from the first one's start, {how}")
    yield Figure(
        "skew at the start barrier", (max(woken) - min(woken)) / 1e6, "ms", f"from the first woken to the last, {how}"
    )
    yield Figure("first operations within", (last - opened) / 1e6, "ms", "of the barrier: each is work for a processor")
    yield Figure(
        "CPU time to get ready",
        float(np.median([header.cpu_before_ns for header in headers])) / 1e6,
        "ms",
        "of a worker, the median",
    )
    if sizes:
        yield Figure(
            "memory of a worker's own",
            float(np.median(sizes)) / 1e6,
            "MB",
            "proportional set size, the median of eight",
        )
    yield Figure("operations", result.stats.total / seconds, "operations/s", f"{how}, {seconds} s of handoff")
    if result.stats.cpu is not None:
        yield Figure("the harness's share", result.stats.cpu.harness_share, "of CPU time", "of the same")


def _own_bytes(pid: int) -> int:
    """Proportional set size (proc_pid_smaps(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
