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

__all__ = ["FAULTS", "Fault", "Nemesis"]

FAULTS = ("kill", "pause", "fill")

_PAUSE_S = (0.02, 0.5)
_FILL_S = (0.02, 0.2)
_FILL_BYTES = (64, 8192)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong for one worker, by the PID of its unreaped leader."""

    kind: str
    """One of `FAULTS`."""
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
        """The workers were let through: the first faults come an interval from now."""
        for kind in self._every_s:
            self._next[kind] = now + self._interval(kind)

    def count(self, kind: str) -> int:
        """How often it was injected."""
        return self._counts.get(kind, 0)

    def due(self, now: float, pids: Sequence[int]) -> list[Fault]:
        """The faults whose time has come; lifts those that have lasted long enough. ``pids`` are the workers that
        work.
        """
        for (kind, pid), until in list(self._until.items()):
            if now >= until:
                if pid in pids:
                    _lift(kind, pid)
                del self._until[kind, pid]
        faults: list[Fault] = []
        for kind, at in self._next.items():
            if now < at or not pids:
                continue
            self._next[kind] = now + self._interval(kind)
            pid = self._random.choice(pids)
            if not any(fault.pid == pid for fault in faults):
                self._counts[kind] = self.count(kind) + 1
                lasts_s = 0.0
                if kind != "kill":
                    lasts_s = self._random.uniform(*(_PAUSE_S if kind == "pause" else _FILL_S))
                    self._until[kind, pid] = now + lasts_s
                faults.append(Fault(kind, pid, lasts_s))
        return faults

    def apply(self, fault: Fault) -> None:
        """Begin a pause or a fill."""
        if fault.kind == "pause":
            os.killpg(fault.pid, signal.SIGSTOP)
        elif fault.kind == "fill":
            _limit(fault.pid, self._random.randrange(*_FILL_BYTES))

    def lift(self, pid: int) -> None:
        """End whatever lasts for that worker."""
        for kind, other in list(self._until):
            if other == pid:
                _lift(kind, pid)
                del self._until[kind, other]

    def _interval(self, kind: str) -> float:
        return self._every_s[kind] * self._random.uniform(0.5, 1.5)


def _lift(kind: str, pid: int) -> None:
    if kind == "pause":
        os.killpg(pid, signal.SIGCONT)
    else:
        _limit(pid, None)


def _limit(pid: int, size: int | None) -> None:
    try:
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
    except ProcessLookupError:
        pass  # it has ended, and is not yet reaped
