"""Whether syscalls can be scheduled here: asked by doing it once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from stress.host.interrupts import temporary_directory
from stress.syscalls.agents import Forked
from stress.syscalls.calls import Call, Step
from stress.syscalls.errors import Denied
from stress.syscalls.source import Source
from stress.syscalls.supervisor import Supervisor


class First:
    """Schedules the agents one after another, once."""

    source = Source("", least=True)

    def begin(self) -> bool:
        """Never again."""
        return False

    def pick(self, enabled: Sequence[Call], trace: Sequence[Step]) -> int:
        """The first agent that can go on."""
        return 0

    def end(self, trace: Sequence[Step], blocked: Sequence[Call] = ()) -> None:
        """Nothing is learnt."""


def require() -> None:
    """Raise `Denied` where the kernel or the container does not let syscalls be scheduled."""
    with temporary_directory() as directory, Supervisor(directory) as supervisor:
        path = Path(directory, "file")
        path.touch()
        ran = supervisor.run([Forked(partial(os.unlink, path))], First())
    if [step.call.text for step in ran.trace] != ["unlink file"]:
        raise Denied("seccomp user notification does not report what a process does", "use Linux 5.19 or later")
