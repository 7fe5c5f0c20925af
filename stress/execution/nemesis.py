"""The nemesis: what goes wrong from outside while the workers work.

- ``kill`` SIGKILLs a random worker's whole tree in the middle of what it does; the supervisor reaps it and starts
  another.
- ``pause`` stops one for a moment and lets it go on: a random one for up to half a second or, where it is said how
  long, one that is inside a lock, as a laptop's lid or a debugger does to who has a lease.
- ``fill`` makes the disk look full to one for a moment: it lowers the limit on file sizes (prlimit(2), RLIMIT_FSIZE),
  so that a write comes up short and the next one fails with EFBIG, which needs no privilege.
- ``signal`` interrupts one: see `stress.execution.interruptions`.
- ``clean`` removes from the directory what is not part of the scenario, as ``git clean -fd`` and cleaners of temporary
  files do: lock and temp files.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stress.registry import Registry

FAULTS = ("kill", "pause", "fill", "signal", "clean")

_PAUSE_S = (0.02, 0.5)
_FILL_S = (0.02, 0.2)
_FILL_BYTES = (64, 8192)
_AIM_S = 1.0
"""How long a pause waits for a worker that is inside a lock; then any is paused."""


@dataclass(frozen=True, slots=True)
class Victim:
    """The worker to which a registered nemesis applies its fault, and the world around it."""

    process: int
    """Its number, as reports have it: ``p7`` is 7."""
    pid: int
    """Of the leader of its process group. It has not been reaped, so it is nobody else's."""
    directory: Path
    """The directory under test."""
    files: tuple[str, ...]
    """The shared files, relative to it."""
    random: random.Random
    """To draw from: the run's seed decides what it gives."""


Inject = Callable[[Victim], None]
"""Does the harm, and comes back at once: nobody drives workers, or lifts another fault, until it does."""

NEMESES: Registry[Inject] = Registry("nemesis")


def nemesis(name: str) -> Callable[[Inject], Inject]:
    """Register the decorated function for ``--nemesis NAME=DURATION``; raises ValueError if the name is taken."""

    def register(function: Inject) -> Inject:
        if name in FAULTS:
            raise ValueError(f"{name!r} is a fault that the harness has itself")
        return NEMESES.add(name, function)

    return register


def strike(name: str, inject: Inject, victim: Victim) -> None:
    """Apply a nemesis of somebody's own; raises OSError where it fails."""
    try:
        inject(victim)
    except Exception as error:
        why = f"the nemesis {name} failed: {type(error).__name__}: {error}"
        raise OSError(why) from error


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong for one worker, by the PID of its unreaped leader; 0: for the directory."""

    kind: str
    """One of `FAULTS`, or of `NEMESES`."""
    pid: int
    lasts_s: float = 0.0
    """How long a pause or a fill is to last."""


class Nemesis:
    """Decides when and whom. Intervals are drawn around the wanted mean, so that they beat with nothing."""

    def __init__(self, every_s: Mapping[str, float], source: random.Random, pause_s: float | None = None) -> None:
        """``every_s``: fault → mean seconds between two; ``pause_s``: how long a pause lasts, None: a moment."""
        self._every_s = dict(every_s)
        self._random = source
        self._pause_s = pause_s
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

    def is_due(self, now: float) -> bool:
        """Whether a fault's time has come, or its end."""
        return any(now >= at for times in (self._next, self._until) for at in times.values())

    def due(
        self, now: float, pids: Sequence[int], stop_inside: Callable[[Sequence[int]], int | None] = lambda pids: None
    ) -> list[Fault]:
        """The faults whose time has come; lifts those that have lasted long enough. ``pids`` are the workers that
        work.

        ``stop_inside`` stops one of these processes inside a lock, and says which; a pause of a given length waits for
        it a while.
        """
        there = frozenset(pids)
        for (kind, other), until in list(self._until.items()):
            if now >= until:
                if other in there:
                    _lift(kind, other)
                del self._until[kind, other]
        faults: list[Fault] = []
        for kind, at in self._next.items():
            if now < at or not pids:
                continue
            pid: int | None = 0 if kind == "clean" else self._random.choice(pids)
            if kind == "pause" and self._pause_s is not None:
                free = [each for each in pids if (kind, each) not in self._until and each not in _hit(faults)]
                inside = stop_inside(free) if free else None
                if inside is None and now < at + _AIM_S:
                    continue
                pid = inside if inside is not None or not free else self._random.choice(free)
            self._next[kind] = now + self._interval(kind)
            if pid is not None and pid not in _hit(faults):
                faults.append(Fault(kind, pid, self._length_s(kind)))
                self._counts[kind] = self.count(kind) + 1
                if faults[-1].lasts_s:
                    self._until[kind, pid] = now + faults[-1].lasts_s
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

    def _length_s(self, kind: str) -> float:
        if kind == "pause":
            return self._random.uniform(*_PAUSE_S) if self._pause_s is None else self._pause_s
        return self._random.uniform(*_FILL_S) if kind == "fill" else 0.0

    def _interval(self, kind: str) -> float:
        return self._every_s[kind] * self._random.uniform(0.5, 1.5)


def _hit(faults: Sequence[Fault]) -> set[int]:
    return {fault.pid for fault in faults}


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


def clean(directory: Path, keep: Callable[[str], bool]) -> int:
    """Remove what is below ``directory`` and not to ``keep`` (by its path relative to it); returns how many files.

    Folders that then hold nothing go too, but for those that lead to what is kept. A link is removed, never followed,
    and where ``directory`` is one nothing is: somebody has put it there, and it leads to what is not ours.
    """
    removed = 0
    with suppress(FileNotFoundError):  # the directory itself is gone
        for folder, folder_names, base_names, fd in os.fwalk(directory, topdown=False):
            relative = Path(os.path.relpath(folder, directory))
            for name in (*base_names, *folder_names):
                if keep(str(relative / name)):
                    continue
                with suppress(OSError):  # a temp file, and its owner was faster; a folder with something in it
                    is_folder = stat.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode)
                    (os.rmdir if is_folder else os.unlink)(name, dir_fd=fd)
                    removed += 1
    return removed
