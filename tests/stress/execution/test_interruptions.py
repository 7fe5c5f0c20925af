"""A signal in the middle of an operation interrupts it, or does it once more; between operations it does nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from stress.execution.drivers.driver import Numbered
from stress.execution.drivers.observe import Observation
from stress.execution.interruptions import SIGNALS, Interrupted, Interruptible
from stress.execution.step import step
from stress.history.kinds import Kind, Language, Outcome
from stress.history.machine_errors import MACHINE_ERRORS, errno_of
from stress.history.notes import ErrorNote
from stress.history.record import version_of
from stress.workload.scenario import Request
from tests.stress.recorders import ListRecorder, StepClock


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Raising:
    """A driver whose operation is a call of the signals given, and then of nothing."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)
        self.done = 0

    def prepare(self, op: Numbered, record_parent: Any) -> Any:
        def call() -> None:
            while self.numbers:
                signal.raise_signal(self.numbers.pop(0))
            self.done += 1

        return call

    def examine(self, op: Numbered, raw: Any) -> Observation:
        if isinstance(raw, Exception):
            return Observation(outcome=Outcome.INFO, note=ErrorNote(str(raw)))
        return Observation()


def _op(process: int = 7, **fields: Any) -> Numbered:
    return Numbered(Request(Kind.UPDATE, "a.json", **fields), 0, 0, "object", 1, version_of(process, 1))


def _run(driver: Raising, op: Numbered) -> tuple[ListRecorder, ListRecorder, Raising]:
    clock = StepClock()
    outer, handler = (ListRecorder(process, Language.PYTHON, clock) for process in (7, 8))
    inner = Raising()
    step(Interruptible(driver, inner, handler), outer, op)
    return outer, handler, inner


def test_ctrl_c_is_a_fault_of_ours_and_not_the_targets() -> None:
    assert errno_of(Interrupted()) in MACHINE_ERRORS


def test_ctrl_c_leaves_the_outcome_unknown() -> None:
    driver = Raising(signal.SIGINT)
    outer, handler, _ = _run(driver, _op())
    (op,) = outer.operations(99)
    assert (op.outcome, op.note) == (Outcome.INFO, ErrorNote("KeyboardInterrupt"))
    assert driver.done == 0
    assert handler.operations(99) == []


def test_a_target_that_survives_ctrl_c_is_not_interrupted_again() -> None:
    class Stubborn(Raising):
        def prepare(self, op: Numbered, record_parent: Any) -> Any:
            def call() -> None:
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

            return call

    outer, _, _ = _run(Stubborn(), _op())
    assert outer.operations(99)[0].outcome is Outcome.OK


def test_a_handler_does_the_same_operation_once_more_as_a_process_of_its_own() -> None:
    driver = Raising(signal.SIGUSR1)
    outer, handler, inner = _run(driver, _op())
    (op,), (nested,) = outer.operations(99), handler.operations(99)
    assert (driver.done, inner.done) == (1, 1)
    assert nested.version == version_of(8, 1)
    assert (nested.kind, nested.outcome) == (op.kind, op.outcome) == (Kind.UPDATE, Outcome.OK)
    assert op.invoke < nested.invoke < nested.ret < op.ret


def test_inside_a_lock_that_the_harness_has_taken_the_handler_does_nothing() -> None:
    _, handler, _ = _run(Raising(signal.SIGUSR1), _op(locked=True))
    assert handler.operations(99) == []


def test_between_operations_signals_do_nothing() -> None:
    clock = StepClock()
    recorder = ListRecorder(8, Language.PYTHON, clock)
    Interruptible(Raising(), Raising(), recorder)
    for number in SIGNALS:
        signal.raise_signal(number)
    assert recorder.operations(99) == []
