"""CPU time: all that a run measures of it, by getrusage(2).

Every process of the harness takes its own from the start barrier on. What workers and their children have used is known
when all of them have been reaped. Inside a Python worker the harness's own part is sampled: `CpuShare`.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from time import thread_time_ns  # as it is here: a target may put another into its module

from stress.execution.drivers.driver import Driver, Numbered, Raw
from stress.execution.drivers.observe import Observation
from stress.history.events import Event, Reaped, Started
from stress.history.journal import read_header
from stress.history.kinds import Language
from stress.stats import Cpu

_TIMED_MASK = 7
"""Of eight operations the CPU time until the next is taken, for all of them: asking for it costs more than recording
does.
"""


def own_ns() -> int:
    """What this process has used so far, ns."""
    return _ns(resource.RUSAGE_SELF)


def children_s() -> float:
    """What its children that it has reaped used, and theirs, seconds."""
    return _ns(resource.RUSAGE_CHILDREN) / 1e9


def _ns(who: int) -> int:
    used = resource.getrusage(who)
    return int((used.ru_utime + used.ru_stime) * 1e9)


class CpuShare:
    """A driver that takes the CPU time between operations: what the harness takes of a worker's."""

    def __init__(self, driver: Driver) -> None:
        self.harness_ns = 0
        self._driver = driver
        self._since = 0

    def prepare(self, op: Numbered, record_parent: Callable[[int], None]) -> Callable[[], Raw]:
        """As the driver's."""
        call = self._driver.prepare(op, record_parent)
        if self._since:
            self.harness_ns += (thread_time_ns() - self._since) * (_TIMED_MASK + 1)
            self._since = 0
        return call

    def examine(self, op: Numbered, raw: Raw) -> Observation:
        """As the driver's."""
        if op.seq & _TIMED_MASK == 0:
            # Less what asking takes, here and now: seven of eight do not ask.
            before = thread_time_ns()
            self._since = 2 * thread_time_ns() - before
        return self._driver.examine(op, raw)


def cpu_of_run(journals: Path, tool_cpu_s: float, events: Sequence[Event]) -> Cpu:
    """Where the CPU time of the run with these ``journals`` (their folder) went.

    ``tool_cpu_s``: of the tool and the supervisor, which drives the Bash workers. In Python workers what is not inside
    an operation is the harness's; what Bash workers and their children spend counts as operations.
    """
    total = harness = before = 0
    for path in journals.glob("p*.ops"):
        with path.open("rb") as file:
            header = read_header(file.fileno())
        if header is not None and header.cpu_ns:
            total += header.cpu_ns
            before += header.cpu_before_ns
            harness += min(header.cpu_harness_ns, header.cpu_ns)
    shells = any(isinstance(event, Started) and event.language is not Language.PYTHON for event in events)
    children_s = sum(event.children_cpu_s for event in events if isinstance(event, Reaped))
    return Cpu(
        python_workers_s=total / 1e9,
        python_operations_s=(total - harness) / 1e9,
        shell_workers_s=max(0.0, children_s - (total + before) / 1e9) if shells else 0.0,
        tool_s=tool_cpu_s,
    )
