"""The nemesis: what goes wrong from outside while the workers work.

``kill`` SIGKILLs a random worker's whole tree in the middle of what it does; the supervisor reaps it and starts
another.
``pause`` stops one for a moment and lets it go on. ``fill`` makes the disk look full to one for a moment: it lowers
the limit on file sizes (prlimit(2), RLIMIT_FSIZE), so that a write comes up short and the next one fails with EFBIG,
which needs no privilege.
"""

from __future__ import annotations

import os
import random
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["FAULTS", "Nemesis", "Stroke"]

FAULTS = ("kill", "pause", "fill")

_PAUSE_S = (0.02, 0.5)
_FILL_S = (0.02, 0.2)
_FILL_BYTES = (64, 8192)


@dataclass(frozen=True, slots=True)
class Stroke:
    """One fault for one worker, by the PID of its unreaped leader."""

    fault: str
    pid: int
    lasts_s: float = 0.0
    """How long a pause or a fill is to last."""


class Nemesis:
    """Decides when and whom. Intervals are drawn around the wanted mean, so that they beat with nothing."""

    def __init__(self, every_s: Mapping[str, float], source: random.Random) -> None:
        self._every_s = dict(every_s)
        self._random = source
        self._next: dict[str, float] = {}
        self._until: dict[tuple[str, int], float] = {}
        self._counts: dict[str, int] = {}

    def begin(self, now: float) -> None:
        """The gate is open: the first strokes come an interval from now."""
        for fault in self._every_s:
            self._next[fault] = now + self._interval(fault)

    def count(self, fault: str) -> int:
        """How often it struck."""
        return self._counts.get(fault, 0)

    def due(self, now: float, pids: Sequence[int]) -> list[Stroke]:
        """The strokes whose time has come; ends those that have lasted long enough. ``pids`` are the workers that
        work.
        """
        for (fault, pid), until in list(self._until.items()):
            if now >= until:
                if pid in pids:
                    _end(fault, pid)
                del self._until[fault, pid]
        strokes: list[Stroke] = []
        for fault, at in self._next.items():
            if now < at or not pids:
                continue
            self._next[fault] = now + self._interval(fault)
            pid = self._random.choice(pids)
            if not any(stroke.pid == pid for stroke in strokes):
                self._counts[fault] = self.count(fault) + 1
                lasts_s = 0.0
                if fault != "kill":
                    lasts_s = self._random.uniform(*(_PAUSE_S if fault == "pause" else _FILL_S))
                    self._until[fault, pid] = now + lasts_s
                strokes.append(Stroke(fault, pid, lasts_s))
        return strokes

    def apply(self, stroke: Stroke) -> None:
        """Do a pause or a fill."""
        if stroke.fault == "pause":
            os.killpg(stroke.pid, signal.SIGSTOP)
        elif stroke.fault == "fill":
            _limit(stroke.pid, self._random.randrange(*_FILL_BYTES))

    def relent(self, pid: int) -> None:
        """End whatever lasts for that worker."""
        for fault, other in list(self._until):
            if other == pid:
                _end(fault, pid)
                del self._until[fault, other]

    def _interval(self, fault: str) -> float:
        return self._every_s[fault] * self._random.uniform(0.5, 1.5)


def _end(fault: str, pid: int) -> None:
    if fault == "pause":
        os.killpg(pid, signal.SIGCONT)
    else:
        _limit(pid, None)


def _limit(pid: int, size: int | None) -> None:
    try:
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
    except ProcessLookupError:
        pass  # it has ended, and is not yet reaped
