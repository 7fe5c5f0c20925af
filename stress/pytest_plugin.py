"""The pytest plugin: a fixture that tortures functions, scripts or modules of yours, and fails with the witness.

::

    def test_the_counter_loses_nothing(torture):
        torture(Store, scenario="session_count", writers=8, duration="3s")

pytest loads `atomicops_stress.pytest_plugin`, which has the fixtures and comes here when a test asks for one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from typing import Unpack

    from stress.options import Options
    from stress.result import Result


if TYPE_CHECKING:

    class TortureOptions(Options, total=False):
        """The options of a run, and the operations of a target by their names."""

        write: Callable[..., Any]
        read: Callable[..., Any]
        update: Callable[..., Any]
        append: Callable[..., Any]
        backup: Callable[..., Any]
        recover: Callable[..., Any]
        lock: Callable[..., Any]
        sweep: Callable[..., Any]


class Torture(Protocol):
    """The fixture's type."""

    def __call__(
        self, target: object = None, *, scenario: str | Sequence[str] = "bridge", **options: Unpack[TortureOptions]
    ) -> Result:
        """Run many processes on ``target`` and judge what they did and saw.

        Args:
            target: a name from ``stress list targets``, the path of a ``.py`` or ``.toml`` file, or an object, a class
                or a module that has the operations of a target as attributes (see `stress.workload.target.Target`).
                None: the operations are given by name instead:
                ``torture(write=save, read=load, scenario="handoff")``.
            scenario: one name, or several.
            options: those of ``stress run`` and of `stress.Plan`, with underscores (``writers``, ``duration``,
                ``kill_every``, ``mix``, …), with the same defaults, but that the files and the run directories are in
                the test's own ``tmp_path``.

        Returns:
            The result, where it is a pass. A violation is a failure of the test, with the witness as its message; a run
            that proved nothing skips the test, with the reason, or with ``--stress-strict`` fails it.
        """


def torturer(request: pytest.FixtureRequest, folder: Path) -> Torture:
    """The fixture ``torture`` of a test that has ``folder`` for itself."""
    return functools.partial(_torture, request, folder)


def explorer(request: pytest.FixtureRequest, folder: Path) -> Callable[..., Result]:
    """The fixture ``explore`` of a test that has ``folder`` for itself: `stress.explore`, but that ``shared`` is a
    directory of the test's own where it is not given (a mapping of names to texts lays out one), and a failure fails
    the test::

        def test_two_counters(explore):
            explore([["bash", "add.sh"]] * 2, shared={"count": "0"}, check=lambda d: (d / "count").read_text() == "2")

    It skips the test, with the reason, where the kernel or the container does not let syscalls be scheduled.
    """
    return functools.partial(_explore, request, folder)


def _explore(
    request: pytest.FixtureRequest, folder: Path, agents: Any, shared: Any = None, check: Any = None, **options: Any
) -> Result:
    __tracebackhide__ = True
    from stress.engine import HarnessError
    from stress.exploring import agents as exploring
    from stress.options import UsageError
    from stress.reporters.words import schedule_lines, verdict_line
    from stress.syscalls import Denied

    directory = folder / "shared"
    if shared is None or isinstance(shared, dict):
        directory.mkdir(exist_ok=True)
        for name, text in (shared or {}).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    else:
        directory = Path(shared)
    options.setdefault("runs", folder / "stress")
    result, mistake, denied = None, "", False
    try:
        result = exploring.explore(agents, directory, check, **options)
    except (UsageError, HarnessError) as error:
        mistake, denied = str(error), isinstance(error.__cause__, Denied)
    if denied:
        pytest.skip(mistake)
    if result is None:
        pytest.fail(mistake, pytrace=False)
    assert result.exploration is not None
    found = [f"{finding.anomaly}: {finding.message}" for finding in result.findings]
    again_line = f"Show it again: explore(…, replay={result.exploration.file!r})" if result.exploration.file else ""
    said = "\n".join([verdict_line(result), "", *found, *schedule_lines(result.exploration), "", again_line])
    return _told(request, result, said)


