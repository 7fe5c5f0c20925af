"""One operation of a worker, in any language: numbered, prepared, invoked, examined, recorded.

A driver knows one side of a target; a recorder keeps what happened; a loop decides when the next operation comes.
`step` is what a loop calls; a loop over many workers at once calls its halves, `begin` and `finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stress.execution.drivers.driver import Driver, Numbered, Raw
from stress.execution.operations import OperationStream
from stress.history.journal import row_of
from stress.history.kinds import CHANGES, Kind
from stress.history.record import NO_VERSION, version_of
from stress.history.recorder import Recorder
from stress.workload.scenario import Answer, Request

# Bound once: before Python 3.12 each look-up of an enumeration's member is a call.
_READ, _OBSERVE = Kind.READ, Kind.OBSERVE


def number(
    recorder: Recorder,
    files: Mapping[str, tuple[int, str]],
    supported: frozenset[str],
    scenario: int,
    request: Request,
    *,
    observed: bool = True,
) -> Numbered:
    """Make ``request`` the recorder's next operation. ``files``: path → (index, format).

    A read of what the target has no reader for is an `observe`: readers then open the file themselves. Where the file
    is not the document (not ``observed``) it is the other way round. Without a ``lock`` nothing is done inside one.
    """
    index, form = files[request.path]
    if request.kind is _READ and (form == "log" or "read" not in supported):
        request = request._replace(kind=_OBSERVE)
    elif not observed and request.kind is _OBSERVE and form != "log":
        request = request._replace(kind=_READ)
    if request.locked and "lock" not in supported:
        request = request._replace(locked=False)
    seq = recorder.rows + 1
    return Numbered(request, scenario, index, form, seq, version_of(recorder.process, seq))


def begin(driver: Driver, recorder: Recorder, op: Numbered) -> tuple[Callable[[], Raw], int]:
    """Prepare ``op`` and open its row; returns the call that does it, to be made at once, and when it was invoked."""
    call = driver.prepare(op, recorder.record_parent)
    request = op.request
    size = request.size if request.kind in CHANGES else NO_VERSION
    return call, recorder.invoke(row_of(request.kind, op.file, op.scenario), size)


def finish(driver: Driver, recorder: Recorder, op: Numbered, invoked: int, raw: Raw, returned: int) -> Answer:
    """Examine what ``op`` came to, and close its row."""
    seen = driver.examine(op, raw)
    outcome, version = seen.outcome, seen.version
    if seen.rare:
        # A hold that is said to reach out of its operation is not believed.
        held = seen.held_from, seen.held_to
        held_from, held_to = held if invoked < held[0] < held[1] < returned else (0, 0)
        recorder.attach(size=seen.size, digest=seen.digest, held_from=held_from, held_to=held_to, note=seen.note)
    if op.request.kind in CHANGES:
        version = op.version
        recorder.complete(returned, outcome, op.request.size, seen.parent)
    else:
        recorder.complete(returned, outcome, version, seen.parent)
    return Answer(outcome, version)


def step(driver: Driver, recorder: Recorder, op: Numbered) -> Answer:
    """Carry ``op`` out and record it; what a target raises becomes an outcome, and never comes out of here."""
    clock = recorder.clock
    call, invoked = begin(driver, recorder, op)
    try:
        raw = call()
        returned = clock()
    except Exception as error:
        returned = clock()
        raw = error
    return finish(driver, recorder, op, invoked, raw, returned)


class Stepper:
    """One worker, whose operations are done one by one, when its loop says so."""

    def __init__(
        self,
        driver: Driver,
        recorder: Recorder,
        stream: OperationStream,
        files: Mapping[str, tuple[int, str]],
        supported: frozenset[str],
        *,
        observed: bool = True,
    ) -> None:
        self.driver = driver
        self.recorder = recorder
        self.stream = stream
        self._files = files
        self._supported = supported
        self._observed = observed

    def next(self) -> Numbered | None:
        """The next operation; None when there are no more."""
        turn = self.stream.next()
        if turn is None:
            return None
        return number(self.recorder, self._files, self._supported, *turn, observed=self._observed)

    def step(self) -> bool:
        """Do the next operation; False when there are no more."""
        op = self.next()
        if op is None:
            return False
        self.stream.answer(step(self.driver, self.recorder, op))
        return True
