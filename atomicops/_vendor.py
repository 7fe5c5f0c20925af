# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""Put the helpers into a folder of another project, where they work with nothing installed."""

from __future__ import annotations

import os

from ._replace import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._errors import Path

FRONT = "atomic_file_ops.py"
SHELL = ("atomic-write.sh", "atomicops.sh", "atomicops.pl", "atomicops-seldom.pl", "atomicops-operations.pl")


def vendor(directory: Path) -> list[str]:
    """Copy ``atomic_file_ops.py``, the shell's files and the package ``atomicops`` into ``directory``.

    The folder is made if it is missing; files of these names are replaced, others are left alone. Python 3.10 or later
    and Bash 4.4 or later find there all that they need.

    Returns:
        The paths written.

    Raises:
        OSError: a file cannot be read or written.
    """
    from importlib.resources import files  # this package may lie in a zip file

    target = os.fsdecode(directory)
    package = files(__package__ or "atomicops")
    modules = sorted(file.name for file in package.iterdir() if file.name.endswith(".py"))
    plan = [(package / name, os.path.join("atomicops", name)) for name in (*modules, "py.typed")]
    for name in SHELL:
        source = package / "shell" / name
        plan += [(source, name), (source, os.path.join("atomicops", "shell", name))]
    plan.append((package / FRONT, FRONT))
    written = []
    for source, name in plan:
        path = os.path.join(target, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _put(source.read_bytes(), path, 0o777 if name.endswith((".sh", ".pl")) else 0o666)
        written.append(path)
    return written


def _put(content: bytes, path: str, mode: int) -> None:
    """Whole or not at all, so that a script that starts meanwhile can import; without a lock file for every one."""
    temp = f"{path}.{os.urandom(16).hex()}.new"
    try:
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            write_all(fd, content)
        finally:
            os.close(fd)
        os.rename(temp, path)
    except BaseException:
        if os.path.lexists(temp):
            os.unlink(temp)
        raise
