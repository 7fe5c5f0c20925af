"""``--report trace=FILE``: Chrome's trace-event JSON, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

Each process of the run is one there, its operations are complete events (``X``), and faults and findings are instants
(``i``). Times are microseconds since the start barrier was opened. The form is that of Google's "Trace Event Format".

An operation of a witness has ▲ before its name, the category ``witness``, and the findings that it proves among its
arguments. Flow events (``s``, ``f``) are arrows from the operation that made a version to those of the witness that saw
it or made the next one from it.

Of a run with more than `OPERATIONS_MAX` operations every n-th is there, and besides it all of the witnesses and what
went on around them; ``otherData`` and a line at the top of the trace say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stress.history.events import FaultInjected
from stress.history.history import History
from stress.history.kinds import Kind, Language, Outcome
from stress.history.naming import Naming
from stress.history.record import INITIAL, NO_VERSION, Operation
from stress.reporters.links import links
from stress.reporters.registry import reporter
from stress.reporters.table import NAMES
from stress.reporters.words import one_line, verdict_line
from stress.result import Finding, Result, Verdict

OPERATIONS_MAX = 200_000
"""Operations in a trace: about 40 MB, which Perfetto opens in seconds."""
AROUND_MAX = 1000
"""Operations nearest to a finding that are there in any case."""
WITNESSES_MAX = 100
"""Findings whose witnesses are there in any case, and marked."""

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
        for finding in result.findings[:WITNESSES_MAX]:
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
    proves = _witnesses(result.findings[:WITNESSES_MAX])
    files = [facts.path for facts in history.files]
    for row in rows.tolist():
        yield _operation(history.ops[row], files, result.names, result.began, proves)
    yield from _flows(result.findings[:WITNESSES_MAX], result.began)


def _processes(history: History) -> Iterator[dict[str, object]]:
    for process, name in history.names.processes.items():
        yield _named("process_name", process, name)
    for facts in history.processes:
        name = f"p{facts.process}"
        yield _named("process_name", facts.process, f"{name} {facts.about}")
        yield _named("thread_name", facts.process, name)


def _of_finding(finding: Finding, began: int) -> Iterator[dict[str, object]]:
    focus: Operation | None = finding.focus
    if focus is None:
        return
    words = {"message": one_line(finding.message), "file": one_line(finding.file), "count": finding.count}
    category = "violation" if finding.verdict is Verdict.FAIL else "doubt"
    yield _instant(finding.anomaly, focus.process, focus.invoke - began, "g", category, words)


def _witnesses(findings: Sequence[Finding]) -> dict[tuple[int, int], list[str]]:
    """(process, invoke) of each operation of a witness → the findings that it proves, numbered from 1."""
    proves: dict[tuple[int, int], list[str]] = {}
    for place, finding in enumerate(findings, 1):
        for op in finding.witness:
            role = " (this is it)" if op == finding.focus else ""
            proves.setdefault((op.process, op.invoke), []).append(f"finding {place}: {finding.anomaly}{role}")
    return proves


def _flows(findings: Sequence[Finding], began: int) -> Iterator[dict[str, object]]:
    """An arrow for each pair of a witness in which the second saw the version of the first, or started from it.

    It leaves at the end of the first and arrives at the end of the second; a viewer binds each end to the operation
    that is under way then.
    """
    number = 0
    for place, finding in enumerate(findings, 1):
        for maker, user in links(finding):
            number += 1
            flow = {"name": f"finding {place}: {finding.anomaly}", "cat": "witness", "id": number}
            leaves = min(maker.ret, user.ret)
            arrives = {"ph": "f", "bp": "e", "pid": user.process, "tid": user.process}
            yield {**flow, "ph": "s", "pid": maker.process, "tid": maker.process, "ts": (leaves - began) / 1e3}
            yield {**flow, **arrives, "ts": (user.ret - began) / 1e3}


def _operation(
    op: np.void, files: list[str], names: Naming, began: int, proves: Mapping[tuple[int, int], list[str]]
) -> dict[str, object]:
    kind, process = Kind(int(op["kind"])).label, int(op["process"])
    version, parent = int(op["version"]), int(op["parent"])
    named = f" {names.version(version)}" if version != NO_VERSION else ""
    arguments: dict[str, object] = {
        "file": one_line(files[op["file"]]) if 0 <= op["file"] < len(files) else "",
        "outcome": Outcome(int(op["outcome"])).label,
    }
    if language := Language(int(op["language"])).label:
        arguments["language"] = language
    if parent >= INITIAL:
        arguments["from"] = names.version(parent)
    proved = proves.get((process, int(op["invoke"])), [])
    if proved:
        arguments["witness"] = "; ".join(proved)
    return {
        "ph": "X",
        "name": f"{'▲ ' if proved else ''}{NAMES.get(kind, kind)}{named}",
        "cat": f"{kind},witness" if proved else kind,
        "pid": process,
        "tid": process,
        "ts": int(op["invoke"] - began) / 1e3,
        "dur": int(op["return"] - op["invoke"]) / 1e3,
        "args": arguments,
    }


def _named(what: str, process: int, name: str) -> dict[str, object]:
    return {"ph": "M", "name": what, "pid": process, "tid": process, "args": {"name": name}}


def _instant(
    name: str, process: int, at_ns: int, scope: str, category: str, more: Mapping[str, object]
) -> dict[str, object]:
    place = {"s": scope, "pid": process, "tid": process, "ts": at_ns / 1e3}
    return {"ph": "i", "name": name, "cat": category, **place, "args": more}
