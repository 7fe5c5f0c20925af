"""Who could read what, at each step: a file that was readable to more than the one whose name it has, or gets."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from stress.syscalls.names import Names

_READERS = stat.S_IRGRP | stat.S_IROTH


class Modes:
    """Modes of the files of a shared directory, since the beginning of an execution."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._before: dict[str, int] = {}
        self._widest: dict[str, int] = {}

    def begin(self, there: Mapping[str, os.stat_result]) -> None:
        """Remember who may read each file that is there."""
        self._widest.clear()
        self._before = {
            name: status.st_mode & _READERS for name, status in there.items() if stat.S_ISREG(status.st_mode)
        }

    def look(self, path: str) -> str | None:
        """Look at a file that a step may have made readable, or given a new name. What is wrong, in words."""
        try:
            status = os.lstat(path)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        name, id = self._names.text(path), self._names.id(status)
        widest = self._widest[id] = self._widest.get(id, 0) | status.st_mode & _READERS
        before = self._before.get(name)
        if before is None or not widest & ~before:
            return None
        self._before[name] |= widest  # said once
        return f"{name} was readable to {_who(widest & ~before)}, who could not read it before"


def _who(bits: int) -> str:
    return " and ".join(who for bit, who in ((stat.S_IRGRP, "its group"), (stat.S_IROTH, "everybody")) if bits & bit)
