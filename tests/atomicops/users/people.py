"""Root and three ordinary users, and what each of them may do: asked of the kernel, as him."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from tests.atomicops.both import Helpers, User

_PREFIX, _MARK = "atomicops-users-", "made-by-a-test"
SHARED = 53000
"""A group that Alice and Bob are in, and Carol is not."""


@dataclass(frozen=True)
class Person:
    name: str
    uid: int
    groups: tuple[int, ...] = ()

    @contextmanager
    def effective(self) -> Iterator[None]:
        """Be this user, as far as files are concerned, for the length of a block."""
        groups = os.getgroups()
        try:
            os.setgroups(self.groups)
            os.setegid(self.uid)
            os.seteuid(self.uid)
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)

    def may(self, path: Path) -> str:
        """``rw``, ``r``, ``w`` or nothing: what open(2) lets him."""
        found = ""
        with self.effective():
            for letter, flag in (("r", os.O_RDONLY), ("w", os.O_WRONLY)):
                try:
                    os.close(os.open(path, flag))
                except PermissionError:
                    continue
                found += letter
        return found


ROOT = Person("root", 0)
ALICE = Person("alice", 52001, (SHARED,))
BOB = Person("bob", 52002, (SHARED,))
CAROL = Person("carol", 52003)
ORDINARY = (ALICE, BOB, CAROL)
EVERYBODY = (ROOT, *ORDINARY)


def cannot_be_had() -> str | None:
    """Why there are no several users here, or None."""
    if os.geteuid() != 0:
        return "to be several users takes root"
    if shutil.which("setpriv") is None:
        return "setpriv is missing: install the package util-linux"
    try:
        with ALICE.effective():
            return None
    except OSError as error:
        return f"this container lets root become nobody else: {error}"


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that everybody can reach, gone afterwards."""
    folder = Path(mkdtemp(prefix=_PREFIX))
    inner = folder / "inner"
    inner.mkdir()
    inner.chmod(0o755)
    try:
        with open(folder / _MARK, "w") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX)
            folder.chmod(0o755)
            yield inner
    finally:
        shutil.rmtree(folder)


def sweep_public_folders() -> None:
    """Remove those of tests that were killed: our own, with a mark that nobody has locked any more."""
    for mark in Path(gettempdir()).glob(f"{_PREFIX}*/{_MARK}"):
        if mark.parent.is_symlink() or mark.parent.lstat().st_uid != os.geteuid():
            continue
        with contextlib.suppress(BlockingIOError, FileNotFoundError), open(mark) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(mark.parent)


@dataclass(frozen=True)
class Installed:
    """The helpers, vendored where every user can read them."""

    folder: Path

    def of(self, person: Person, umask: int = 0o022) -> Helpers:
        return Helpers(shell=self.folder, user=User(person.uid, person.groups, umask))


def acl(path: Path, *entries: str) -> bool:
    """Add entries to an access control list; False where that cannot be had."""
    if shutil.which("setfacl") is None:
        return False
    return subprocess.run(["setfacl", "-m", ",".join(entries), path], capture_output=True, check=False).returncode == 0
