"""The new file gets the mode of the old one after it was put in place.

In the end all is well. In between the file is readable for all (a secret is out), or for its owner alone (a colleague
is shut out), and a crash leaves it so.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from scenarios.targets._correct import encode, locked, read

ABOUT = "renames first, and gives the mode back after that"
EXPECTS = ("metadata-lost",)
SCENARIOS = ("handoff",)


def write(path: str, document: Any) -> None:
    with locked(path):
        path = os.path.realpath(path)
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else 0o644
        temp = f"{path}.{os.getpid()}.tmp"
        with open(temp, "wb") as file:
            file.write(encode(document))
            if os.path.exists(path):
                for name in os.listxattr(path):
                    os.setxattr(temp, name, os.getxattr(path, name))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, path)
        os.chmod(path, mode)  # the bug: too late


__all__ = ["read", "write"]
