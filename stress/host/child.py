"""Child processes: what each does first and what it leaves behind; a function called in one, for so long at most."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import multiprocess

from stress.host import process_tree

_LAST_BYTES = 2000
"""Of what a worker wrote on standard error, and may be megabytes without a line's end, what is looked at."""
_FORK = multiprocess.get_context("fork")


def in_child(
    body: Callable[[], None], name: str, limit_s: float, wait: Callable[[Any, float], None] | None = None
) -> int | None:
    """Call ``body`` in a child process, in a session of its own, which dies with us. Nothing of what it started stays.

    ``wait`` is given the process (`multiprocessing.Process`) and ``limit_s``, and returns when it has ended or need not
    be waited for any more; None: it is waited for so long. Returns its exit status; None: it had to be ended.
    """
    parent = os.getpid()
    process_tree.reap_children()

    def child() -> None:
        os.setsid()
        process_tree.die_with_parent(parent)
        quieten()
        process_tree.become_subreaper()
        try:
            body()
        finally:
            process_tree.end_orphans(set())  # also what has made a session of its own
        os._exit(0)  # threads that the target has started are not waited for

    process = _FORK.Process(target=child, name=name)
    process.start()
    ended = False
    try:
        (wait or _wait)(process, limit_s)
        ended = not process.is_alive()
    finally:
        if process.is_alive():
            process_tree.end_group(process.pid, process.join)
        else:
            process_tree.end_remains(process.pid)
    return process.exitcode if ended else None


def _wait(process: Any, limit_s: float) -> None:
    """Wait for its end. What ``join`` waits for with a limit is a pipe, which processes that it started have too."""
    end, rest_s = time.monotonic() + limit_s, 0.001
    while process.is_alive() and time.monotonic() < end:
        time.sleep(rest_s)
        rest_s = min(0.02, rest_s * 2)


def staying_threads() -> list[str]:
    """The names of threads that keep this process from ending: those that are no daemons."""
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    return [thread.name for thread in others if not thread.daemon and thread.is_alive()]


def quieten() -> None:
    """In a fresh worker: leave the terminal's signals to the tool, and standard streams alone, also those of a test."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, open(fd, "w" if fd else "r", 1, errors="backslashreplace", closefd=False))  # noqa: SIM115


def last_words(path: str) -> str:
    """The last line that a worker wrote on standard error."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_BYTES))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
