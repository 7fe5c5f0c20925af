"""The operations that meet faults, the folder that each works in, and what must hold afterwards, whatever the fault."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import atomicops
from tests.atomicops.both import DOCUMENTED
from tests.atomicops.faults.inject import Run
from tests.atomicops.faults.steps import role_of_name

OLD = '{"n": 1, "old": true}\n'
NEW = '{"n": 2, "new": true}\n'
TORN = '{"n": '
MODE = 0o640
ORPHAN = ".x.json." + "0f" * 16 + ".atomicops-tmp"
OLD_VERSION = f"sha256-{sha256(OLD.encode()).hexdigest()}"
_SYNCED_ELSEWHERE = ("EINVAL", "ENOSYS", "EOPNOTSUPP")
"""Answers of fsync(2) of a directory on file systems where that is no separate step: fsync(2), VFS."""


_REPLACED = ("fsync temp", "rename target", "fsync directory")


@dataclass(frozen=True)
class Operation:
    """One operation, in both languages.

    Attributes: ``python`` and ``bash`` what is called, each may be empty; ``before`` the files there are; ``gives``
    what the target, or standard output, has afterwards; ``syncs`` the steps without which it is not
    durable; ``variant_of`` another operation: only the steps that this one has more of meet faults.
    """

    name: str
    python: tuple[str, ...]
    bash: tuple[str, ...]
    before: Mapping[str, str] = field(default_factory=lambda: {"x.json": OLD})
    gives: str = NEW
    target: str = "x.json"
    syncs: tuple[str, ...] = _REPLACED
    variant_of: str = ""


_BACKUPS = {"x.json": OLD, "x.json.1.bak": "1\n", "x.json.2.bak": "2\n", "x.json.3.bak": "3\n"}
_KEPT = ("fsync temp", "link backup", "fsync directory")
OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("write", ("write", "-", "x.json"), ("atomic_write", "-", "x.json")),
        Operation("create", ("write", "-", "x.json"), ("atomic_write", "-", "x.json"), {}, variant_of="write"),
        Operation(
            "swap",
            ("write", "--if-version", OLD_VERSION, "-", "x.json"),
            ("atomic_write", "--if-version", OLD_VERSION, "-", "x.json"),
            variant_of="write",
        ),
        Operation(
            "write through a link",
            ("write", "-", "link.json"),
            ("atomic_write", "-", "link.json"),
            {"x.json": OLD, "link.json": "-> x.json"},
            variant_of="write",
        ),
        Operation("write, attributes", ("write", "-", "x.json"), ("atomic_write", "-", "x.json"), variant_of="write"),
        Operation(
            "append", ("append", "-", "x.log"), ("atomic_append", "-", "x.log"), {"x.log": OLD}, OLD + NEW, "x.log"
        ),
        Operation(
            "append in place",
            ("append", "--in-place", "-", "x.log"),
            (),
            {"x.log": OLD},
            OLD + NEW,
            "x.log",
            ("write target", "fsync target"),
        ),
        Operation(
            "update",
            ("update", "x.json", "--increment", "n"),
            ("atomic_update", "x.json", ".n += 1"),
            {"x.json": '{"n": 1}\n'},
            "2",
        ),
        Operation("read", ("read", "x.json"), ("atomic_read", "x.json"), gives=OLD, syncs=()),
        Operation(
            "version",
            ("read", "--version", "x.json"),
            ("atomic_version", "x.json"),
            gives=OLD_VERSION,
            syncs=(),
            variant_of="read",
        ),
        Operation("backup", ("backup", "x.json", "s"), ("atomic_backup", "x.json", "s"), gives=OLD, syncs=_KEPT),
        Operation(
            "recover", ("recover", "x.json"), ("atomic_recover", "x.json"), {"x.json": TORN, "x.json.s.bak": NEW}
        ),
        Operation("list backups", ("list-backups", "x.json"), (), _BACKUPS, "x.json.3.bak", syncs=()),
        Operation("prune", ("prune", "x.json", "--keep", "1"), (), _BACKUPS, syncs=()),
        Operation("sweep", ("sweep", "."), ("atomic_sweep", "."), {"x.json": OLD, ORPHAN: "half"}, syncs=()),
    )
}
READS = ("read", "version", "list backups")


class Broken(AssertionError):
    """A promise that no fault may break."""


@dataclass(frozen=True)
class Outcome:
    """What the table tells of a run: old or new, durable, how it ended, what is left, what the message advises."""

    state: str
    status: int | str
    durable: bool
    left: str
    advice: str

    def __str__(self) -> str:
        parts = [self.state, str(self.status)]
        parts += ["not-durable"] if self.state == "new" and not self.durable else []
        parts += [f"left:{self.left}"] if self.left else []
        return " ".join(parts) + (f" | {self.advice}" if self.advice else "")


class Scene:
    """The folder of one run: ``scene`` with the files, ``io`` with standard input and output."""

    def __init__(self, folder: Path, operation: Operation) -> None:
        self.folder, self.operation = folder, operation
        self.place = folder / "scene"
        self.place.mkdir(parents=True)
        (folder / "io").mkdir()
        (folder / "io" / "input").write_text(NEW)
        for name, text in operation.before.items():
            path = self.place / name
            if text.startswith("-> "):
                path.symlink_to(text[3:])
            else:
                path.write_text(text)
                path.chmod(MODE)
        for number, path in enumerate(sorted(self.place.glob("*.bak"))):
            os.utime(path, (1000 + number, 1000 + number))
        if operation.name not in READS:  # a lock file stays, so it is there as a rule
            lock = self.place / f".{operation.target}.lock"
            lock.touch()
            lock.chmod(MODE)
        if operation.name == "write, attributes":
            dress(self.place / "x.json")
        self.attributes = attributes(self.place / operation.target)
        self.known = {*operation.before, operation.target, f".{operation.target}.lock"}

    def outcome(self, run: Run, process: str, step: str = "") -> Outcome:
        """What the run came to. Raises `Broken` where that may never be; ``step`` of ``process`` met the fault."""
        self._check_the_way_out(run)
        state = self.state(may_get_another_owner=step == "chown temp")
        durable = self._durable(run) or process == "shell"  # its calls are not those that sync
        left = self._left()
        ours = run.message.startswith("atomicops: ")
        advice = run.message.strip().rpartition("; ")[2] if ours and isinstance(run.status, int) else ""
        found = Outcome(state, run.status, durable, left, self._neutral(advice))
        if run.status == 0:
            told = self.operation.name == "sweep" and "in use" in (self.folder / "io" / "output").read_text()
            require(state == "new" or told, f"exit 0, and the file is {state}")
            require(durable, "exit 0, and not synced")
        elif isinstance(run.status, int):
            self._check_what_is_said(run, state, durable)
        if run.status != "SIGKILL":
            may_stay = step.startswith("unlink") and self.operation.name not in ("sweep", "prune")
            require(not left or may_stay, f"left behind: {left}")
        self._check_that_it_goes_on()
        return found

    def _check_the_way_out(self, run: Run) -> None:
        require("Traceback" not in run.message, f"a traceback: {run.message}")
        require(run.message.count("\n") <= 1, f"more than one line: {run.message}")
        require(isinstance(run.status, str) or run.status in DOCUMENTED, f"exit code {run.status}: {run.message}")
        require(run.status == 0 or isinstance(run.status, str) or bool(run.message), "failed without a word")

    def _check_what_is_said(self, run: Run, state: str, durable: bool) -> None:
        message = run.message
        if self.operation.name in (*READS, "sweep", "prune"):
            return
        written = "output" not in message and "print" not in message
        if "(unchanged)" in message:
            require(state == "old", f"it says that it is unchanged: {message}")
        elif "may not survive" in message:
            require(state == "new" and not durable, f"it says that it is changed, not durable: {message}")
        elif written:
            require(state == "old", f"changed, and it does not say so: {message}")

    def state(self, may_get_another_owner: bool = False) -> str:
        """``old`` or ``new`` (or ``part``, of several deletions). Raises `Broken` for what is neither."""
        operation, path = self.operation, self.place / self.operation.target
        if operation.name in READS:
            return "new" if operation.gives in (self.folder / "io" / "output").read_text() else "old"
        text = path.read_text() if path.exists() else None
        before = operation.before.get(operation.target)
        if operation.name == "sweep":
            require(text == before, "the file has changed")
            return "old" if (self.place / ORPHAN).exists() else "new"
        if operation.name == "prune":
            left = sorted(path.name for path in self.place.glob("*.bak"))
            require("x.json.3.bak" in left, "the newest backup is gone")
            return {1: "new", 2: "part", 3: "old"}[len(left)]
        if operation.name == "backup":
            require(text == before, "the file has changed")
            made = self.place / "x.json.s.bak"
            require(not made.exists() or made.read_text() == OLD, "half a backup")
            require(not made.exists() or attributes(made) == self.attributes, "the backup has other attributes")
            return "new" if made.exists() else "old"
        if operation.name == "recover":
            kept = list(self.place.glob("*.corrupt"))
            require(all(one.read_text() == TORN for one in kept), "half of the evidence")
            require(bool(kept) or text == TORN, "the corrupt bytes are gone")
        bare = "".join((text or "").split())
        is_new = text == operation.gives or (operation.name == "update" and '"n":2' in bare)
        require(is_new or text == before, f"neither old nor new: {text!r}")
        if before is not None and not may_get_another_owner:
            require(attributes(path) == self.attributes, f"other attributes: {attributes(path)}, not {self.attributes}")
        return "new" if is_new else "old"

    def _durable(self, run: Run) -> bool:
        """Whether the steps that make it durable were done, one after the other; or those of a whole replacement."""
        return any(self._done_in_order(run, wanted) for wanted in (self.operation.syncs, _REPLACED))

    def _done_in_order(self, run: Run, wanted: tuple[str, ...]) -> bool:
        left = list(wanted)
        for step in run.steps:
            name = "link backup" if step.name == "rename backup" else step.name
            done = step.done or (name == "fsync directory" and any(word in step.line for word in _SYNCED_ELSEWHERE))
            if left and name == left[0] and done:
                left.pop(0)
        return not left

    def _left(self) -> str:
        names = {name for name in os.listdir(self.place) if role_of_name(name) not in ("evidence", "backup")}
        # Where its name is too long, a lock has a short one.
        extra = sorted(role_of_name(name) for name in names - self.known if not re.fullmatch(r"\.~\w{16}\.lock", name))
        return " ".join(extra)

    def _neutral(self, text: str) -> str:
        text = text.replace(str(self.place), "DIRECTORY").replace("./x.", "x.")
        return re.sub(r"[0-9a-f]{32}", "HEX", text)

    def _check_that_it_goes_on(self) -> None:
        """The lock is free, the temp files can be swept, the next write is as good as any."""
        # For a moment a process that another thread of ours starts has its descriptors: hence the second.
        lock = self.place / f".{self.operation.target}.lock"
        require(not lock.exists() or is_free(lock, wait_s=1), "the lock is held")
        ends = time.monotonic() + 1
        while atomicops.sweep_orphans(self.place).in_use and time.monotonic() < ends:
            time.sleep(0.02)
        temps = [name for name in os.listdir(self.place) if role_of_name(name) == "temp"]
        require(not temps, "a temp file that cannot be swept")
        atomicops.atomic_write_text(NEW, self.place / self.operation.target, timeout=5, durability="none")

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


def is_free(lock: Path, wait_s: float) -> bool:
    ends = time.monotonic() + wait_s
    with open(lock) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > ends:
                    return False
                time.sleep(0.02)


def dress(path: Path) -> None:
    """Give a file what a replacement must keep: attributes, an ACL and an owner, as far as that can be had here."""
    try:
        os.setxattr(path, "user.origin", b"by hand")
        # version 2; user::rw- user:5001:rw- group::r-- mask::rw- other::---
        entries = ((1, 6, -1), (2, 6, 5001), (4, 4, -1), (16, 6, -1), (32, 0, -1))
        acl = (2).to_bytes(4, "little") + b"".join(
            tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + (who & 0xFFFFFFFF).to_bytes(4, "little")
            for tag, bits, who in entries
        )
        os.setxattr(path, "system.posix_acl_access", acl)
    except OSError:
        pass
    if os.geteuid() == 0:
        os.chown(path, 2001, 2002)


def attributes(path: Path) -> object:
    """Mode, owner, group and extended attributes; None for a file that is not there."""
    if not path.exists():
        return None
    status = path.stat()
    values = {name: os.getxattr(path, name) for name in os.listxattr(path) if name != "user.atomicops.append"}
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, tuple(sorted(values.items()))
