"""Looks at mode, owner and group of the shared files while the workers work, as often as it can without being felt.

What is lost only for a moment is lost for who comes in that moment: a file that gets its mode after it was put in
place shuts a colleague out, or shows a secret. At the end all is well again. Permissions are compared, not tried:
whoever looks may be root.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping

from stress.history.events import MetadataSeen

Watched = Mapping[int, tuple[str, int, frozenset[tuple[int, int]]]]
"""Index of a file → its path, its mode, and the users and groups to whom it may belong."""
_REST_S = 0.001


def watch_metadata(files: Watched, stopped: Callable[[], bool]) -> list[MetadataSeen]:
    """Look until it is time to stop; returns the first sight of each that was otherwise, and how often it was so."""
    seen: dict[tuple[int, int, int, int], tuple[int, int]] = {}
    while not stopped():
        for index, (path, mode, owners) in files.items():
            try:
                status = os.stat(path)
            except OSError:
                continue  # no file, for a moment: readers tell
            found = stat.S_IMODE(status.st_mode)
            if found != mode or (status.st_uid, status.st_gid) not in owners:
                key = index, found, status.st_uid, status.st_gid
                first, count = seen.get(key, (time.monotonic_ns(), 0))
                seen[key] = first, count + 1
        time.sleep(_REST_S)
    return [MetadataSeen(at, *key, count) for key, (at, count) in seen.items()]
