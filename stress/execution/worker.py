"""One worker of a run as the supervisor knows it: a Python process that it forked, or one that it drives over pipes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.execution.cast import WorkerSpec
from stress.execution.loop import PipeLoop
from stress.execution.operations import OperationStream
from stress.history.journal import FINISHED, READY, read_header, row_with_parent


@dataclass
class Worker:
    """One process of a worker's. What replaces it is another, with the same ``spec``."""

    spec: WorkerSpec
    process: int
    """Its number."""
    stream: OperationStream
    scratch: Path
    """A folder for it alone."""
    journal: Path
    handle: Any = None
    """Of its process; None: it is to be driven over pipes, and not yet started."""
    pid: int = 0
    shell: PipeLoop | None = None
    """What drives it; None: it is a Python process."""
    fd: int = -1
    """Of the journal of a Python process, to look at its header; -1 until it is there."""
    through: bool = False
    interrupted: bool = False
    """The nemesis has sent it a signal."""

    def ready(self) -> bool:
        """Whether it waits at the start barrier, or has been through it."""
        if self.shell is not None:
            return self.shell.journal.state >= READY
        if self.fd < 0:
            try:
                self.fd = os.open(self.journal, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        header = read_header(self.fd)
        return header is not None and header.state >= READY

    @property
    def finished(self) -> bool:
        """Whether a Python worker has done all that it had to, and only its process has not ended."""
        header = read_header(self.fd) if self.fd >= 0 else None
        return header is not None and header.state >= FINISHED

    @property
    def rows(self) -> int:
        """How many operations it has begun."""
        if self.shell is not None:
            return self.shell.journal.rows
        header = read_header(self.fd) if self.fd >= 0 else None
        return header.rows if header is not None else 0

    @property
    def row_with_parent(self) -> int:
        """The number of the operation that it is in, if that is an update that has read; 0: it is not."""
        if self.shell is not None:
            return self.shell.row_with_parent()
        return row_with_parent(self.fd) if self.fd >= 0 else 0

    @property
    def reaped(self) -> bool:
        """Whether its PID may be somebody else's: multiprocess, where it looks whether one has ended, reaps it."""
        return self.shell is None and self.handle.exitcode is not None
