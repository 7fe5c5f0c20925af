"""A lock that is a name in the abstract namespace of unix(7) sockets: bind(2) gives it to one, and death frees it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Iterator

import parts

SCENARIOS = ("session_count", "progress_log")


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    name = "\0stress-" + hashlib.sha256(os.path.realpath(path).encode()).hexdigest()
    with socket.socket(socket.AF_UNIX) as held:
        while True:
            try:
                held.bind(name)
                break
            except OSError:
                time.sleep(0.0003 + time.time_ns() % 1024 / 4e6)
        yield


read = parts.read
write, update, append, backup = parts.under(_locked)
