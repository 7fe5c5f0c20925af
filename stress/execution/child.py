"""A function of the target's, called in a child that has so long for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import multiprocess

from stress.execution.loop import quieten
from stress.host import process_tree

__all__ = ["in_child"]

_FORK = multiprocess.get_context("fork")


def in_child(
    body: Callable[[], None], name: str, limit_s: float, wait: Callable[[Any, float], None] | None = None
) -> int | None:
    """Call ``body`` in a child process, in a session of its own, which dies with us. Nothing of what it started stays.

    ``wait`` is given the process (`multiprocessing.Process`) and ``limit_s``, and returns when it has ended or need not
    be waited for any more; None: it is waited for so long. Returns its exit status; None: it had to be ended.
    """
    parent = os.getpid()

    def child() -> None:
        os.setsid()
        process_tree.die_with_parent(parent)
        quieten()
        body()
        os._exit(0)  # threads that the target has started are not waited for

    process = _FORK.Process(target=child, name=name)
    process.start()
    ended = False
    try:
        if wait is None:
            process.join(limit_s)
        else:
            wait(process, limit_s)
        ended = not process.is_alive()
    finally:
        if process.is_alive():
            process_tree.end_group(process.pid, process.join)
        else:
            process_tree.end_remains(process.pid)
    return process.exitcode if ended else None
