"""Put the helpers into a folder of another project, where they work with nothing installed."""

from __future__ import annotations

import os

from ._write import atomic_write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._errors import Path

PACKAGE = os.path.dirname(os.path.abspath(__file__))
FRONT = "atomic_file_ops.py"
SHELL = ("atomic-write.sh", "atomicops.sh")


def vendor(directory: Path) -> list[str]:
    """Copy ``atomic_file_ops.py``, the two shell files and the package ``atomicops`` into ``directory``.

    The folder is made if it is missing; files of these names are replaced, others are left alone. Python 3.10 or later
    and Bash 4.4 or later find there all that they need.

    Returns:
        The paths written.

    Raises:
        OSError: a file cannot be read or written.
    """
    target = os.fsdecode(directory)
    plan = [(name, os.path.join("atomicops", name)) for name in sorted(os.listdir(PACKAGE)) if name.endswith(".py")]
    plan += [(name, os.path.join("atomicops", name)) for name in ("py.typed",)]
    for name in SHELL:
        source = os.path.join("shell", name)
        plan += [(source, name), (source, os.path.join("atomicops", source))]
    plan.append((FRONT, FRONT))
    written = []
    for source, name in plan:
        path = os.path.join(target, name)
        with open(os.path.join(PACKAGE, source), "rb") as file:
            atomic_write_bytes(file.read(), path, durability="file")
        if name.endswith(".sh"):
            os.chmod(path, os.stat(path).st_mode | (os.stat(path).st_mode & 0o444) >> 2)
        written.append(path)
    return written
