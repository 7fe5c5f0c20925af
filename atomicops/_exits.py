"""How the command line ends: one line on standard error, and an exit code of the shared contract."""

from __future__ import annotations

import errno
import os
import sys

from ._errors import CommittedNotDurable, CorruptFile, LockTimeout, VersionConflict, display

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

USAGE, DATA, MISSING, PROGRAM, CREATE, IO, LOCK, VERSION = 64, 65, 66, 69, 73, 74, 75, 76
_CREATE_NUMBERS = frozenset(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.EINVAL, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
)


class Stop(Exception):
    """A way out of a callback: exit code, what, why, and what to do."""


def complain(code: int, what: object, why: str, todo: str) -> int:
    line = f"atomicops: {display(what)}: {why}; {todo}"
    print(line.replace("\n", "\\n"), file=sys.stderr)
    return code


def show(*lines: str) -> None:
    for line in lines:
        sys.stdout.buffer.write(os.fsencode(line) + b"\n")
    sys.stdout.buffer.flush()


def json_argument(text: str) -> Any:
    from ._json import loads

    try:
        return loads(os.fsencode(text), text)
    except CorruptFile as error:
        raise Stop(USAGE, text, f"not JSON: {error.reason}", "quote strings twice, as in '\"text\"'") from None


def guarded(run: Callable[[], int], path: object) -> int:
    """The exit code of ``run``, and the message where it raises."""
    try:
        return run()
    except Stop as stop:
        return complain(*stop.args)
    except LockTimeout as error:
        return complain(LOCK, error.filename, f"{error.strerror} (unchanged)", "try again, or wait longer: --timeout")
    except VersionConflict as error:
        return complain(VERSION, error.filename, f"{error.strerror} (unchanged)", "read it again and redo the change")
    except CommittedNotDurable as error:
        return complain(IO, error.filename, str(error.strerror), "check the disk")
    except CorruptFile as error:
        return complain(DATA, error.filename, f"corrupt: {error.reason}", "see 'python -m atomicops recover --help'")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter reports it again at exit
        return IO
    except FileNotFoundError as error:
        return complain(MISSING, _name(error, path), "no such file or directory", "check the path")
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in _CREATE_NUMBERS:
            return complain(
                CREATE, _name(error, path), f"{why} (unchanged)", "choose a regular file that you may write"
            )
        return complain(IO, _name(error, path), f"{why} (unchanged)", "check the disk, its space and its quotas")
    except ValueError as error:
        return complain(DATA, path, f"{error} (unchanged)", "correct the data")


def _name(error: OSError, path: object) -> object:
    return path if error.filename is None else error.filename
