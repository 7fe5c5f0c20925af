"""Markdown and GitHub's workflow commands: the witness is in them, and no text breaks out of where it stands."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from stress.anomalies import ANOMALIES, TORN_READ
from stress.reporters.github import ANNOTATIONS_MAX, workflow_commands
from stress.reporters.groups import told
from stress.reporters.junit import as_junit
from stress.reporters.markdown import TEXT_MAX, as_markdown
from stress.result import Result, Verdict

Golden = Callable[[str], Result]
NAMES = sorted(path.stem for path in (Path(__file__).parents[1] / "histories").glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_every_golden_history_makes_markdown(name: str, golden: Golden) -> None:
    result = golden(name)
    tokens = MarkdownIt("commonmark").enable("table").parse(as_markdown(result))
    headings = [
        tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open" and token.tag == "h3"
    ]
    blocks = [token.content for token in tokens if token.type == "fence" and token.info == "text"]
    groups = [each.first for each in told(result.findings)]
    assert len(blocks) == len(groups)
    for group, heading, block in zip(groups, headings, blocks, strict=True):
        assert group.anomaly in heading
        assert group.best.message[:30] in block
    assert any(token.type == "table_open" for token in tokens) == bool(result.operations)


def test_the_witness_is_in_a_code_block_that_its_bytes_can_not_end(golden: Golden) -> None:
    result = golden("torn-read-cut-off")
    (finding,) = result.findings
    evil = dataclasses.replace(
        finding,
        detail=(("seen", "````` <b>"), ("parts", "```")),
        file="| `a` <img src=x> @team",
        message="<script> ``` [x](y)",
    )
    text = as_markdown(dataclasses.replace(result, findings=(evil,)))
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    (block,) = [token.content for token in tokens if token.type == "fence" and token.info == "text"]
    assert {"seen:     ````` <b>", "parts:    ```"} <= set(block.splitlines())
    inside = [child.type for token in tokens for child in token.children or ()]
    assert set(inside) <= {"text", "softbreak", "text_special"}, inside
    assert "html_block" not in {token.type for token in tokens}
    assert r"\@team" in text


def test_a_summary_stays_below_what_github_takes(golden: Golden) -> None:
    result = golden("torn-read-cut-off")
    (finding,) = result.findings
    long = dataclasses.replace(finding, detail=(("seen", "x" * 40_000),))
    words = ["".join(letters) for letters in itertools.product("abcdefghijk", repeat=3)]
    many = tuple(
        dataclasses.replace(long, anomaly=ANOMALIES.get(name), file=word) for name in ANOMALIES for word in words[:70]
    )
    text = as_markdown(dataclasses.replace(result, findings=many))
    assert len(text.encode()) < 1 << 20
    assert len(text.encode()) > TEXT_MAX * 5
    assert re.search(r"and [\d,]+ characters more", text)
    assert "and in 61 more places" in text


def test_an_annotation_is_one_line_with_what_is_in_it_escaped(golden: Golden) -> None:
    result = golden("torn-read-cut-off")
    (finding,) = result.findings
    evil = dataclasses.replace(finding, message="50% done,\r\n::error::x: y", file="a,b:c%0A", count=3)
    (line,) = workflow_commands(dataclasses.replace(result, findings=(evil,)))
    assert "\n" not in line
    assert "\r" not in line
    title, message = re.fullmatch(r"::error title=([^:,]*)::(.*)", line).groups()  # type: ignore[union-attr]
    assert title.startswith("torn-read ×3 in a%2Cb%3Ac%250A (checker torn%2C")
    assert message == (
        f"50%25 done, ::error::x: y%0AUsual cause: {TORN_READ.cause}.%0A"
        "Show it again: stress check .stress/20260131-120000-guide-1a2b3c"
    )  # fmt: skip


def test_doubts_are_warnings_and_no_more_are_said_than_are_shown(golden: Golden) -> None:
    result = golden("torn-read-cut-off")
    (finding,) = result.findings
    many = [dataclasses.replace(finding, file=chr(97 + n)) for n in range(25)]
    doubt = dataclasses.replace(finding, verdict=Verdict.UNKNOWN)
    lines = workflow_commands(dataclasses.replace(result, findings=(*many, doubt)))
    kinds = [line.split()[0] for line in lines]
    assert kinds == ["::error"] * ANNOTATIONS_MAX + ["::warning"]
    assert workflow_commands(dataclasses.replace(result, findings=())) == []


def test_junit_has_the_witness_as_the_text_of_a_failure(golden: Golden) -> None:
    result = golden("torn-read-cut-off")
    text = as_junit(result)
    assert 'classname="stress.guide.drill" name="torn"' in text
    assert "process  language  operation" in text
    assert "├" in text
