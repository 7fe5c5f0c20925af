"""A process that starts another in each execution: what the start of a listener costs is paid once.

A program's is this file, run by its path, with nothing but the least of the standard library: it starts in half the
time, and of a small process fork(2) copies little. It knows nothing of the package, whose other modules would make it
large.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` without its enumerations
import ctypes
import fcntl
import marshal
import os
import sys
import warnings  # noqa: F401  (what `os.execvpe` would load in each child)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

SPEC = 3
"""The descriptor from which a program's template reads, by `marshal`, what it is to start: arguments, environment, and
the command of `serve`.
"""

_NOT_FOUND = 127
_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl  # looked up once, and not in each child


def serve(command: int, run: Callable[[int], int]) -> NoReturn:
    """Ask for the next execution by ``fcntl(0, command, status of the last)``, and call ``run`` with the answer."""
    status = 0
    while True:
        status = run(fcntl.fcntl(0, command, status))


def anew(function: Callable[[], int]) -> int:
    """The wait status of a new process that calls ``function``, and ends with what it returns.

    The process is the leader of a session of its own. It dies with this one.
    """
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    status = _NOT_FOUND
    try:
        _prctl(_PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0)
        os.setsid()
        status = function()
    finally:
        os._exit(status)


def execute(argv: list[str], env: dict[str, str]) -> int:
    """Become a program; returns the exit status of a shell for one that is not there."""
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode(errors="surrogateescape"))
    return _NOT_FOUND


def _main() -> NoReturn:
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)  # Python ignores it, and what it executes would inherit that
    with open(SPEC, "rb") as file:
        argv, env, command = marshal.load(file)
    serve(command, lambda _: anew(lambda: execute(argv, env)))


if __name__ == "__main__":
    sys.exit(_main())
