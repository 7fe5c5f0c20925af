"""Locks of two kinds at once: threads by a lock of the process, processes by flock(2); a thread does the write."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import parts

SCENARIOS = ("session_count", "progress_log")

_own = threading.Lock()


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    with _own, open(os.path.realpath(path) + ".lock", "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _in_a_thread(do: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(do, *arguments).result()

    return wrapped


read = parts.read
write, update, append, backup = map(_in_a_thread, parts.under(_locked))
