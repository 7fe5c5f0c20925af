"""Alarms that raise: a call, and the exception that interrupts it after so many seconds, or does not."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable


def interrupts(call: Callable[[], object], after_s: float, exception: type[BaseException]) -> bool:
    """Whether the alarm came in time: the call did not end, and raised ``exception``.

    An alarm may be told late. CPython 3.11 notes that one waits; where it comes while the note is written anew, it is
    forgotten until the lock of the interpreter is let go of, which a call that ends first may never do. So it is let
    go of here, while nothing is raised any more.
    """
    rings = True

    def ring(*_: object) -> None:
        if rings:
            raise exception

    before = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, after_s)
            call()
        finally:
            rings = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            time.sleep(0)
    except exception:
        return True
    finally:
        signal.signal(signal.SIGALRM, before)
    return False
