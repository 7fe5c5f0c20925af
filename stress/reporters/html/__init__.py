"""``--report html=FILE``: one page that opens without a network, for people.

The verdict and the plan; the whole run on one axis of time, with a red line for each finding that leads to it; for each
finding the timeline of its witness, with the bytes that were seen beside those that were to be expected; then how long
operations took, and who got how much done.

The page stays below `PAGE_BYTES_MAX`, however long the run: what grows with a run is counted, in a bounded number of
slices of time, and findings are shown as long as there is room, the first of each anomaly before the second of any.

All that needs a script is the drawing of a witness, in which one can zoom. Without scripts the page shows it as text.

What was read from the files under test is untrusted. Everything is escaped by Jinja2 or put into an element by its
``textContent``; and the page's content security policy names its one script by its hash, and no address at all, so that
nothing else runs and nothing is fetched.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from stress.history.events import FaultInjected
from stress.plan import Plan, UsageError
from stress.reporters.groups import groups_of, in_order
from stress.reporters.html._axis import axis_of, chronicle
from stress.reporters.html._charts import (
    HEIGHT,
    WIDTH,
    fault_panels,
    language_keys,
    latency_panels,
    rate_panels,
    spread_panels,
)
from stress.reporters.html._figures import PER_OCTAVE, figures
from stress.reporters.html._shown import index_of, shown_of
from stress.reporters.registry import reporter
from stress.reporters.table import columns_of
from stress.reporters.words import commands, one_line, plain_text, subject, verdict_label, verdict_words
from stress.result import Finding, Result, Verdict
from stress.units import format_latency, format_rate

SHOWN_MAX = 40
"""Findings that are shown with their witness, one of each group; the page names the others."""
_SHOWN_MIN = 12
"""Findings that are shown though another of their group is."""
PAGE_BYTES_MAX = 1_000_000
_SHOWN_BYTES_MAX = 550_000
"""Of the findings that are shown: the first is there in any case, and is bounded by itself."""
_NAMED_MAX = 150
_REASONS_MAX = 20
_ROWS_MAX = 400  # of a schedule
_CALL_SHOWN = 200  # characters of a file syscall
_VALUE_SHOWN = 2000  # characters of a value of the plan, of the verdict, of a reason

_PAGE = Path(__file__).parent / "page"


@reporter("html")
def as_html(result: Result) -> str:
    """The report's text."""
    environment = _environment()
    findings = in_order(result.findings)
    wanted = min(SHOWN_MAX, max(_SHOWN_MIN, len(groups_of(findings))))
    sections, timelines = _sections(environment, result, findings[:wanted])
    findings_shown, rest = findings[: len(sections)], findings[len(sections) :]
    rest_groups = groups_of(rest)
    # A schedule has steps, and no time that would mean anything.
    is_timed = result.exploration is None
    drawn = figures(result.history) if is_timed and result.history is not None else None
    faults = [event for event in result.events if isinstance(event, FaultInjected)]
    length_s = drawn.slice_s * drawn.slices if drawn else result.stats.duration_s
    latency, latency_scale = latency_panels(drawn) if drawn else ([], "")
    spread, decades = spread_panels(drawn) if drawn else ([], [])
    fault_bars, faults_drawn = fault_panels(faults, result.began, length_s) if drawn else ([], len(faults))
    lines, faults_left_out = chronicle(findings_shown, result.events, result.began)
    script = _text("timeline.js")
    return environment.get_template("page.html").render(
        result=result,
        label=verdict_label(result),
        words=verdict_words(result)[:_VALUE_SHOWN],
        command=_command(result),
        commands=commands(result),
        skipped=[str(reason)[:_VALUE_SHOWN] for reason in result.skipped[:_REASONS_MAX]],
        index=index_of(findings, len(sections)),
        schedule=_schedule(result),
        sections=sections,
        rest=rest_groups[:_NAMED_MAX],
        rest_total=len(rest),
        rest_left_out=max(0, len(rest_groups) - _NAMED_MAX),
        first=_first_error(findings_shown),
        axis=axis_of(findings_shown if is_timed else (), result.began, length_s),
        chronicle=lines,
        faults_left_out=faults_left_out,
        figures=drawn,
        keys=language_keys(drawn) if drawn else [],
        rates=rate_panels(drawn) if drawn else [],
        faults=fault_bars,
        faults_total=len(faults),
        faults_drawn=faults_drawn,
        latency=latency,
        latency_scale=latency_scale,
        spread=spread,
        decades=decades,
        box=(WIDTH, HEIGHT),
        columns=columns_of(result.stats.kinds, result.stats.per_s),
        subject=subject(result)[:_VALUE_SHOWN],
        provenance={name: value[:_VALUE_SHOWN] for name, value in result.provenance.items()},
        plan={str(key): str(value)[:_VALUE_SHOWN] for key, value in result.plan.items()},
        data=_data(timelines),
        bucket_percent=round((2 ** (1 / PER_OCTAVE) - 1) * 100),
        style=Markup(_text("page.css")),
        script=Markup(script),
        hash=_hash(script),
    )


def _schedule(result: Result) -> list[tuple[int, int, str, bool]]:
    """The rows of a failing schedule that are shown: around those that the failure needs, where there are too many."""
    rows = () if result.exploration is None else result.exploration.rows
    first = next((index for index, row in enumerate(rows) if row[3]), 0)
    start = max(0, min(first - _ROWS_MAX // 4, len(rows) - _ROWS_MAX))
    return [
        (number, process, text[:_CALL_SHOWN], critical)
        for number, process, text, critical in rows[start : start + _ROWS_MAX]
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"rate": format_rate, "latency": format_latency, "plain": plain_text, "line": one_line}
    environment.globals["fail"] = Verdict.FAIL
    return environment


def _text(name: str) -> str:
    return (_PAGE / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _data(value: object) -> Markup:
    """JSON that can stand in an element ``script``."""
    return htmlsafe_json_dumps(value, separators=(",", ":"))


def _sections(
    environment: Environment, result: Result, findings: Sequence[Finding]
) -> tuple[list[Markup], dict[int, dict[str, Any]]]:
    """The findings' parts of the page and what its script draws, as many as there is room for."""
    template = environment.get_template("finding.html")
    sections: list[Markup] = []
    timelines: dict[int, dict[str, Any]] = {}
    used = 0
    for place, finding in enumerate(findings, 1):
        each = shown_of(result, finding, place)
        section = template.render(each=each, finding=finding, timed=result.exploration is None)
        used += len(section.encode("utf-8", "replace")) + len(_data(each["timeline"]))
        if sections and used > _SHOWN_BYTES_MAX:
            break
        sections.append(Markup(section))
        if each["timeline"] is not None:
            timelines[place] = each["timeline"]
    return sections, timelines


def _first_error(findings: Sequence[Finding]) -> int:
    """The place, from 1, of the violation that was the first to happen; of those without a time, the first."""
    timed = [
        (finding.focus.ret, place)
        for place, finding in enumerate(findings, 1)
        if finding.verdict is Verdict.FAIL and finding.focus is not None
    ]
    return min(timed)[1] if timed else 1


def _command(result: Result) -> str:
    """The command line that asks for the same run; empty for what was no run of ours."""
    if result.foreign:
        return ""
    try:
        return shlex.join(Plan.from_json(result.plan).to_argv())[:_VALUE_SHOWN]
    except UsageError:
        return ""  # a plan of another version
