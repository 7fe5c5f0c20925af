"""All that a scenario, a target, a checker or a test may import from the harness."""

from __future__ import annotations

from stress.anomalies import Anomaly, Harm
from stress.bench.measure import Case, Contender, Figure, LeftOut, Setting, Sheet, benchmark
from stress.checkers.registry import checker
from stress.execution.nemesis import Victim, nemesis
from stress.history.history import FileFacts, FinalFile, History, ProcessFacts
from stress.history.record import (
    ABSENT,
    GARBAGE,
    INITIAL,
    NO_VERSION,
    Kind,
    Language,
    Operation,
    Outcome,
    format_version,
    parse_version,
    version_of,
)
from stress.reporters.registry import reporter
from stress.result import Finding, Result, Verdict, witness
from stress.workload.catalog import scenario
from stress.workload.payload import (
    Edit,
    document_of,
    draw_size,
    examine_bytes,
    examine_document,
    log_record,
    parse_log,
)
from stress.workload.scenario import Agent, Answer, Beside, Request, Role, Scenario, SharedFile, Size, Steps
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
    "Size",
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
