"""What a supervisor is told of a run, and in which words it gives up."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.execution.cast import Cast
from stress.execution.drivers.driver import Driver
from stress.execution.metadata_watch import Watched
from stress.execution.runner import Place
from stress.history.journal import Journal
from stress.history.kinds import Language
from stress.history.recorder import Clock
from stress.workload.target import Target


@dataclass(frozen=True)
class RunSpec:
    """One run, as the supervisor is told of it."""

    cast: Cast
    place: Place
    """The run directory by an absolute path: the workers' current directory is the one under test."""
    programs: Mapping[Language, Sequence[str]]
    """What starts a worker of a side that is driven over pipes."""
    belongs: Callable[[str], bool]
    """Whether what is at a path, relative to the directory under test, is part of the scenario."""
    watched: Watched
    """The files whose metadata is looked at all the time."""
    python_driver: Callable[[Target, Clock], Driver]
    python_journal: Callable[..., Journal]
    """What Python workers drive and record with."""

    def mark(self, process: int) -> str:
        """What STRESS_PROCESS is for that worker and all that it starts: they are known by it."""
        return f"{self.place.run.path}:{process}:"


def explain(error: OSError, run_spec: RunSpec) -> str:
    """Why the supervisor could not go on, and what would do, in a line."""
    if error.errno is None:
        return str(error)
    why = os.strerror(error.errno)
    workers = len(run_spec.cast.workers)
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return f"no process could be started ({why}), of {workers}: give fewer --writers, or raise `ulimit -u`"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"no file could be opened ({why}) for {workers} workers: give fewer --writers, or raise `ulimit -n`"
    # A write(2) does not say of which file it was.
    named = error.filename and Path(os.fsdecode(error.filename)).is_relative_to(run_spec.place.scratch)
    if named or (error.errno == errno.ENOSPC and os.statvfs(run_spec.place.scratch).f_bavail < 2):
        return f"{why} in {run_spec.place.scratch}, through which Bash workers are told what to do: make room there"
    where = f"; the run directory is {run_spec.place.run.path}"
    return f"{why}{where}" + (": make room, or give --runs" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "")
