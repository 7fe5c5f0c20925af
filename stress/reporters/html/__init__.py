"""``--report html=FILE``: one page that opens without a network, for people.

The verdict and the plan; a timeline for each finding's witness, with the bytes that were seen beside those that were to
be expected; then how fast it went, how long operations took, and who got how much done. All of a run's size is
aggregated before it goes into the page: ten million operations make no larger a file than ten thousand.

What was read from the files under test is untrusted. Everything is escaped by Jinja2 or put into an element by its
``textContent``; and the page's content security policy names its three scripts by their hashes, and no address at
all, so that nothing else runs and nothing is fetched.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stress.history.notes import data_of, words_of
from stress.plan import Plan, UsageError
from stress.reporters.html._bytes import BytesShown, bytes_shown
from stress.reporters.html._chain import Chain, chains_shown
from stress.reporters.html._figures import PER_OCTAVE, figures
from stress.reporters.html._palette import Palette, palette_of
from stress.reporters.html._records import Records, records_shown
from stress.reporters.html._timeline import timeline
from stress.reporters.registry import reporter
from stress.reporters.table import NAMES, rows_of_result
from stress.reporters.witness import witness_cells
from stress.reporters.words import again, escape_bytes, one_line, plain_text, verdict_label, verdict_words
from stress.result import Finding, Result, Verdict
from stress.units import format_latency, format_rate

__all__ = ["SHOWN_MAX", "as_html"]

SHOWN_MAX = 40
"""Findings that are shown with their witness; the page names the others."""
_DETAIL_SHOWN = 4000  # characters of a line

_PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True, slots=True)
class _Shown:
    """A finding, made ready for the page."""

    finding: Finding
    place: int
    palette: Palette
    about: str
    cause: str
    details: list[tuple[str, Markup]]
    bytes: BytesShown | None
    records: list[Records]
    chains: tuple[Chain, list[Chain]] | None
    cells: list[list[str]]
    timeline: dict[str, object] | None
    noted: list[tuple[str, str]]


@reporter("html")
def as_html(result: Result) -> str:
    """The report's text."""
    from plotly.offline import get_plotlyjs  # large: only who wants a page pays for it

    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "rate": format_rate,
        "latency": format_latency,
        "plain": plain_text,
        "line": one_line,
    }
    scripts = {name: _script(name) for name in ("timeline.js", "charts.js")}
    scripts["plotly"] = Markup(get_plotlyjs().replace("</script", "<\\/script"))
    shown = [_shown(result, finding, place) for place, finding in enumerate(result.findings[:SHOWN_MAX], 1)]
    data = {
        "timelines": {each.place: each.timeline for each in shown if each.timeline is not None},
        "figures": None if result.history is None else figures(result.history, result.events),
        "moments": _moments(result),
    }
    return environment.get_template("page.html").render(
        result=result,
        label=verdict_label(result),
        words=verdict_words(result),
        command=_command(result),
        again=again(result),
        shown=shown,
        rest=result.findings[SHOWN_MAX:],
        first=_first_error(result.findings[:SHOWN_MAX]),
        rows=rows_of_result(result),
        names=NAMES,
        fail=Verdict.FAIL,
        data=data,
        bucket_percent=round((2 ** (1 / PER_OCTAVE) - 1) * 100),
        style=_script("page.css"),
        scripts=scripts,
        hashes=[_hash(text) for text in scripts.values()],
    )


def _script(name: str) -> Markup:
    return Markup((_PAGE / name).read_text("utf-8"))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _shown(result: Result, finding: Finding, place: int) -> _Shown:
    palette = palette_of(finding)
    return _Shown(
        finding=finding,
        place=place,
        palette=palette,
        about=finding.anomaly.about,
        cause=finding.anomaly.cause,
        details=[(one_line(label), palette.words(text[:_DETAIL_SHOWN])) for label, text in finding.detail],
        bytes=bytes_shown(finding, palette, result.history),
        records=records_shown(finding, palette, result.history),
        chains=chains_shown(finding, palette),
        cells=witness_cells(finding.witness, result.began),
        timeline=timeline(finding, palette, result.history, result.events),
        noted=[
            (f"p{op.process}", f"{one_line(words_of(op.note))[:400]} {escape_bytes(data_of(op.note)[:400])}".strip())
            for op in finding.witness
            if op.note is not None
        ],
    )


def _first_error(findings: Sequence[Finding]) -> int:
    """The place, from 1, of the violation that was the first to happen; of those without a time, the first."""
    timed = [
        (finding.focus.ret, place)
        for place, finding in enumerate(findings, 1)
        if finding.verdict is Verdict.FAIL and finding.focus is not None
    ]
    return min(timed)[1] if timed else 1


def _moments(result: Result) -> list[dict[str, object]]:
    """When the findings happened, for the charts."""
    return [
        {"at_s": round((finding.focus.ret - result.began) / 1e9, 6), "anomaly": finding.anomaly, "place": place}
        for place, finding in enumerate(result.findings[:SHOWN_MAX], 1)
        if finding.focus is not None and finding.verdict is Verdict.FAIL
    ]


def _command(result: Result) -> str:
    """The command line that asks for the same run."""
    try:
        return shlex.join(Plan.from_json(result.plan).to_argv())
    except UsageError:
        return ""  # a plan of another version
