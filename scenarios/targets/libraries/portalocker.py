"""The package portalocker: its lock on a file beside the target, and in it temporary file and rename by hand."""

from __future__ import annotations

import os
from typing import Any

from scenarios.targets.libraries._common import of, operations, read

ABOUT = "the package portalocker around temporary file and rename"

_Lock = of("portalocker", "Lock")


def _lock(path: str) -> Any:  # who has it can't take it again, so it is no operation of the target
    return _Lock(path + ".lock", timeout=30)


def _put(path: str, data: bytes) -> None:
    temp = f"{path}.tmp"
    with open(temp, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temp, path)


write, update, append = operations(_put, _lock).values()

__all__ = ["append", "read", "update", "write"]
