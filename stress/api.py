"""The public names of the harness for modules of your own, by who needs what.

Scenarios: `scenario` registers a `Scenario`, which has `SharedFile` and `Role` values. A role is a function that gives
`Steps`: it yields a `Request`, and gets its `Answer`. `Agent` is what a role knows of itself. `Edit` is one
change to a document, `draw_size` draws how long its padding is, `Beside` is a file laid beside a shared one.

Targets: `target` registers an implementation of the operations; `DefiniteFailure` says that nothing was changed.

Checkers: `checker` registers a function from a `History` to `Finding` values. A history has `FileFacts`,
`ProcessFacts`, a `FinalFile` for each file, and rows; an `Operation` is one row, with its `Kind`, `Outcome` and
`Language`. Versions are integers: `INITIAL`, `ABSENT`, `GARBAGE` and `NO_VERSION` are special, `version_of`,
`format_version` and `parse_version` convert. `document_of`, `examine_document`, `examine_bytes`, `log_record` and
`parse_log` make and read the contents of files. `witness` makes the operations of some rows, which prove a
finding. `Anomaly` is the name of a kind of violation, `Harm` what it costs.

Reporters: `reporter` registers a function from a `Result` to text; `Verdict` is what the run comes to.

Nemeses: `nemesis` registers a fault; `Victim` is the worker to which it is applied.

Benchmarks: `benchmark` registers a generator function of a `Setting`. It yields each `Case` with its `Contender`
values, or a `Sheet` of `Figure` values, and `LeftOut` for what could not be measured.
"""

from __future__ import annotations

from stress.anomalies import Anomaly, Harm
from stress.bench.measure import Case, Contender, Figure, LeftOut, Setting, Sheet, benchmark
from stress.checkers.registry import checker
from stress.execution.nemesis import Victim, nemesis
from stress.history.history import FileFacts, FinalFile, History, ProcessFacts
from stress.history.kinds import Kind, Language, Outcome
from stress.history.record import (
    ABSENT,
    GARBAGE,
    INITIAL,
    NO_VERSION,
    Operation,
    format_version,
    parse_version,
    version_of,
)
from stress.reporters.registry import reporter
from stress.result import Finding, Result, Verdict, witness
from stress.workload.catalog import scenario
from stress.workload.payload import Edit, document_of, draw_size, examine_bytes, examine_document, log_record, parse_log
from stress.workload.scenario import Agent, Answer, Beside, Request, Role, Scenario, SharedFile, Steps
from stress.workload.target import DefiniteFailure, target

__all__ = [
    "ABSENT",
    "GARBAGE",
    "INITIAL",
    "NO_VERSION",
    "Agent",
    "Anomaly",
    "Answer",
    "Beside",
    "Case",
    "Contender",
    "DefiniteFailure",
    "Edit",
    "Figure",
    "FileFacts",
    "FinalFile",
    "Finding",
    "Harm",
    "History",
    "Kind",
    "Language",
    "LeftOut",
    "Operation",
    "Outcome",
    "ProcessFacts",
    "Request",
    "Result",
    "Role",
    "Scenario",
    "Setting",
    "SharedFile",
    "Sheet",
    "Steps",
    "Verdict",
    "Victim",
    "benchmark",
    "checker",
    "document_of",
    "draw_size",
    "examine_bytes",
    "examine_document",
    "format_version",
    "log_record",
    "nemesis",
    "parse_log",
    "parse_version",
    "reporter",
    "scenario",
    "target",
    "version_of",
    "witness",
]
