"""The mode is kept, and nothing else.

`chmod --reference` is what most scripts have. Extended attributes, and with them ACLs, are the old file's alone.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from scenarios.targets._correct import encode, read

ABOUT = "keeps the mode of the file and drops its extended attributes"
EXPECTS = ("metadata-lost",)
SCENARIOS = ("handoff",)


def write(path: str, document: Any) -> None:
    path = os.path.realpath(path)
    fd, temp = tempfile.mkstemp(prefix=".tmp.", dir=os.path.dirname(path))
    with open(fd, "wb") as file:
        file.write(encode(document))
        mode = os.stat(path).st_mode & 0o7777 if os.path.exists(path) else 0o644
        os.fchmod(fd, mode)  # the bug: that is not all there is
        file.flush()
        os.fsync(fd)
    os.replace(temp, path)


__all__ = ["read", "write"]
