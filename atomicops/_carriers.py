# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Who has descriptors of lock files in this process. A child made by fork closes them: they are not its locks."""

from __future__ import annotations

import _thread
import fcntl
import os
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._descriptors import Descriptor


class Carrier:
    """What has a descriptor of a lock file. A child made by fork closes the descriptors of all that there are."""

    close: Callable[[], object]
    fd: int
    own: Descriptor | None = None
    key: tuple[int, ...] | None = None

    def carry(self, own: Callable[..., Descriptor], *arguments: Any) -> None:
        """Have the descriptor that ``own`` opens."""
        carriers.add(ref(self, _forget))  # known before there is a descriptor, and forgotten by C when it dies
        # On one line, for between two a trace function may raise, and the guard would stay.
        with fork_guard: self.own = descriptor = own(*arguments)  # fmt: skip  # noqa: E701
        self.close = descriptor.close
        self.fd = descriptor.fileno()


carriers: set[ref[Carrier]] = set()
_forget = carriers.discard
# Held while a lock file is opened and while a fork happens, so that no descriptor slips into a child unseen; and while
# a part of ours is imported late, for which a child that is forked meanwhile would wait for ever. Re-entrant, because
# a signal handler may fork. What is done under it stands in the line of its `with`: an exception that comes on the way
# back to that line would leave it held.
fork_guard = _thread.RLock()


def try_now(fd: int) -> bool:
    """Lock this descriptor's file, if nobody else has it locked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int) -> None:
    """Unlock this descriptor's file; if that fails, closing it will do."""
    try:
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError:
        pass


def _forget_in_child() -> None:
    global fork_guard
    fork_guard = _thread.RLock()
    for reference in tuple(carriers):
        carrier = reference()
        if carrier is not None and carrier.own is not None:
            carrier.own.close()  # no LOCK_UN: that would release the parent's lock
            carrier.close = int
    carriers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: fork_guard.acquire(),
        after_in_parent=lambda: fork_guard.release(),
        after_in_child=_forget_in_child,
    )
