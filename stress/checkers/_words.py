"""What findings are made of: phrases for operations and times, excerpts of bytes, the scenario a witness belongs to."""

from __future__ import annotations

from collections.abc import Iterable

from stress.anomalies import Anomaly
from stress.history.history import FileFacts, History
from stress.history.kinds import Kind, Outcome
from stress.history.record import NO_VERSION, Operation
from stress.result import Details, Evidence, Finding, Verdict, witness
from stress.workload.payload import writers_in

WITNESS_MAX = 6
_PARTS_MAX = 4

_VERBS = {
    Kind.WRITE: "wrote",
    Kind.READ: "read",
    Kind.OBSERVE: "read",
    Kind.UPDATE: "updated to",
    Kind.APPEND: "appended",
    Kind.BACKUP: "backed up",
    Kind.OBSERVE_BACKUP: "read a backup:",
    Kind.RECOVER: "recovered, and saw",
}


def moment(history: History, at: int) -> str:
    """A time, such as ``4.100 ms``: since the run began, or as the user of the history gave it."""
    return history.names.moment(at)


def span(history: History, op: Operation) -> str:
    """From when to when an operation took; as `moment`."""
    return history.names.span(op.invoke, op.ret)


def who(history: History, op: Operation) -> str:
    """``p3 (bash)``, or the user's name of the process."""
    return history.names.who(op)


def did(history: History, op: Operation) -> str:
    """``p3 (bash) wrote p3.12 at 4.100–4.310 ms``, with what is known of how it ended."""
    said = f"{who(history, op)} {_VERBS[op.kind]}"
    if op.version != NO_VERSION:
        said += f" {history.names.version(op.version)}"
    if op.kind is Kind.UPDATE and op.parent != NO_VERSION:
        said += f" from {history.names.version(op.parent)}"
    ended = {Outcome.FAIL: ", which failed", Outcome.INFO: ", outcome unknown"}.get(op.outcome, "")
    return f"{said} at {span(history, op)}{ended}"


def excerpt(content: bytes, at: int, around: int = 48) -> str:
    """The bytes around an offset, escaped, with a mark where it is."""
    start, stop = max(0, at - around), min(len(content), at + around)
    before, after = repr(content[start:at])[2:-1], repr(content[at:stop])[2:-1]
    return f"{'…' if start else ''}{before}⟨byte {at:,}⟩{after}{'…' if stop < len(content) else ''}"


def parts(content: bytes) -> str:
    """Whose parts bytes are made of: ``p3.12 (bytes 40–812), p5.7 (bytes 812–900)``; empty if nobody's."""
    found = writers_in(content)
    said = ", ".join(f"{name} (bytes {first:,}–{last:,})" for name, first, last in found[:_PARTS_MAX])
    return said + (f" and {len(found) - _PARTS_MAX} more" if len(found) > _PARTS_MAX else "")


def pick(rows: Iterable[int | None]) -> list[int]:
    """Rows for a witness: each once, in the order of their weight, no more than fit; what is no row is left out."""
    kept = dict.fromkeys(int(row) for row in rows if row is not None and row >= 0)
    return list(kept)[:WITNESS_MAX]


def finding(
    history: History,
    checker: str,
    anomaly: Anomaly,
    facts: FileFacts | None,
    message: str,
    rows: Iterable[int | None] = (),
    detail: Details = (),
    count: int = 1,
    verdict: Verdict = Verdict.FAIL,
    evidence: Evidence | None = None,
    cause: str = "",
) -> Finding:
    """A finding on a file; the first of ``rows`` is what it is about. Its scenario is that row's, else the file's."""
    chosen = pick(rows)
    scenario = facts.scenario if facts is not None else ""
    if chosen:
        index = int(history.ops["scenario"][chosen[0]])
        if index < len(history.scenarios):
            scenario = history.scenarios[index]
    return Finding(
        anomaly=anomaly,
        checker=checker,
        scenario=scenario,
        file=facts.path if facts is not None else "",
        message=message,
        witness=witness(history, chosen),
        detail=detail,
        count=int(count),
        verdict=verdict,
        focus=history.operation(chosen[0]) if chosen else None,
        evidence=evidence,
        cause=cause,
    )
