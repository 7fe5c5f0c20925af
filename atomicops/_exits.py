# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""How the command line ends: one line on standard error, and an exit code of the shared contract."""

from __future__ import annotations

import errno
import os
import signal
import sys

from ._errors import (
    NOT_PERMITTED,
    CannotCheck,
    CommittedNotDurable,
    CorruptFile,
    LockLost,
    LockTimeout,
    VersionConflict,
    display,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

USAGE, DATA, MISSING, PROGRAM, CREATE, IO, LOCK, VERSION = 64, 65, 66, 69, 73, 74, 75, 76
_SHOWN = 80  # characters of an argument in a message
# Said where the errno alone tells what to do; else the step that failed does, or nobody knows.
_ADVICE = {
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "free some of your quota and try again",
    errno.EFBIG: "raise the limit of file sizes and try again",
    errno.EMFILE: "close some files, or raise the limit of open files",
    errno.ENFILE: "close some files, or raise the limit of open files",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "repair the symbolic link",
    errno.EBUSY: "it is a mount point of its own: mount its directory instead, or append in place",
    errno.ETXTBSY: "wait until the program has ended",
    errno.ENOTDIR: "choose another directory",
    errno.EEXIST: "choose another directory, or remove it",
    errno.EISDIR: "choose another directory, or remove it",
}
_REFUSED = (errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EBUSY, errno.ETXTBSY, errno.EEXIST)
_CREATE_NUMBERS = frozenset((*NOT_PERMITTED, *_REFUSED, errno.EMLINK))


class Stop(Exception):
    """A way out of a callback: exit code, what, why, and what to do."""


class Signalled(BaseException):
    """A signal that ends the process, turned into an exception so that nothing is left behind. Holds its number."""


def complain(code: int, what: object, why: str, todo: str) -> int:
    say(f"atomicops: {display(f'{display(what)}: {why}; {todo}')}")
    return code


def say(line: str) -> None:
    """A line to standard error, past the buffer: what can't be written the interpreter would write once more at its
    exit, which is 120 then. Where it was closed nobody listens, and print() would take standard output.
    """
    try:
        os.write(2, f"{line}\n".encode(getattr(sys.stderr, "encoding", None) or "utf-8", "backslashreplace"))
    except OSError:
        pass  # the exit code says it too


def show(*lines: str) -> None:
    write_out(b"".join(os.fsencode(line) + b"\n" for line in lines))


def write_out(data: bytes) -> None:
    """To standard output, all of it; a closed one is an OSError like any other."""
    if sys.stdout is None:
        raise Stop(IO, "standard output", os.strerror(errno.EBADF), "leave it open, or redirect it")
    try:
        while data:  # without a buffer, which the interpreter would write once more at its exit
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Stop(IO, "standard output", f"{error.strerror}", _advice(error)) from None


def read_in() -> bytes:
    """All of standard input."""
    if sys.stdin is None:
        raise Stop(IO, "standard input", os.strerror(errno.EBADF), "leave it open, or redirect it")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise Stop(IO, "standard input", f"{error.strerror} (unchanged)", _advice(error)) from None


def short(text: str) -> str:
    """An argument for a message: of a long one the beginning."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def json_argument(text: str) -> Any:
    from ._json import loads

    shown = short(text)
    try:
        return loads(os.fsencode(text), shown)
    except CorruptFile as error:
        raise Stop(USAGE, shown, f"not JSON: {error.reason}", "quote strings twice, as in '\"text\"'") from None


def guarded(run: Callable[[], int], path: object) -> int:
    """The exit code of ``run``, and the message where it raises."""
    try:
        return run()
    except Stop as stop:
        return complain(*stop.args)
    except LockTimeout as error:
        todo = "try again, or allow more time for the lock"
        return complain(LOCK, error.filename, f"{error.strerror} (unchanged)", todo)
    except LockLost as error:
        return complain(LOCK, error.filename, f"{error.strerror} (unchanged)", "try again")
    except VersionConflict as error:
        return complain(VERSION, error.filename, f"{error.strerror} (unchanged)", "read it again and redo the change")
    except CommittedNotDurable as error:
        todo = "check the disk, and look at the file before you repeat anything"
        return complain(IO, error.filename, str(error.strerror), todo)
    except CannotCheck as error:
        return complain(IO, error.filename, f"{error.strerror} (unchanged)", "see to the cause, then try again")
    except CorruptFile as error:
        todo = "recover it from its newest valid backup"
        return complain(DATA, error.filename, f"corrupt: {error.reason} (unchanged)", todo)
    except BrokenPipeError:
        return IO
    except FileNotFoundError as error:
        return complain(MISSING, _name(error, path), "no such file or directory (unchanged)", "check the name")
    except OSError as error:
        refused = error.errno in _CREATE_NUMBERS or "refused" in vars(error)
        why = f"{error.strerror or error} (unchanged)"
        return complain(CREATE if refused else IO, _name(error, path), why, _advice(error))
    except ValueError as error:
        return complain(DATA, path, f"{error} (unchanged)", str(vars(error).get("todo", "correct the data")))
    except MemoryError:
        return complain(IO, path, "not enough memory (unchanged)", "free some memory and try again")


def _advice(error: OSError) -> str:
    todo = vars(error).get("todo") or _ADVICE.get(error.errno or 0)
    return str(todo or "check the disk and try again")


def _name(error: OSError, path: object) -> object:
    return path if error.filename is None else error.filename


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def catch_signals() -> None:
    """Turn what ends a process into an exception, unless the parent has it ignored. The first one counts."""

    def stop(number: int, _: object) -> None:
        for other in _ENDING:
            signal.signal(other, signal.SIG_IGN)
        raise Signalled(number)

    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody learns how a child has ended


def keep_standard_descriptors() -> None:
    """Put /dev/null where 0, 1 or 2 are closed: or a lock file would get that number, and what is meant for it."""
    while os.open(os.devnull, os.O_RDWR) <= 2:
        pass


def end(code: int, signalled: int | None = None) -> NoReturn:
    """End the process: with the exit code or, as if nobody had caught it, by the signal."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN or number == signalled:
            signal.signal(number, signal.SIG_DFL)
    if signalled is not None:
        os.kill(os.getpid(), signalled)
    sys.exit(code)
