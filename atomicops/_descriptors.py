# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Descriptors that close themselves, and context managers that no signal keeps from being left.

A signal handler that raises (Ctrl-C, an alarm, a test's timeout) gets its turn between two bytecodes: after every call
of a C function too, and when a Python function begins. ``fd = os.open(...)`` can lose the descriptor before it is
stored, and a ``__exit__`` written in Python can end before its first line. So what must not be lost is passed on, and
what must be closed is closed, by one call into C that leads to the next.
"""

from __future__ import annotations

import os
import select
from _frozen_importlib import module_from_spec
from _operator import attrgetter, methodcaller
from itertools import starmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from functools import partial
    from io import IOBase
    from typing import Any, Protocol

    from ._errors import Path

    class Closable(Protocol):
        @property
        def close(self) -> Callable[[], Any]: ...

    class Descriptor(Protocol):
        """An open descriptor; it is closed when nobody refers to it any more."""

        @property
        def closed(self) -> bool: ...
        def close(self) -> None: ...
        def fileno(self) -> int: ...

else:
    from _functools import partial  # functools itself would import collections
    from _io import _IOBase as IOBase

# The C module in a copy of our own, for gevent and eventlet take names out of the one that all share.
_spec: Any = select.__spec__
_module: Any = module_from_spec(_spec)
_spec.loader.exec_module(_module)
poll: Callable[[], Any] = _module.poll
# These two take any descriptor, and are the only ones whose destructor closes it without a warning and in C.
_own: Callable[[int], Descriptor] = getattr(_module, "epoll" if hasattr(_module, "epoll") else "kqueue").fromfd
call_close = methodcaller("close")
_CLOEXEC = os.O_CLOEXEC


def opener_in(directory: int | None) -> Callable[..., int]:
    """``os.open`` for paths that begin in this directory (``None``: the current one)."""
    return partial(os.open, dir_fd=directory)


def open_owned(path: Path, flags: int, mode: int = 0o777, opener: Callable[..., int] = os.open) -> Descriptor:
    """open(2), close-on-exec, by ``os.open`` or what is made of it. Raises OSError."""
    return next(map(_own, starmap(opener, ((path, flags | _CLOEXEC, mode),))))


def duplicate(descriptor: Descriptor) -> Descriptor:
    """dup(2): another descriptor of the same open file description."""
    return next(map(_own, map(os.dup, (descriptor.fileno(),))))


class Leaving(IOBase):
    """A context manager that is left in C: ``IOBase.__exit__`` calls ``close``, which is what ``leave`` is set to.

    Attributes: ``leave``, which has to be a C function, or a chain of such, that returns something false.
    """

    __slots__ = ("leave",)
    leave: Callable[[], Any]
    closed = True  # or the destructor of IOBase would call `close` once more
    close = property(attrgetter("leave"))


def closer(*things: Closable) -> Callable[[], bool]:
    """A C function that closes these, in this order, and once."""
    return partial(any, map(call_close, things))  # to close returns None
