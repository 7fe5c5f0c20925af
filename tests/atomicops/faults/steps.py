"""The steps of an operation, read from strace(1): which kind of system call, and what of the scene it is about.

A call belongs to the operation if it names something of the scene: by a path, or by a descriptor that leads there. What
an interpreter does for itself (its start, its modules) names nothing of the scene. So both languages are looked at with
the same eyes, and a step has the same name in both: ``rename target``, ``fsync directory``, ``flock lock``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.atomicops.both import BEGIN

_KINDS = {
    "open": "openat openat2 open",
    "stat": "newfstatat fstat stat lstat statx",
    "access": "access faccessat faccessat2",
    "read": "read pread64",
    "write": "write pwrite64",
    "close": "close",
    "fsync": "fsync fdatasync",
    "flock": "flock",
    "rename": "rename renameat renameat2",
    "link": "link linkat",
    "unlink": "unlink unlinkat",
    "mkdir": "mkdir mkdirat",
    "readlink": "readlink readlinkat",
    "list": "getdents64",
    "chmod": "fchmod chmod fchmodat",
    "chown": "fchown chown lchown fchownat",
    "utime": "utimensat",
    "listxattr": "listxattr llistxattr flistxattr",
    "getxattr": "getxattr lgetxattr fgetxattr",
    "setxattr": "setxattr lsetxattr fsetxattr",
    "removexattr": "removexattr lremovexattr fremovexattr",
    "copy": "copy_file_range sendfile",
    "truncate": "ftruncate",
    "seek": "lseek",
    "ioctl": "ioctl",
    "fcntl": "fcntl",
    "statfs": "statfs fstatfs",
    "random": "getrandom",
    "pipe": "pipe pipe2",
    "fork": "clone clone3 fork vfork",
    "wait": "wait4",
}
KIND = {name: kind for kind, names in _KINDS.items() for name in names.split()}
TRACED = ",".join(f"?{name}" for name in KIND)
"""For ``strace -e trace=``; the question mark: not every architecture has each of them."""

_NAMELESS = ("random", "pipe", "fork", "wait")
"""These name nothing; they count from the operation's first call on."""

_ROW = re.compile(r"(?:\d+ +)?(\w+)\((.*)")
_AT = re.compile(r'(?:AT_FDCWD|\d+)(?:<([^>]*)>)?(?:, )?(?:"((?:[^"\\]|\\.)*)")?')
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Step:
    """One system call of an operation.

    Attributes: ``name`` its kind and what it is about; ``nth`` counts the steps of that name; ``call`` and ``when``
    find it for strace's ``inject=``: the system call, and the how-manieth of these it is; ``line`` the trace's.
    """

    name: str
    nth: int
    call: str
    when: int
    line: str

    @property
    def done(self) -> bool:
        return " = -1 " not in self.line


def steps(trace: str, folder: Path) -> list[Step]:
    """The steps in a trace (of one process) of an operation in ``folder / "scene"``."""
    calls: Counter[str] = Counter()
    names: Counter[str] = Counter()
    found: list[Step] = []
    for line in trace.splitlines():
        match = _ROW.match(line)
        if match is None or match[1] not in KIND:
            continue
        calls[match[1]] += 1
        if BEGIN in match[2]:
            names.clear()
            found.clear()
        name = _name(KIND[match[1]], match[2], folder)
        if name is None or (not found and (name in _NAMELESS or name.endswith(" random"))):
            continue
        names[name] += 1
        found.append(Step(name, names[name], match[1], calls[match[1]], line))
    return found


def _name(kind: str, arguments: str, folder: Path) -> str | None:
    if kind in _NAMELESS:
        return kind
    if kind == "ioctl" and "FICLONE" not in arguments:  # whether it is a terminal, and which
        return None
    if kind in ("rename", "link"):  # about the new name
        path = _TEXT.findall(arguments)[-1]
        at = re.findall(r"\d+<([^>]*)>", arguments)
        role = _role(at[-1] if at else "", path, folder)
    elif arguments.startswith('"'):
        role = _role("", _TEXT.findall(arguments)[0], folder)
    elif kind == "copy":  # about what is written
        role = _role(re.findall(r"\d+<([^>]*)>", arguments)[-1 if arguments.startswith("copy") else 0], "", folder)
    else:
        match = _AT.match(arguments)
        named = kind in ("open", "stat", "access", "unlink", "mkdir", "readlink", "chmod", "chown", "utime")
        role = None if match is None else _role(match[1] or "", (match[2] or "") if named else "", folder)
    if role in ("input", "output") and kind not in ("read", "write", "close"):
        return None
    return None if role is None else f"{kind} {role}"


def _role(at: str, path: str, folder: Path) -> str | None:
    """What a path is in the scene; None for what has nothing to do with it."""
    scene = str(folder / "scene")
    whole = path if path.startswith("/") else f"{at}/{path}" if path and at else at or f"{scene}/{path}"
    whole = whole.replace("/./", "/").removesuffix(" (deleted)").rstrip("/").removesuffix("/.")
    if whole == "/dev/urandom":
        return "random"
    if whole.startswith("/proc/self/fd/"):
        name = whole.split("/", 5)[5:]
        return role_of_name(name[0]) if name else "descriptor"
    if whole == scene:
        return "directory"
    if whole.startswith(str(folder) + "/io/"):
        return None if whole.endswith("messages") else whole.rpartition("/")[2]
    if not whole.startswith(scene + "/"):
        return None
    return role_of_name(whole.rpartition("/")[2])


def role_of_name(name: str) -> str:
    """What a file of that name is beside a target."""
    for end, role in ((".lock", "lock"), (".atomicops-tmp", "temp"), (".bak", "backup"), (".corrupt", "evidence")):
        if name.endswith(end):
            return role
    return "link" if name.startswith("link") else "target" if name.startswith("x.") else "another"