def tortured(
    *, scenario: str | Sequence[str] = "bridge", **options: Unpack[TortureOptions]
) -> Callable[[Callable[..., object]], Any]:
    """Decorate a test that returns what is to be tortured; the arguments are those of the fixture::

    @tortured(scenario="handoff", writers=4)
    def test_the_store():
        return Store
    """

    def decorate(function: Callable[..., object]) -> Callable[..., None]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def test(*arguments: Any, torture: Torture, **named: Any) -> None:
            __tracebackhide__ = True
            if "torture" in signature.parameters:
                named["torture"] = torture
            torture(function(*arguments, **named), scenario=scenario, **options)

        parameters = dict(signature.parameters)
        parameters["torture"] = inspect.Parameter("torture", inspect.Parameter.KEYWORD_ONLY)
        ordered = sorted(parameters.values(), key=lambda parameter: parameter.kind)
        test.__signature__ = signature.replace(parameters=ordered, return_annotation=None)  # type: ignore[attr-defined]
        return test

    return decorate


def _torture(
    request: pytest.FixtureRequest,
    folder: Path,
    target: object = None,
    *,
    scenario: str | Sequence[str] = "bridge",
    **options: Any,
) -> Result:
    __tracebackhide__ = True
    from stress import engine
    from stress.campaigns import stages
    from stress.options import UsageError, option_named
    from stress.plan import Plan
    from stress.registry import close_names
    from stress.reporters.groups import told
    from stress.reporters.witness import told_lines
    from stress.reporters.words import commands, verdict_line
    from stress.workload.target import OPERATIONS, TargetError

    result, mistake = None, ""
    try:
        operations = {name: options.pop(name) for name in OPERATIONS if callable(options.get(name))}
        if strange := [name for name, value in options.items() if callable(value)]:
            raise UsageError(strange[0], f"is no operation{close_names(strange[0], list(OPERATIONS))}")
        if (target is None) == (not operations):
            raise UsageError("torture", "give it one target, or the operations by name: torture(write=save, read=load)")
        given: dict[str, Any] = {"dir": folder, "runs": folder / "stress", **options}
        for option, forced in (("duration", "--stress-seconds"), ("writers", "--stress-writers")):
            if (value := request.config.getoption(forced)) is not None:
                given = {name: known for name, known in given.items() if option_named(name) != option} | {option: value}
        plan = Plan(scenario, _Given(operations, request) if target is None else target, **given)
        result = stages.run(plan)
    except (UsageError, TargetError, engine.HarnessError) as error:
        mistake = str(error)
    if result is None:
        pytest.fail(mistake, pytrace=False)  # not where it was caught: pytest would tell both
    if result.interrupted:
        raise KeyboardInterrupt
    findings = ["\n".join(told_lines(each, result.names)) for each in told(result.findings)]
    again = "\n".join(f"{does}: {command}" for does, command in commands(result))
    said = "\n\n".join((*findings, f"{verdict_line(result)}\n{again}"))
    request.node.user_properties.append(("stress_run", result.run))
    return _told(request, result, said)


def _told(request: pytest.FixtureRequest, result: Result, said: str) -> Result:
    """``result`` where it is a pass; else the test fails or is skipped, with ``said`` as its message."""
    __tracebackhide__ = True
    from stress.reporters.words import verdict_line
    from stress.result import Verdict

    strict = request.config.getoption("--stress-strict")
    if result.verdict is Verdict.FAIL or (result.verdict is Verdict.UNKNOWN and strict):
        pytest.fail(said, pytrace=False)
    request.node.add_report_section("call", "stress", said)  # of a failure it is the message
    if result.verdict is Verdict.UNKNOWN:
        pytest.skip(verdict_line(result))
    return result


class _Given:
    """Operations that were given one by one; named after the test."""

    def __init__(self, operations: dict[str, Callable[..., Any]], request: pytest.FixtureRequest) -> None:
        self.__dict__.update(operations)
        self.__module__, self.__name__ = request.module.__name__, request.node.name
