"""An append is made again when the log does not end in it.

Somebody else's record may have come after it. "Write, verify, retry" is right for writing a file, and doubles what is
added to one.
"""

from __future__ import annotations

import os

ABOUT = "appends again when the log does not end in its record"
EXPECTS = ("duplicate-append",)
SCENARIOS = ("progress_log",)


def append(path: str, text: str) -> None:
    data = text.encode()
    for _ in range(3):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        with open(path, "rb") as log:
            log.seek(-len(data), os.SEEK_END)
            if log.read() == data:  # the bug: another's record may be the last
                return
