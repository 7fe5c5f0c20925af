"""``--report trace=FILE``: Chrome's trace-event JSON, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

Each process of the run is one there, its operations are complete events (``X``), and faults and findings are instants
(``i``). Times are microseconds since the gate was opened. The form is that of Google's "Trace Event Format".

Of a run with more than `OPERATIONS_MAX` operations every n-th is there, and besides it all of the witnesses and what
went on around them; ``otherData`` and a line at the top of the trace say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stress.history.events import FaultInjected
from stress.history.history import History
from stress.history.record import INITIAL, NO_VERSION, End, Kind, Language, Operation, Outcome, format_version
from stress.reporters.registry import reporter
from stress.reporters.table import NAMES
from stress.reporters.words import one_line, verdict_line
from stress.result import Finding, Result, Verdict

__all__ = ["AROUND_MAX", "OPERATIONS_MAX", "as_trace"]

OPERATIONS_MAX = 200_000
"""Operations in a trace: about 40 MB, which Perfetto opens in seconds."""
AROUND_MAX = 1000
"""Operations nearest to a finding that are there in any case."""

_RUN = 0
"""The process that the run itself is; those that work count from 1."""


@reporter("trace")
def as_trace(result: Result) -> str:
    """The report's text: a line for each event."""
    rows, every = _chosen(result)
    other = {
        "verdict": verdict_line(result),
        "operations": len(result.history.ops) if result.history is not None else 0,
        "operations_shown": len(rows),
        "sampled": _sampled(every),
    }
    events = ",\n".join(json.dumps(event, separators=(",", ":")) for event in _events(result, rows, every))
    return f'{{"displayTimeUnit":"ms","otherData":{json.dumps(other)},\n"traceEvents":[\n{events}\n]}}\n'


def _sampled(every: int) -> str:
    if every == 1:
        return "no: all operations are here"
    return f"yes: every {every:,}th operation, and all {AROUND_MAX:,} that are nearest to each finding"


def _chosen(result: Result) -> tuple[NDArray[np.intp], int]:
    """The rows to show, and of how many one was taken."""
    history = result.history
    if history is None:
        return np.zeros(0, np.intp), 1
    every = -(-len(history.ops) // OPERATIONS_MAX) or 1
    chosen = [np.arange(0, len(history.ops), every)]
    if every > 1:
        invoked = history.ops["invoke"]
        for finding in result.findings[:100]:
            for op in finding.witness:
                at = int(np.searchsorted(invoked, op.invoke))
                half = AROUND_MAX // (2 * len(finding.witness)) + 1
                chosen.append(np.arange(max(0, at - half), min(len(invoked), at + half)))
    return np.unique(np.concatenate(chosen)), every


def _events(result: Result, rows: NDArray[np.intp], every: int) -> Iterator[dict[str, object]]:
    name = f"the run: {'all operations' if every == 1 else f'1 operation in {every:,}'}"
    yield _named("process_name", _RUN, name)
    history = result.history
    if history is None:
        return
    yield from _processes(history)
    for event in result.events:
        if isinstance(event, FaultInjected):
            lasts = {"lasts_ms": event.lasts_s * 1e3} if event.lasts_s else {}
            yield _instant(event.kind, event.process, event.at - result.began, "p", "nemesis", lasts)
    for finding in result.findings:
        yield from _of_finding(finding, result.began)
    files = [facts.path for facts in history.files]
    for row in rows.tolist():
        yield _operation(history.ops[row], files, result.began)


def _processes(history: History) -> Iterator[dict[str, object]]:
    for facts in history.processes:
        ended = f", {facts.end}" if facts.end in (End.KILLED, End.HUNG, End.DIED) else ""
        yield _named("process_name", facts.process, f"p{facts.process} {facts.language.label} {facts.role}{ended}")
        yield _named("thread_name", facts.process, f"worker {facts.worker}")


def _of_finding(finding: Finding, began: int) -> Iterator[dict[str, object]]:
    focus: Operation | None = finding.focus
    if focus is None:
        return
    words = {"message": one_line(finding.message), "file": one_line(finding.file), "count": finding.count}
    category = "violation" if finding.verdict is Verdict.FAIL else "doubt"
    yield _instant(finding.anomaly, focus.process, focus.invoke - began, "g", category, words)


def _operation(op: np.void, files: list[str], began: int) -> dict[str, object]:
    kind, process = Kind(int(op["kind"])).label, int(op["process"])
    version, parent = int(op["version"]), int(op["parent"])
    named = f" {format_version(version)}" if version != NO_VERSION else ""
    arguments: dict[str, object] = {
        "file": one_line(files[op["file"]]) if 0 <= op["file"] < len(files) else "",
        "outcome": Outcome(int(op["outcome"])).label,
        "language": Language(int(op["language"])).label,
    }
    if parent >= INITIAL:
        arguments["from"] = format_version(parent)
    return {
        "ph": "X",
        "name": f"{NAMES.get(kind, kind)}{named}",
        "cat": kind,
        "pid": process,
        "tid": process,
        "ts": int(op["invoke"] - began) / 1e3,
        "dur": int(op["return"] - op["invoke"]) / 1e3,
        "args": arguments,
    }


def _named(what: str, process: int, name: str) -> dict[str, object]:
    return {"ph": "M", "name": what, "pid": process, "tid": process, "args": {"name": name}}


def _instant(name: str, process: int, at_ns: int, scope: str, category: str, more: object) -> dict[str, object]:
    return {
        "ph": "i",
        "name": name,
        "cat": category,
        "s": scope,
        "pid": process,
        "tid": process,
        "ts": at_ns / 1e3,
        "args": more,
    }
