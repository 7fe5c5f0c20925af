"""Files that people name: read if they can be, and written so that a reader sees the old content or the new one.

Plain system calls, on purpose: no evidence goes through the helpers under test.
"""

from __future__ import annotations

import os
import secrets
import shlex
import stat
from pathlib import Path


def why_unreadable(path: str) -> str:
    """Why a user's file can't be read, in a few words; empty if it can. One that is no regular file is not opened."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "it is no regular file"
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except (FileNotFoundError, ValueError):  # ValueError: a name with a NUL
        return "there is no such file"
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    return ""


def pasted(path: str) -> str:
    """A path as a word for Bash in a command that is printed, which makes the same path of it, be it text or not, and
    is no option.
    """
    word = f"./{path}" if path.startswith("-") else path
    if word.isprintable():
        return shlex.quote(word)
    # What does not print, byte by byte: a terminal or a page may show a character for another.
    kept = (each if each.isprintable() and each not in "\\'" else None for each in word)
    made = (
        each or "".join(f"\\x{byte:02x}" for byte in os.fsencode(own)) for each, own in zip(kept, word, strict=True)
    )
    return f"$'{''.join(made)}'"


def write_text(path: str, text: str) -> None:
    """Write ``text`` to ``path`` through a new file beside it; a pipe or a device is written to as it is."""
    content = text.encode("utf-8", "backslashreplace")
    if _is_stream(path):
        with open(path, "ab") as stream:
            stream.write(content)
        return
    real = Path(os.path.realpath(path))
    beside, fd = _new_file_beside(real)
    try:
        with open(fd, "wb") as file:
            file.write(content)
        os.replace(beside, real)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def try_writing(path: str) -> None:
    """See whether `write_text` could write to ``path``, and leave everything as it is. Raises OSError, or ValueError
    for what is no path.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(None, "it is a directory")
    if _is_stream(path):
        if not os.access(path, os.W_OK):
            raise PermissionError(None, "Permission denied")
        return
    real = Path(os.path.realpath(path))
    beside, fd = _new_file_beside(real)
    os.close(fd)
    beside.unlink()


def _is_stream(path: str) -> bool:
    """Whether there is something that is no file of its own: a pipe, a device, or a descriptor of ours."""
    ours = path.startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/"))
    return ours or (os.path.exists(path) and not os.path.isfile(path))


def _new_file_beside(real: Path) -> tuple[Path, int]:
    beside = real.with_name(f".{real.name[:100]}.{secrets.token_hex(4)}")
    return beside, os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
