"""``--report junit=FILE``: one test case for each scenario and checker, for CI systems that read JUnit's XML.

A violation is a failure, a doubt an error, and what was left out is skipped. The time of a case is how long its
scenario was run; scenarios are run side by side, and so the suite takes no longer than the longest. The properties are
the plan, where and on what it was run, and the command that shows it again.
"""

from __future__ import annotations

import json
import re
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
    target = result.run if result.foreign else str(result.plan.get("target", "?"))
    suite = ElementTree.Element("testsuite", name=f"stress {target}", time=f"{result.stats.duration_s:.3f}")
    if when := re.match(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)", result.provenance.get("date", "")):
        suite.set("timestamp", f"{when[1]}T{when[2]}")
    if host := result.provenance.get("host"):
        suite.set("hostname", host)
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(result).items():
        ElementTree.SubElement(properties, "property", name=name, value=value)
    lasted_s = _lasted_s(result)
    for (scenario, checker), findings in _cases(result).items():
        case = add_case(suite, f"stress.{target}.{scenario}", checker, lasted_s.get(scenario, result.stats.duration_s))
        # One element a case: what CI systems take. A failure outranks an error; all findings are in the text.
        groups = told(findings)
        if groups:
            worst = groups[0].first.best
            tag = "failure" if worst.verdict is Verdict.FAIL else "error"
            message = f"{worst.file}: {one_line(worst.message)}"
            element = ElementTree.SubElement(case, tag, type=worst.anomaly, message=message)
            element.text = "\n\n".join("\n".join(told_lines(each, result.names)) for each in groups)
    for skipped in result.skipped:
        case = add_case(suite, f"stress.{target}", skipped.what, 0)
        ElementTree.SubElement(case, "skipped", message=str(skipped))
    ElementTree.SubElement(suite, "system-out").text = verdict_line(result)
    return document(suite)


def add_case(suite: ElementTree.Element, classname: str, name: str, time_s: float) -> ElementTree.Element:
    """A new test case of the suite."""
    return ElementTree.SubElement(suite, "testcase", classname=classname, name=name, time=f"{time_s:.3f}")


def document(suite: ElementTree.Element) -> str:
    """The text of a file with this one suite, which gets its counts; what XML can't hold is replaced."""
    for count, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(len(suite.findall(f".//{tag}"))))
    for element in suite.iter():
        element.text = element.text and _NOT_XML.sub("\ufffd", element.text)
        for name, value in element.items():
            element.set(name, _NOT_XML.sub("\ufffd", value))
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
