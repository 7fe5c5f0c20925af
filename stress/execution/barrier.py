"""The start barrier: starts all workers together, and stops them.

A page that all processes map says when to begin and when to end (CLOCK_MONOTONIC ns; 0: not yet known), so that a
worker that was stopped or killed can't miss it, and a full disk can't keep it from being said. A pipe that nobody
writes to holds the workers back without polling: reading from it returns, for all of them at once, when its other end
is closed.
"""

from __future__ import annotations

import mmap
import os
from time import monotonic_ns, sleep  # as they are here: a target may put others into their module

_WORDS_AT = 64
"""Where in the page the words begin with which the supervisor gives up."""
_LEAD_NS, _LEAD_EACH_NS = 5_000_000, 100_000
"""How long those who have been woken wait for the others: on few processors one is woken after the other, and the first
would have worked for a while before the last was there.
"""


class StartBarrier:
    """Made before the supervisor and the workers are forked; all of them inherit it."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._times = memoryview(self._page)[:_WORDS_AT].cast("q")
        self._reading, self._writing = os.pipe()

    @property
    def began(self) -> int:
        """When the workers were let through, ns; 0: not yet."""
        return self._times[0]

    @property
    def ends(self) -> int:
        """When they must stop, ns; 0: not said yet."""
        return self._times[1]

    @property
    def stopped(self) -> bool:
        """Whether the time to stop has come."""
        return 0 < self._times[1] <= monotonic_ns()

    @property
    def broken(self) -> int:
        """Why the supervisor had to give up: an errno; 0: it did not."""
        return self._times[2]

    @property
    def why(self) -> str:
        """The same in words."""
        return bytes(self._page[_WORDS_AT:]).rstrip(b"\0").decode("utf-8", "replace")

    def give_up(self, number: int, why: str) -> None:
        """Leave word of the errno ``number``, and stop everybody now."""
        words = why.encode("utf-8", "replace")[: len(self._page) - _WORDS_AT]
        self._page[_WORDS_AT : _WORDS_AT + len(words)] = words
        self._times[2] = number
        self.stop()

    @property
    def signalled(self) -> int:
        """The signal that somebody sent to the supervisor, and that ended the run early; 0: none."""
        return self._times[3]

    def interrupt(self, number: int) -> None:
        """Leave word that signal ``number`` came, and stop everybody now."""
        self._times[3] = number
        self.stop()

    def open(self, duration_s: float | None, workers: int) -> None:
        """The supervisor lets its ``workers`` through a little from now, and stops them ``duration_s`` after."""
        begin = monotonic_ns() + _LEAD_NS + workers * _LEAD_EACH_NS
        if duration_s is not None and self._times[1] == 0:
            self._times[1] = begin + int(duration_s * 1e9)
        self._times[0] = begin
        self.leave_to_others()

    def leave_to_others(self) -> None:
        """Every process but the supervisor gives up its hold on the barrier; while anybody has one, it is closed."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def close(self) -> None:
        """Let go of the pipe; the page goes with the last that uses it."""
        self.leave_to_others()
        os.close(self._reading)

    def stop(self) -> None:
        """Stop everybody now, also those who still wait."""
        now = monotonic_ns()
        if self._times[1] == 0 or self._times[1] > now:
            self._times[1] = now

    def wait(self) -> int:
        """Return when the barrier opens; the time when it woke this process, ns."""
        os.read(self._reading, 1)
        woken = monotonic_ns()
        while (left := self._times[0] - monotonic_ns()) > 0:
            sleep(left / 1e9)
        return woken
