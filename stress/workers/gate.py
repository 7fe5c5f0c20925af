"""The gate: one shared page that starts all workers together and stops them.

Two numbers on a page that all processes map: when to begin and when to end, CLOCK_MONOTONIC ns; 0 means not yet
known. Nothing has to be sent, so a worker that was stopped or killed can't miss it.
"""

from __future__ import annotations

import mmap
import time

__all__ = ["Gate"]


class Gate:
    """Made before the workers are forked; they inherit the mapping."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._times = memoryview(self._page).cast("q")

    @property
    def began(self) -> int:
        """When the workers were let through, ns; 0: not yet."""
        return self._times[0]

    @property
    def ends(self) -> int:
        """When they must stop, ns; 0: not said yet."""
        return self._times[1]

    def open(self, duration_ns: int | None) -> None:
        """Let everybody through a little from now, so that they start together; stop them ``duration_ns`` after."""
        begin = time.monotonic_ns() + 5_000_000
        if duration_ns is not None and self._times[1] == 0:
            self._times[1] = begin + duration_ns
        self._times[0] = begin

    def stop(self) -> None:
        """Stop everybody now, also those who still wait."""
        now = time.monotonic_ns()
        if self._times[1] == 0 or self._times[1] > now:
            self._times[1] = now

    @property
    def stopped(self) -> bool:
        """Whether the time to stop has come."""
        return 0 < self._times[1] <= time.monotonic_ns()

    def wait(self) -> None:
        """Return when the gate opens, or when the run was stopped before."""
        while not self._times[0]:
            if self.stopped:
                return
            time.sleep(0.0005)
        # The last stretch is spun: waking from a sleep costs more than what the processes are to be apart.
        while (left := self._times[0] - time.monotonic_ns()) > 0:
            if left > 1_000_000:
                time.sleep((left - 500_000) / 1e9)
