"""The target's sweep, after workers were killed: what was there before it, and how it ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from stress.execution.run_spec import RunSpec
from stress.history.events import Event, LeftBehind, Swept
from stress.host.child import in_child


def sweep(run_spec: RunSpec, note: Callable[[Event], None]) -> None:
    """Have the target sweep, if it can, in a process of its own; it ends after the limit of one operation.

    Noted before it: the temp files of those who were killed, and of others. Call it in the files' own directory.
    """
    target = run_spec.cast.target
    if "sweep" not in target.operations:
        return
    # A file that is reached through a link has its temp files beside what the link leads to.
    paths = {path for given in run_spec.cast.files for path in (given, os.path.relpath(os.path.realpath(given)))}
    folders = sorted({os.path.dirname(path) or "." for path in paths})
    for each in _left_behind(run_spec):
        note(each)

    def body() -> None:
        call = target.side().sweep
        for folder in folders:
            if os.path.isdir(folder):
                call(folder)

    status = in_child(body, "stress-sweep", run_spec.cast.plan.op_limit_s)
    note(Swept(time.monotonic_ns(), status))


def _left_behind(run_spec: RunSpec) -> Iterator[LeftBehind]:
    monotonic_less_wall = time.monotonic_ns() - time.time_ns()
    for folder, _, names in os.walk("."):
        for name in names:
            path = os.path.normpath(os.path.join(folder, name))
            if not run_spec.belongs(path) and not run_spec.cast.target.is_residue(name):
                changed = os.lstat(path).st_ctime_ns + monotonic_less_wall
                yield LeftBehind(time.monotonic_ns(), path, changed)
