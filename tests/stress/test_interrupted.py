"""A run that is interrupted at any moment leaves nothing of its directories behind, and no run that can't be read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stress import Plan, engine
from stress.cli._entry import run_command
from stress.execution.cast import Cast
from stress.execution.runner import Ended, Place, Watch
from stress.exits import EXIT_INTERRUPTED
from stress.history.history import History
from stress.history.run_directory import RunDirectory
from stress.host.interrupts import interrupts


class Nothing:
    """A runner that does nothing."""

    def run(self, cast: Cast, place: Place, watch: Watch) -> Ended:
        """See `stress.execution.runner.Runner`."""
        return Ended(History.of([], cast.world.facts, scenarios=tuple(cast.world.checkers)))


def _interrupted_in(owner: object, name: str, number: int, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """Have the signal come when ``owner.name`` is called, before or after it did its work."""
    real: Callable[..., Any] = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        if not after:
            os.kill(os.getpid(), number)
        made = real(*arguments, **named)
        if after:
            os.kill(os.getpid(), number)
        return made

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (tempfile, "mkdtemp"),
        (engine, "resolve"),
        (engine, "lay_out"),
        (engine, "provenance"),
        (Nothing, "run"),
        (engine, "inspect"),
        (RunDirectory, "save_final"),
        (engine, "run_checkers"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left(
    number: int, owner: object, name: str, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_with_locks_tried", lambda cast, *_: cast)
    for folder in ("files", "memory", "runs", "elsewhere"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(
        engine, "_make_scratch", lambda run: Path(tempfile.mkdtemp(prefix="stress-scratch-", dir=tmp_path / "memory"))
    )
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    _interrupted_in(owner, name, number, monkeypatch, after=after)
    plan = Plan(
        scenarios=("handoff",),
        target="naive",
        mix=(("python", 1),),
        writers=1,
        directory=str(tmp_path / "files"),
        runs=str(tmp_path / "runs"),
    )
    with pytest.raises(KeyboardInterrupt):
        engine.run(plan, runner=Nothing())
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    for folder in ("files", "memory", "elsewhere"):
        assert os.listdir(tmp_path / folder) == []
    for run in (tmp_path / "runs").iterdir():
        RunDirectory(run).load()


def test_a_signal_waits_for_the_end_of_what_holds_it() -> None:
    done = []

    def work() -> None:
        with interrupts() as signals:
            with signals.held():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("held")
            done.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["held"]


def test_a_run_that_can_be_wound_down_is_told_and_not_cut() -> None:
    told: list[str] = []
    with interrupts() as outer, interrupts() as signals:
        assert signals is outer
        with signals.calling(lambda: told.append("stop")) as received:
            os.kill(os.getpid(), signal.SIGHUP)
        assert (told, received) == (["stop"], [signal.SIGHUP])


def test_who_ignores_a_hangup_goes_on() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_an_interrupted_import_breaks_is_no_error_of_ours(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def import_module(name: str) -> None:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raise AttributeError("module 'numpy' has no attribute 'minimum'") from None

    monkeypatch.setattr("stress.cli._group.importlib.import_module", import_module)
    assert run_command(["run"]) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "stress: interrupted\n"


def test_before_anything_was_made_a_signal_ends_it_without_a_word() -> None:
    code = "import os, signal, stress.cli._start as start; start._refuse = lambda line: os.kill(os.getpid(), 2); "
    code += "start.NEEDED = ('no_such_module',); start.main([])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
