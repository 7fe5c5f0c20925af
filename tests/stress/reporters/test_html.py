"""The page: what it says, that nothing in it runs or is fetched that is not ours, its size, and its figures."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from stress.anomalies import ANOMALIES
from stress.history.events import FaultInjected
from stress.history.history import ProcessFacts
from stress.history.kinds import FaultKind, Kind, Language, WorkerRole
from stress.history.notes import SeenBytes
from stress.history.record import GARBAGE
from stress.history.skipped import Part, Skipped
from stress.reporters.html import PAGE_BYTES_MAX, as_html
from stress.reporters.html._axis import axis_of, ticks
from stress.reporters.html._figures import SLICES, figures
from stress.reporters.html._palette import BAD
from stress.reporters.html._timeline import NEIGHBOURS_MAX
from stress.reporters.trace import as_trace
from stress.result import Exploration, Result, Verdict

Golden = Callable[[str], Result]
Busy = Callable[[int], Result]
NAMES = sorted(path.stem for path in (Path(__file__).parents[1] / "histories").glob("*.json"))
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}'\"&\x1b[31m\u2028"


class Page(HTMLParser):
    """The elements of a page, and the texts of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif self._inside != "style":
            self.words.append(data)

    def data(self) -> dict[str, Any]:
        """What the scripts draw."""
        (text,) = (text for attributes, text in self.scripts if attributes.get("id") == "data")
        made: dict[str, Any] = json.loads(text)
        return made

    def text(self) -> str:
        """What a person reads."""
        return re.sub(r"\s+", " ", "".join(self.words))


@pytest.mark.parametrize("name", NAMES)
def test_every_golden_history_makes_a_page(name: str, golden: Golden) -> None:
    result = golden(name)
    page = Page(as_html(result))
    said = page.text()
    for finding in result.findings:
        assert finding.anomaly in said
        assert re.sub(r"\s+", " ", finding.message)[:60] in said
    drawn = page.data()
    assert len(drawn) == sum(bool(finding.witness) for finding in result.findings)
    for place, finding in enumerate(result.findings, 1):
        if finding.witness:
            assert len(drawn[str(place)]["operations"]) == len(finding.witness)


def test_a_torn_read_shows_its_bytes_beside_what_was_to_be_expected(golden: Golden) -> None:
    text = as_html(golden("torn-read-rest-of-a-longer-one"))
    page = Page(text)
    (plan,) = page.data().values()
    (wrong,) = (op for op in plan["operations"] if op["focus"])
    assert (wrong["label"], wrong["colour"]) == ("torn read", BAD)
    writes = {op["label"]: op["colour"] for op in plan["operations"] if not op["focus"]}
    assert set(writes) == {"write p1.1", "write p2.1"}
    assert len(set(writes.values())) == 2
    assert len(plan["links"]) == 2  # from each of the two writes to the read that saw parts of both
    assert "▲ byte 139: from here on it is p1.1" in page.text()
    assert "all of p2.1, at least 139 bytes" in page.text()
    # The versions have the colours of their bars in the bytes as well.
    assert f'<span class="version {writes["write p2.1"]}">' in text
    assert f'class="{writes["write p1.1"]}" style="width:' in text


def test_a_lost_update_shows_which_version_was_made_from_which(golden: Golden) -> None:
    said = Page(as_html(golden("lost-update"))).text()
    assert "Which version was made from which" in said
    assert "the file can hold only one of the two" in said


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("lost-update", {("update p1.1 from initial", "read saw p1.1"), ("update p2.1 from initial", "read saw p2.1")}),
        ("lost-update-gone", {("update p1.1 from initial", "update p2.1 from p1.1")}),
        ("stale-read", {("write p1.1", "read saw p1.1")}),
    ],
)
def test_arrows_lead_to_who_saw_a_version_or_made_the_next_from_it(
    name: str, links: set[tuple[str, str]], golden: Golden
) -> None:
    (plan,) = Page(as_html(golden(name))).data().values()
    labels = [op["label"] for op in plan["operations"]]
    assert {(labels[one], labels[two]) for one, two in plan["links"]} == links


