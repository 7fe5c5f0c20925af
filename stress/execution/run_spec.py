"""What a supervisor is told of a run, and in which words it gives up."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.execution.assignment import WorkerSpec
from stress.execution.drivers.driver import Driver
from stress.execution.drivers.python import PythonDriver
from stress.execution.metadata_watch import Watched
from stress.execution.nemesis import Inject
from stress.history.journal import Journal
from stress.history.record import Language
from stress.history.recorder import Clock
from stress.history.run_directory import RunDirectory
from stress.host.users import User
from stress.workload.target import Target


@dataclass(frozen=True)
class RunSpec:
    """One run, as the supervisor is told of it."""

    run: RunDirectory
    directory: Path
    """The directory under test."""
    scratch: Path
    """For the pipes' files; not under test."""
    specs: tuple[WorkerSpec, ...]
    files: Mapping[str, tuple[int, str]]
    """Path → (index, format)."""
    target: Target
    programs: Mapping[Language, Sequence[str]]
    """What starts a worker of a side that is driven over pipes."""
    seed: int
    duration_ns: int | None
    ops: int | None
    op_limit_s: float
    faults: Mapping[str, float]
    """Nemesis name → mean seconds between its faults."""
    pause_s: float | None
    """How long a pause lasts; None: a moment."""
    belongs: Callable[[str], bool]
    """Whether what is at a path, relative to ``directory``, is part of the scenario."""
    nemeses: Mapping[str, Inject]
    """What injects those that are not the harness's own."""
    watched: Watched
    """The files whose metadata is looked at all the time."""
    users: Sequence[User]
    """Whom the workers of each language and role belong to in turn; none: to who runs the tool."""
    clean: tuple[Path, ...]
    """Directories made for this run, to be removed if the tool is no more."""
    lone_locks: frozenset[Language] = frozenset()
    """Where the target's ``lock`` can't be entered twice: no update is done inside it."""
    python_driver: Callable[[Target, Clock], Driver] = PythonDriver
    python_journal: Callable[..., Journal] = Journal
    """What Python workers drive and record with: a benchmark has its own."""

    def supported(self, spec: WorkerSpec) -> frozenset[str]:
        """What the worker may ask of the target."""
        return spec.supported - {"lock"} if spec.language in self.lone_locks else spec.supported

    def mark(self, process: int) -> str:
        """What STRESS_PROCESS is for that worker and all that it starts: they are known by it."""
        return f"{self.run.path}:{process}:"

    def user(self, spec: WorkerSpec) -> User | None:
        """Whose process the worker is to be; None: that of who runs the tool."""
        if not self.users:
            return None  # most runs: to look through all workers for each of hundreds takes its time
        alike = [other.worker for other in self.specs if (other.language, other.role) == (spec.language, spec.role)]
        return self.users[alike.index(spec.worker) % len(self.users)]


def explain(error: OSError, run_spec: RunSpec) -> str:
    """Why the supervisor could not go on, and what would do, in a line."""
    if error.errno is None:
        return str(error)
    why = os.strerror(error.errno)
    workers = len(run_spec.specs)
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return f"no process could be started ({why}), of {workers}: give fewer --writers, or raise `ulimit -u`"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"no file could be opened ({why}) for {workers} workers: give fewer --writers, or raise `ulimit -n`"
    # A write(2) does not say of which file it was.
    named = error.filename and Path(os.fsdecode(error.filename)).is_relative_to(run_spec.scratch)
    if named or (error.errno == errno.ENOSPC and os.statvfs(run_spec.scratch).f_bavail < 2):
        return f"{why} in {run_spec.scratch}, through which Bash workers are told what to do: make room there"
    where = f"; the run directory is {run_spec.run.path}"
    return f"{why}{where}" + (": make room, or give --runs" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "")
