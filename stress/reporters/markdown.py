"""``--report markdown=FILE``: for the summary of a CI job, a pull request or an issue.

Text that comes from the files under test stands in code blocks, whose fences are longer than any that it holds.
"""

from __future__ import annotations

import re

from stress.history.naming import Naming
from stress.host.provenance import in_a_line
from stress.reporters.groups import Told, told
from stress.reporters.registry import reporter
from stress.reporters.table import columns_of
from stress.reporters.witness import group_body, headline, other_places
from stress.reporters.words import commands, one_line, verdict_label, verdict_words
from stress.result import Result, Verdict

TEXT_MAX = 16 << 10
"""Characters of one finding. GitHub takes a summary of 1 MiB and drops a larger one as a whole."""

MARKS = {"PASS": "✅", "FAIL": "❌", "UNKNOWN": "⚠️", "INTERRUPTED": "⚠️"}


@reporter("markdown")
def as_markdown(result: Result) -> str:
    """The report's text."""
    label = verdict_label(result)
    lines: list[str] = []
    for each in told(result.findings):
        lines += [*_anomaly(each, result.names), ""]
    lines += [*_table(result), "", f"## {MARKS[label]} {label}", "", _inline(verdict_words(result))]
    if result.provenance:
        lines += ["", _inline(in_a_line(result.provenance))]
    for does, command in commands(result):
        lines += ["", f"{does}:", "", *_block(one_line(command), "sh")]
    return "\n".join(lines).lstrip("\n") + "\n"


def _table(result: Result) -> list[str]:
    columns = columns_of(result.stats.kinds, result.stats.per_s)
    if not columns:
        return []
    rules = ("---" if name in ("operation", "by") else "---:" for name in columns)
    rows = [tuple(columns), *zip(*columns.values(), strict=True)]
    first, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return [first, f"|{'|'.join(rules)}|", *rest]


def _anomaly(each: Told, names: Naming) -> list[str]:
    mark = MARKS["FAIL" if each.first.best.verdict is Verdict.FAIL else "UNKNOWN"]
    text = "\n".join(group_body(each.first, names))
    if len(text) > TEXT_MAX:
        text = f"{text[:TEXT_MAX]}\n… and {len(text) - TEXT_MAX:,} characters more"
    lines = [f"### {mark} {_inline(headline(each.first))}", "", *_block(text, "text")]
    if each.others:
        lines += ["", *(f"- {_inline(line[:400])}" for line in other_places(each))]
    return lines


def _block(text: str, language: str) -> list[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]


def _inline(text: str) -> str:
    r"""On one line, with every character that means something in Markdown made to mean itself."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&@$])", r"\\\1", one_line(text))
