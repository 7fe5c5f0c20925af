"""The helpers against a model in memory: any sequence of calls, in either language, one and the same state.

A ``Side`` is one implementation of the contract. Every step is done by a side drawn anew, so the two languages work on
the same files in turn: whatever one of them leaves, the other has to understand.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import atomicops
from tests.atomicops.both import LONG

OK, INVALID, MISSING, CONFLICT = 0, 65, 66, 76
SHELL = Path(atomicops.__file__).parent / "shell" / "atomicops.sh"


class Side(Protocol):
    """What both languages offer. Every call returns the exit code of the shared contract."""

    def write(self, path: str, content: bytes, if_version: str | None) -> int: ...
    def append(self, path: str, text: bytes) -> int: ...
    def increment(self, path: str) -> int: ...
    def read(self, path: str) -> tuple[int, bytes]: ...
    def backup(self, path: str, suffix: str) -> tuple[int, str]: ...
    def recover(self, path: str, restore_missing: bool) -> int: ...
    def sweep(self, folder: str) -> int: ...


class Python:
    def __init__(self, in_place: bool) -> None:
        self.in_place = in_place

    def __repr__(self) -> str:
        return f"Python(in_place={self.in_place})"

    @staticmethod
    def code(call: Callable[[], object]) -> int:
        try:
            call()
        except atomicops.VersionConflict:
            return CONFLICT
        except FileNotFoundError:
            return MISSING
        except ValueError:
            return INVALID
        return OK

    def write(self, path: str, content: bytes, if_version: str | None) -> int:
        return self.code(lambda: atomicops.atomic_write_bytes(content, path, if_version=if_version, durability="none"))

    def append(self, path: str, text: bytes) -> int:
        return self.code(
            lambda: atomicops.atomic_append_text(text.decode(), path, in_place=self.in_place, durability="none")
        )

    def increment(self, path: str) -> int:
        return self.code(
            lambda: atomicops.update_json(path, lambda data: data | {"n": data.get("n", 0) + 1}, durability="none")
        )

    def read(self, path: str) -> tuple[int, bytes]:
        code = self.code(lambda: atomicops.read_json(path))
        return code, Path(path).read_bytes() if code == OK else b""

    def backup(self, path: str, suffix: str) -> tuple[int, str]:
        made: list[str] = []
        return self.code(lambda: made.append(atomicops.create_backup(path, suffix, durability="none"))), "".join(made)

    def recover(self, path: str, restore_missing: bool) -> int:
        done = atomicops.recover(path, restore_missing=restore_missing, durability="none")
        return OK if done.ok else MISSING if done.status == "missing" else INVALID

    def sweep(self, folder: str) -> int:
        return self.code(lambda: atomicops.sweep_orphans(folder))


class Bash:
    def __repr__(self) -> str:
        return "Bash()"

    @staticmethod
    def call(function: str, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes]:
        done = subprocess.run(
            ["bash", "-c", 'set -euo pipefail; source "$1"; shift; "$@"', "bash", str(SHELL), function, *arguments],
            input=stdin, capture_output=True, check=False, env={**os.environ, "ATOMICOPS_DURABILITY": "none"},
        )  # fmt: skip
        return done.returncode, done.stdout

    def write(self, path: str, content: bytes, if_version: str | None) -> int:
        condition = [] if if_version is None else ["--if-version", if_version]
        return self.call("atomic_write", *condition, "-", path, stdin=content)[0]

    def append(self, path: str, text: bytes) -> int:
        return self.call("atomic_append", "-", path, stdin=text)[0]

    def increment(self, path: str) -> int:
        return self.call("atomic_update", path, ".n += 1")[0]

    def read(self, path: str) -> tuple[int, bytes]:
        return self.call("atomic_read", path)

    def backup(self, path: str, suffix: str) -> tuple[int, str]:
        code, out = self.call("atomic_backup", path, suffix)
        return code, os.fsdecode(out.removesuffix(b"\n"))

    def recover(self, path: str, restore_missing: bool) -> int:
        return self.call("atomic_recover", path, *(["--restore-missing"] if restore_missing else []))[0]

    def sweep(self, folder: str) -> int:
        return self.call("atomic_sweep", folder)[0]


SIDES: list[Side] = [Python(in_place=False), Python(in_place=True)]
if SHELL.exists() and all(shutil.which(program) for program in ("bash", "jq", "flock")):
    SIDES += [Bash(), Bash()]

sides = st.sampled_from(SIDES)
documents = st.builds(
    lambda n, text: json.dumps({"n": n, "text": text}, ensure_ascii=False).encode(),
    st.integers(-9, 10**6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
corrupt = st.sampled_from([b"", b"\n", b"{", b'{"n": 1', b"{} {}", b"\xff{}", b"{}\0", b"NaN"])
lines = st.sampled_from([b"one\n", b"no newline", b"", b"\n", "ü\n".encode(), b"two\nlines\n"])
suffixes = st.sampled_from(["1", "2", "10", "1704985200"])
names = st.sampled_from(["x.json", "a b*.json", "-n.json", "ü\n.json", "n" * 200 + ".json"])


def is_valid(content: bytes) -> bool:
    try:
        json.loads(content.decode(), parse_constant=lambda name: json.loads("refused"))
    except ValueError:
        return False
    return True


def version(content: bytes | None) -> str:
    return "absent" if content is None else "sha256-" + hashlib.sha256(content).hexdigest()


class Contract(RuleBasedStateMachine):
    """The model: what the file, the log and the backups hold."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="atomicops-model-"))
        self.folder = self.root / "folder"
        self.folder.mkdir()
        self.content: bytes | None = None
        self.mode = 0o666 & ~current_umask()
        self.log: bytes | None = None
        self.backups: dict[str, bytes] = {}
        self.evidence: set[bytes] = set()
        self.orphans: set[str] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @initialize(name=names, through_link=st.booleans())
    def place(self, name: str, through_link: bool) -> None:
        self.path = self.folder / name
        self.given = str(self.path)
        if through_link:
            (self.root / "link").symlink_to(self.path)
            self.given = str(self.root / "link")

    @rule(side=sides, content=documents | corrupt)
    def write(self, side: Side, content: bytes) -> None:
        if is_valid(content):
            assert side.write(self.given, content, None) == OK
            self.put(content)
        else:
            assert side.write(self.given, content, None) == INVALID

    @rule(side=sides, content=documents, stale=st.booleans())
    def swap(self, side: Side, content: bytes, stale: bool) -> None:
        seen = version(b"something else" if stale else self.content)
        assert side.write(self.given, content, seen) == (CONFLICT if stale else OK)
        if not stale:
            self.put(content)

    @rule(side=sides, text=lines)
    def append(self, side: Side, text: bytes) -> None:
        assert side.append(str(self.folder / "log"), text) == OK
        self.log = (self.log or b"") + text

    @rule(side=sides, text=st.sampled_from([b"\n", b" ", b"{}", b"x"]))
    def append_to_json(self, side: Side, text: bytes) -> None:
        content = (self.content or b"") + text
        assert side.append(self.given, text) == (OK if is_valid(content) else INVALID)
        if is_valid(content):
            self.put(content)

    @rule(side=sides)
    def increment(self, side: Side) -> None:
        code = side.increment(self.given)
        if self.content is None:
            assert code == MISSING
        elif not is_valid(self.content) or not isinstance(json.loads(self.content), dict):
            assert code == INVALID
        else:
            assert code == OK
            expected = json.loads(self.content)
            expected["n"] = expected.get("n", 0) + 1
            written = self.path.read_bytes()
            assert json.loads(written) == expected
            self.content = written

    @rule(side=sides)
    def read(self, side: Side) -> None:
        expected = MISSING if self.content is None else OK if is_valid(self.content) else INVALID
        code, out = side.read(self.given)
        assert code == expected
        if code == OK:
            assert out == self.content

    @rule(side=sides, suffix=suffixes)
    def backup(self, side: Side, suffix: str) -> None:
        code, made = side.backup(self.given, suffix)
        if self.content is None:
            assert code == MISSING
            return
        taken = sum(1 for name in self.backups if name.split(".")[-2] == suffix or name.split(".")[-3] == suffix)
        number = f".{taken}" if taken else ""
        assert (code, os.path.realpath(made)) == (OK, os.path.realpath(f"{self.path}.{suffix}{number}.bak"))
        self.backups[os.path.basename(made)] = self.content

    @rule(side=sides, restore_missing=st.booleans())
    def recover(self, side: Side, restore_missing: bool) -> None:
        good = [name for name in self.backups if is_valid(self.backups[name])]
        newest = self.backups[max(good, key=self.order)] if good else None
        code = side.recover(self.given, restore_missing)
        if self.content is None:
            assert code == (OK if newest is not None and restore_missing else MISSING)
            if code == OK:
                assert newest is not None
                self.content = newest
                self.mode = stat.S_IMODE(self.path.stat().st_mode)
        elif is_valid(self.content):
            assert code == OK
        else:
            self.evidence.add(self.content)
            assert code == (INVALID if newest is None else OK)
            self.content = self.content if newest is None else newest

    @rule(side=sides)
    def sweep(self, side: Side) -> None:
        assert side.sweep(str(self.folder)) == OK
        self.orphans.clear()

    @rule(digits=st.text("0123456789abcdef", min_size=32, max_size=32))
    def kill_a_writer(self, digits: str) -> None:
        from atomicops import _paths

        name = os.fsdecode(b"." + _paths.stem(os.fsencode(self.path.name)) + f".{digits}.atomicops-tmp".encode())
        (self.folder / name).write_bytes(b'{"half": ')
        self.orphans.add(name)

    @precondition(lambda self: self.content is not None)
    @rule(content=corrupt)
    def corrupt(self, content: bytes) -> None:
        self.path.write_bytes(content)
        self.content = content

    @precondition(lambda self: self.content is not None)
    @rule(mode=st.sampled_from([0o600, 0o640, 0o644, 0o664, 0o755]))
    def chmod(self, mode: int) -> None:
        self.path.chmod(mode)
        self.mode = mode

    @precondition(lambda self: self.content is not None)
    @rule()
    def delete(self) -> None:
        self.path.unlink()
        self.content = None
        self.mode = 0o666 & ~current_umask()

    @invariant()
    def the_files_are_as_the_model_says(self) -> None:
        if not hasattr(self, "path"):
            return
        assert (self.path.read_bytes() if self.path.exists() else None) == self.content
        if self.content is not None:
            assert stat.S_IMODE(self.path.stat().st_mode) == self.mode
        log = self.folder / "log"
        assert (log.read_bytes() if log.exists() else None) == self.log
        found = {name for name in os.listdir(self.folder) if not name.endswith(".lock")} - {self.path.name, "log"}
        kept = {name for name in found if name.endswith(".corrupt")}
        assert {(self.folder / name).read_bytes() for name in kept} == self.evidence
        assert found - kept == set(self.backups) | self.orphans
        assert {name: (self.folder / name).read_bytes() for name in self.backups} == self.backups
        assert self.given == str(self.path) or os.path.islink(self.given)

    def put(self, content: bytes) -> None:
        self.content = content

    def order(self, name: str) -> int:
        return list(self.backups).index(name)  # as they were made, whatever they are called


def current_umask() -> int:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x").touch(0o777)
        return 0o777 & ~stat.S_IMODE((Path(folder) / "x").stat().st_mode)


Contract.TestCase.settings = settings(
    max_examples=250 if LONG else 10, stateful_step_count=20, deadline=None, derandomize=not LONG
)
TestContract = Contract.TestCase
