# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Wait for a lock: in the kernel's queue, with the others, and yet for no longer than the timeout.

flock(2) has no timeout, and a signal to interrupt it is not a library's to take. Who only tries again and again hardly
ever gets a lock for which others wait in the kernel. So it is tried for a moment, because most locks are free soon and
a thread costs more than that, and then a helper thread waits in flock(2).

The thread has a descriptor of its own of the same open file description. A lock belongs to the description: if the
taker is still there, he has it as soon as the thread has, and if he has given up and closed his descriptor, the lock is
free again when the thread closes the last one. Nothing has to be handed over, and nothing told.

16 processes that hold the lock for 5 ms in blocking flock(2), and one more, for 8 s: it gets 92 % of its fair share
this way, and 10 % by trying.
"""

from __future__ import annotations

import _thread
import fcntl
import math
import time

from . import _carriers
from ._carriers import Carrier, try_now
from ._descriptors import duplicate

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal

    from ._descriptors import Descriptor
else:
    import _signal as signal  # without the enumerations

_TRY_S = 0.001
_PAUSE_S_FIRST, _PAUSE_S_MAX = 0.00005, 0.0005


class _Waiter(Carrier):
    """A thread that waits for a lock. Attributes: ``done`` is released when it has it, or ``error`` says why not."""

    def __init__(self, hold: Carrier) -> None:
        self.key = hold.key
        self.done = _thread.allocate_lock()
        self.done.acquire()
        self.error: OSError | None = None
        self.carry(duplicate, _open(hold))
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the thread that waits for us
        try:
            fcntl.flock(_open(self).fileno(), fcntl.LOCK_EX)
        except OSError as error:
            self.error = error
        if _left.get(self.key) is self:
            del _left[self.key]
        self.done.release()
        with _carriers.fork_guard:
            self.close()


# Threads whose takers gave up, by the lock they wait for: the next who waits takes one over, or else who asks for a
# busy lock with a short timeout again and again would have ever more of them.
_left: dict[tuple[int, ...] | None, _Waiter] = {}


def wait(hold: Carrier, timeout: float | None) -> bool:
    """Get the lock, which somebody else has; ``False`` if it was not to be had in that many seconds."""
    # gevent and eventlet put tasks in the place of threads, and what waits in the kernel would stop them all.
    has_threads = isinstance(_thread.start_new_thread, type(len))
    if timeout is None and has_threads:
        fcntl.flock(hold.fd, fcntl.LOCK_EX)
        return True
    end = math.inf if timeout is None else time.monotonic() + timeout
    if not has_threads:
        return try_until(hold.fd, end)
    if try_until(hold.fd, min(end, time.monotonic() + _TRY_S)):
        return True
    if time.monotonic() >= end:
        return False
    try:
        waiter = _adopt(hold) or _Waiter(hold)
    except RuntimeError:  # no thread to be had
        return try_until(hold.fd, end)
    got = False
    try:
        got = waiter.done.acquire(timeout=min(max(0.0, end - time.monotonic()), _thread.TIMEOUT_MAX))
    finally:
        if not got:
            _left[waiter.key] = waiter
    if waiter.error is not None:
        raise waiter.error
    return got


def _adopt(hold: Carrier) -> _Waiter | None:
    """A waiter that somebody left, and its open file description for ``hold``."""
    waiter = _left.pop(hold.key, None)
    if waiter is not None:
        with _carriers.fork_guard:
            if not _open(waiter).closed:
                old = _open(hold)
                hold.carry(duplicate, _open(waiter))
                old.close()
                return waiter
    return None


def _open(carrier: Carrier) -> Descriptor:
    assert carrier.own is not None
    return carrier.own


def try_until(fd: int, end: float) -> bool:
    """Lock this descriptor's file by trying again and again, until the monotonic clock says ``end``."""
    pause = _PAUSE_S_FIRST
    while (left := end - time.monotonic()) > 0:
        # The clock's last bits keep processes that were woken together from trying together again.
        time.sleep(min(pause * (0.5 + (time.monotonic_ns() & 1023) / 1024), left))
        if try_now(fd):
            return True
        pause = min(pause * 1.5, _PAUSE_S_MAX)
    return False