def test_of_many_neighbours_the_nearest_are_drawn(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    result = busy(200_000)
    (all_,) = Page(as_html(result)).data().values()
    monkeypatch.setattr("stress.reporters.html._timeline.NEIGHBOURS_MAX", 2)
    (some,) = Page(as_html(result)).data().values()
    assert len(some["others"]) == 2
    assert {(" saw " in label, reads) for *_, label, _, _, reads in all_["others"]} == {
        (True, True),
        (False, False),
    }
    assert some["hidden"] == all_["hidden"] + len(all_["others"]) - 2
    assert some["hidden"] > 0


def test_a_lost_append_shows_the_log_without_it(golden: Golden) -> None:
    result = golden("lost-append")
    lost = next(finding for finding in result.findings if finding.anomaly == "lost-append")
    assert lost.focus is not None
    assert re.search(rf"p{lost.focus.version >> 32}\.\d+ is not there", Page(as_html(result)).text())


def test_a_stale_read_of_a_log_shows_what_the_reader_saw(golden: Golden) -> None:
    result = golden("stale-read-of-a-log")
    (finding,) = (finding for finding in result.findings if finding.anomaly == "stale-read")
    assert finding.focus is not None
    said = Page(as_html(result)).text()
    (wrong,) = (op for op in Page(as_html(result)).data()["1"]["operations"] if op["focus"])
    assert wrong["label"] == "stale read"
    saw = said.partition(f"What p{finding.focus.process} saw of the log")[2]
    there = saw.partition("The log when all had ended")
    missing = next(f"p{op.version >> 32}.{op.version & 0xFFFF}" for op in finding.witness if op != finding.focus)
    assert f"{missing} is not there" in there[0]
    assert missing in there[2].partition("Usual cause")[0]
    assert f"{missing} is not there" not in there[2].partition("Usual cause")[0]


def test_the_button_leads_to_the_violation_that_happened_first(golden: Golden) -> None:
    result = golden("torn-read-cut-off")
    (early,) = result.findings
    assert early.focus is not None
    late = dataclasses.replace(
        early,
        focus=dataclasses.replace(early.focus, ret=early.focus.ret + 10**9),
        message="The later one.",
    )
    doubt = dataclasses.replace(early, verdict=Verdict.UNKNOWN)
    page = Page(as_html(dataclasses.replace(result, findings=(late, doubt, early))))
    (link,) = (a for tag, a in page.tags if tag == "a" and a.get("class") == "button")
    assert "Jump to the first error" in page.text()
    assert link["href"] == "#finding-3"
    assert "finding-3" in {a.get("id") for tag, a in page.tags}


def test_nothing_from_outside_becomes_markup_or_a_script(golden: Golden) -> None:
    result = golden("torn-read-cut-off")
    (finding,) = result.findings
    assert finding.focus is not None
    focus = dataclasses.replace(finding.focus, note=SeenBytes(EVIL.encode() * 3, EVIL))
    evil = dataclasses.replace(
        finding, message=f"{EVIL} p1.1 {EVIL}", file=EVIL, scenario=EVIL, detail=(("seen", EVIL), ("", EVIL)),
        focus=focus, witness=(*(op for op in finding.witness if op != finding.focus), focus),
    )  # fmt: skip
    assert result.history is not None
    plan = {**result.plan, "target": EVIL, "scenarios": [EVIL]}
    text = as_html(
        dataclasses.replace(
            result, findings=(evil,), plan=plan, run=EVIL, skipped=(Skipped(Part.SCENARIO, EVIL, EVIL),)
        )
    )
    page = Page(text)
    assert len(page.scripts) == 2
    assert "img" not in {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "alert(1)" in page.text()  # it is shown, as words
    assert "{{7*7}}" in page.text()
    assert "\x1b" not in text
    assert page.data()["1"]["operations"]  # and the data can still be read


def test_only_our_scripts_may_run_and_nothing_is_fetched(golden: Golden) -> None:
    page = Page(as_html(golden("lost-update")))
    (policy,) = (a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    for attributes, text in page.scripts:
        if attributes.get("type") != "application/json":
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    assert not [a for _, a in page.tags if str(a.get("src") or "").startswith("http") or a.get("rel") == "stylesheet"]


def test_a_million_operations_make_no_larger_a_page(busy: Busy) -> None:
    text = as_html(busy(1_000_000))
    assert len(text.encode()) < 250_000
    page = Page(text)
    assert len(page.data()["1"]["others"]) <= NEIGHBOURS_MAX
    said = page.text()
    assert "All 1,000,000 operations are counted, in 150 slices of 4.00 s" in said
    assert "Of 600 faults, 300 are drawn." in said


def test_whatever_was_found_the_page_stays_below_its_limit(busy: Busy, golden: Golden) -> None:
    result = busy(400_000)  # with many neighbours to each finding
    assert result.history is not None
    (found,) = result.findings
    assert found.focus is not None
    focus = dataclasses.replace(found.focus, version=GARBAGE, note=SeenBytes(b"p1.1;\xff" * 20_000, "x" * 20_000))
    large = dataclasses.replace(
        found, message="é" * 50_000, file="f" * 4000, detail=(("seen", "<" * 50_000),) * 200, focus=focus,
        witness=(*found.witness * 200, focus),
    )  # fmt: skip
    names = list(ANOMALIES)
    many = tuple(dataclasses.replace(large, anomaly=ANOMALIES.get(names[place % len(names)])) for place in range(3000))
    skipped = tuple(Skipped(Part.SCENARIO, "x", "reason " * 5000) for _ in range(300))
    processes = tuple(ProcessFacts(number, number, Language.PYTHON, WorkerRole.WRITER) for number in range(1, 3000))
    history = dataclasses.replace(result.history, processes=processes)
    plan = {**result.plan, "target": "t" * 100_000}
    text = as_html(dataclasses.replace(
        result, findings=many, skipped=skipped, history=history, plan=plan,
        events=tuple(FaultInjected(result.began + place, FaultKind.PAUSE, 1) for place in range(5000)),
    ))  # fmt: skip
    assert len(text.encode()) < PAGE_BYTES_MAX
    said = Page(text).text()
    assert "3,000 findings" in said
    assert "Show it again" in said
    assert len(Page(text).data()) >= 2


def test_each_anomaly_is_shown_once_before_any_is_shown_twice(golden: Golden) -> None:
    result = golden("torn-read-cut-off")
    (torn,) = result.findings
    (stale,) = golden("stale-read").findings
    said = Page(as_html(dataclasses.replace(result, findings=(*[torn] * 50, stale)))).text()
    assert re.search(r"\b1 torn-read( ×\d+)? in ", said)
    assert re.search(r"\b2 stale-read( ×\d+)? in ", said)
    assert re.search(r"\b3 torn-read( ×\d+)? in ", said)
    assert "torn-read ×50" in said
    assert "and 39 without a timeline" in said


def test_every_finding_and_its_moment_lead_to_each_other(busy: Busy, golden: Golden) -> None:
    result = busy(5000)
    findings = [dataclasses.replace(result.findings[0], file="x" * (place + 1)) for place in range(30)]
    page = Page(as_html(dataclasses.replace(result, findings=tuple(findings))))
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link} <= set(ids)
    for place in range(1, 31):
        assert links.count(f"#finding-{place}") >= 3  # from its red line, its number there, and the index
        assert links.count(f"#moment-{place}") == 1


def test_a_process_has_one_name(golden: Golden) -> None:
    result = golden("lost-update")
    assert result.history is not None
    text = as_html(result) + as_trace(result)
    assert not re.search(r"\b(writer|seat|worker) \d", text)
    for facts in result.history.processes:
        assert f"p{facts.process}" in text


@pytest.mark.parametrize(
    ("length_s", "first", "last"),
    [
        (0.02, "2 ms", "20 ms"),
        (4.2, "500 ms", "4 s"),
        (600, "1:00 min", "10:00 min"),
        (86_400 * 3, "12:00 h", "3 d 0:00 h"),
    ],
)
def test_the_axis_has_round_times(length_s: float, first: str, last: str) -> None:
    made = ticks(length_s)
    assert (made[0].label, made[1].label, made[-1].label) == ("0 s", first, last)
    assert 4 <= len(made) <= 11
    assert sum(tick.narrow for tick in made) <= 6
    assert all(0 <= tick.percent <= 100 for tick in made)


def test_the_numbers_of_findings_have_a_place_each(golden: Golden) -> None:
    (finding,) = golden("torn-read-cut-off").findings
    axis = axis_of([finding] * 40, 0, 1.0)
    assert len({(moment.row, moment.label_percent) for moment in axis.moments}) == 40
    assert axis.rows <= 6


def test_figures_count_every_operation_once(busy: Busy) -> None:
    result = busy(40_000)
    assert result.history is not None
    made = figures(result.history)
    assert made.slices == SLICES
    assert made.operations == 40_000
    assert {(each.kind, each.language) for each in made.series} == {
        (kind.label, language.label) for kind, language in result.stats.kinds
    }
    for series in made.series:
        spans = result.stats.kinds[Kind[series.kind.upper()], Language.named(series.language)]
        assert sum(series.rate) * made.slice_s == pytest.approx(spans.ok, rel=0.01)
        assert sum(series.spread) == pytest.approx(1, abs=0.001)
        # The latencies are drawn from one distribution, whose median is exp(12) ns.
        known = [value for value in series.percentiles["p50"] if value is not None]
        assert sorted(known)[len(known) // 2] == pytest.approx(0.1627, rel=0.15)
        assert spans.p99_s is not None
        exact = spans.p99_s * 1e3
        tail = [value for value in series.percentiles["p99"] if value is not None]
        assert sorted(tail)[len(tail) // 2] == pytest.approx(exact, rel=0.6)
    ops = result.history.ops
    changes = ops[(ops["process"] < 17) & ((ops["kind"] == 1) | (ops["kind"] == 4))]
    assert sum(share.done for share in made.shares) == len(changes)
    assert [share.done for share in made.shares] == sorted((share.done for share in made.shares), reverse=True)


def test_percentiles_are_those_of_the_operations(busy: Busy) -> None:
    result = busy(3000)
    assert result.history is not None
    ops = result.history.ops.copy()
    ops["kind"], ops["language"] = 1, 1
    ops["return"] = ops["invoke"] + 1_000_000
    ops["return"][::20] = ops["invoke"][::20] + 80_000_000
    made = figures(dataclasses.replace(result.history, ops=ops))
    (series,) = made.series
    for at in range(5, 45):
        assert series.percentiles["p50"][at] == pytest.approx(1.0, rel=0.1)
        assert series.percentiles["p99"][at] == pytest.approx(80, rel=0.1)


def test_a_result_without_its_history_still_makes_a_page(golden: Golden) -> None:
    result = dataclasses.replace(golden("stale-read"), history=None)
    assert "stale-read" in Page(as_html(result)).text()


def test_a_schedule_is_drawn_a_column_a_process_with_what_the_failure_needs_marked(golden: Golden) -> None:
    rows = tuple((number, number % 2, f"step {number} {EVIL}", number == 900) for number in range(1, 1001))
    explored = Exploration(
        schedules=7, interleavings=7, seconds=1.0, cases=(), proved=False, critical=f"this {EVIL}",
        names=("p1 python", f"p2 {EVIL}"), rows=rows,
    )  # fmt: skip
    text = as_html(dataclasses.replace(golden(NAMES[0]), exploration=explored))
    section = text[text.index('<section id="schedule">') :].partition("</section>")[0]
    assert "alert(1)</script>" not in section
    assert "<img" not in section
    assert section.count('scope="col"') == 3
    shown = re.findall(r"<tr(.*?)><td class=\"number\">(\d+)( ►)?</td>(.*?)</tr>", section)
    assert [number for marked, number, sign, _ in shown if "critical" in marked and sign] == ["900"]
    assert len(shown) < len(rows)
    assert f"and {len(rows) - len(shown)} more rows" in section
    for _, number, _, cells in shown:
        texts = re.findall(r"<td class=\"process(\d)( own)?\">(.*?)</td>", cells)
        assert [column for column, own, said in texts if own and said.startswith(f"step {number} ")] == [
            str(int(number) % 2)
        ]
        assert sum(bool(said) for _, _, said in texts) == 1
    assert "this " in section
    for of_time in ('id="run"', 'id="figures"', 'href="#moment-'):
        assert of_time not in text, "a step is no time"
    assert 'id="schedule"' not in as_html(golden(NAMES[0]))
