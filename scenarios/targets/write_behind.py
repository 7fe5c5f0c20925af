"""A write is acknowledged when it is queued; a thread does it later.

Who was told that the file is written reads the old content; what is still in the queue when the process is killed never
comes.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any

from scenarios.targets._correct import encode, locked, read, replace

ABOUT = "acknowledges writes that a thread does later"
EXPECTS = ("stale-read", "non-monotonic-read")
SCENARIOS = ("handoff",)


_queue: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
_threads: dict[int, threading.Thread] = {}


def _drain() -> None:
    while True:
        path, data = _queue.get()
        time.sleep(0.01)
        with locked(path):
            replace(path, data)


def write(path: str, document: Any) -> None:
    if os.getpid() not in _threads:
        _threads[os.getpid()] = threading.Thread(target=_drain, daemon=True)
        _threads[os.getpid()].start()
    _queue.put((path, encode(document)))  # the bug: nothing is written yet


RESIDUE = (".tmp.*",)
__all__ = ["read", "write"]
