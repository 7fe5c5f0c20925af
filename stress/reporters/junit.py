"""``--report junit=FILE``: one test case for each scenario and checker, for CI systems that read JUnit's XML.

A violation is a failure, a doubt an error, and what was left out is skipped. The time of a case is how long its
scenario was run; scenarios are run side by side, and so the suite takes no longer than the longest. The properties are
the plan, where and on what it was run, and the command that shows it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from xml.etree import ElementTree

from stress.reporters.groups import in_order, told
from stress.reporters.registry import reporter
from stress.reporters.witness import told_lines
from stress.reporters.words import commands, one_line, verdict_line
from stress.result import Finding, Result, Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@reporter("junit")
def as_junit(result: Result) -> str:
    """The report's text."""
    cases = _cases(result)
    target = result.run if result.foreign else str(result.plan.get("target", "?"))
    suite = ElementTree.Element("testsuite", name=f"stress {safe(target)}", time=f"{result.stats.duration_s:.3f}")
    if when := re.match(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)", result.provenance.get("date", "")):
        suite.set("timestamp", f"{when[1]}T{when[2]}")
    if host := result.provenance.get("host"):
        suite.set("hostname", safe(host))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(result).items():
        ElementTree.SubElement(properties, "property", name=safe(name), value=safe(value))
    lasted_s = _lasted_s(result)
    failures = errors = 0
    for (scenario, checker), findings in cases.items():
        time_s = lasted_s.get(scenario, result.stats.duration_s)
        named = {"classname": safe(f"stress.{target}.{scenario}"), "name": safe(checker)}
        case = ElementTree.SubElement(suite, "testcase", named | {"time": f"{time_s:.3f}"})
        # One element a case: what CI systems take. A failure outranks an error; all findings are in the text.
        groups = told(findings)
        if not groups:
            continue
        worst = groups[0].first.best
        tag = "failure" if worst.verdict is Verdict.FAIL else "error"
        failures, errors = failures + (tag == "failure"), errors + (tag == "error")
        element = ElementTree.SubElement(
            case, tag, type=safe(worst.anomaly), message=safe(f"{worst.file}: {one_line(worst.message)}")
        )
        element.text = safe("\n\n".join("\n".join(told_lines(each, result.names)) for each in groups))
    for skipped in result.skipped:
        reason = str(skipped)
        case = ElementTree.SubElement(
            suite, "testcase", classname=safe(f"stress.{target}"), name=safe(skipped.what), time="0"
        )
        ElementTree.SubElement(case, "skipped", message=safe(reason))
    ElementTree.SubElement(suite, "system-out").text = safe(verdict_line(result))
    counts = {"tests": len(cases) + len(result.skipped), "failures": failures, "errors": errors}
    return document(suite, {**counts, "skipped": len(result.skipped)})


def document(suite: ElementTree.Element, counts: Mapping[str, int]) -> str:
    """The text of a file with this one suite; ``counts`` are its attributes ``tests``, ``failures`` and so on."""
    for name, count in counts.items():
        suite.set(name, str(count))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _properties(result: Result) -> dict[str, str]:
    made = dict(result.provenance)
    for name, value in result.plan.items():
        if value not in (None, [], {}, ()):
            made[f"plan.{name}"] = value if isinstance(value, str) else json.dumps(value)
    made |= {does.lower(): command for does, command in commands(result)}
    return made


def _lasted_s(result: Result) -> dict[str, float]:
    """Scenario → seconds from its first operation to the end of its last."""
    history = result.history
    if history is None:
        return {}
    made = {}
    for index, scenario in enumerate(history.scenarios):
        ops = history.ops[history.ops["scenario"] == index]
        made[scenario] = float(ops["return"].max() - ops["invoke"].min()) / 1e9 if len(ops) else 0.0
    return made


def _cases(result: Result) -> dict[tuple[str, str], list[Finding]]:
    """(Scenario, checker) → what was found: the worst first, then those without anything."""
    cases: dict[tuple[str, str], list[Finding]] = {}
    for finding in in_order(result.findings):
        cases.setdefault((finding.scenario or "run", finding.checker), []).append(finding)
    for scenario, checkers in result.checkers.items():
        for checker in sorted(checkers):
            cases.setdefault((scenario or "run", checker), [])
    if not cases:
        cases["run", "verdict"] = []
    return cases


def safe(text: str) -> str:
    """``text`` without what XML can't hold."""
    return _NOT_XML.sub("\ufffd", text)
