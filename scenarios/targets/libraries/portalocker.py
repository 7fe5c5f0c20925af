"""The package portalocker: its lock on a file beside the target, and in it temporary file and rename by hand."""

from __future__ import annotations

from typing import Any

from scenarios.targets.libraries._common import by_hand, of, operations, read

ABOUT = "the package portalocker around temporary file and rename"
ALLOW = ("starvation",)  # it polls four times a second: whoever has just freed the lock has it again by then

_Lock = of("portalocker", "Lock")


def _lock(path: str) -> Any:  # who has it can't take it again, so it is no operation of the target
    return _Lock(path + ".lock", timeout=30)


write, update, append = operations(by_hand, _lock).values()

__all__ = ["append", "read", "update", "write"]
