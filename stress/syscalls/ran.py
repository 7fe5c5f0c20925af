"""What became of an execution, as the engine saw it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stress.syscalls.calls import Call, Step


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong that the engine saw by itself, after ``step`` steps.

    Attributes:
        kind: ``deadlock``, ``livelock`` (some poll for ever), ``endless`` (a bound on steps was reached),
            ``starvation``, ``stuck``, ``undecided`` (see `errors.Undecided`), or ``readable`` (a file was, to more than
            before).
    """

    kind: str
    step: int
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A message of an agent (`stress.syscalls.mark`), after ``step`` steps."""

    step: int
    agent: int
    text: str


@dataclass(frozen=True, slots=True)
class Ran:
    """An execution, over.

    Attributes:
        trace: What was done.
        ending: ``done``, ``deadlock``, ``cut`` (a bound on steps was reached) or ``stuck``.
        statuses: Exit status of each agent's first process, −n if signal n ended it; of a warm one, of its operation.
            None if it had to be ended.
        outputs: (stdout, stderr) of each agent.
        marks: Messages of the agents, in order.
        findings: What was wrong.
        blocked: Calls that still wait for a lock.
        interrupted: Waits for one that a signal ended, such as that of a timeout: (steps until then, call).
    """

    trace: tuple[Step, ...]
    ending: str
    statuses: tuple[int | None, ...]
    outputs: tuple[tuple[bytes, bytes], ...]
    marks: tuple[Mark, ...]
    findings: tuple[Finding, ...]
    blocked: tuple[Call, ...]
    interrupted: tuple[tuple[int, Call], ...]

    @property
    def decisions(self) -> tuple[int, ...]:
        """The schedule: the agent of each step."""
        return tuple(step.call.agent for step in self.trace)


Disturb = Callable[[int, Call], int | None]
"""Where faults plug in: (index of the step, call) → the result, or −errno, to answer in the kernel's place; None to let
the call be done."""
