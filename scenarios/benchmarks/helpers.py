"""What the helpers cost: each beside the bare system calls, and beside what else there is to do the same with."""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atomicops import (
    atomic_append_text,
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    safe_read_json,
    update_json,
)
from scenarios.benchmarks._shell import CLASSIC, atomic_write_script, program
from scenarios.benchmarks._writers import LIBRARIES, Write, library, locked_by_hand, raw_write
from stress.api import Case, Contender, LeftOut, Setting, benchmark

DURABILITIES = ("none", "file", "full")
SYNCS = {"none": "syncs nothing", "file": "syncs the file", "full": "syncs file and directory"}
OURS = "lock; mode, owner, xattrs kept"
TEXT = "x" * 99 + "\n"
LOGS = {"10 kB": 10_000, "1 MB": 1_000_000, "10 MB": 10_000_000}
APPENDS_MAX = 100
"""Calls in one sample: 10 kB more at the end of it."""


@benchmark("helpers")
def helpers(setting: Setting) -> Iterator[Case | LeftOut]:
    """The helpers of atomicops, Python and Bash, beside bare system calls and other libraries."""
    yield from _left_out()
    sizes = {"1 KiB": 1 << 10} if setting.quick else {"1 KiB": 1 << 10, "1 MiB": 1 << 20}
    for size, size_bytes in sizes.items():
        document = document_of(size_bytes)
        for durability in DURABILITIES:
            yield _bytes_case(setting.directory, f"{size}, durability {durability}", document, durability)
            yield _text_case(setting.directory, f"{size}, durability {durability}", document, durability)
            yield _json_case(setting.directory, f"{size}, durability {durability}", document, durability)
            yield _update_case(setting.directory, f"{size}, durability {durability}", document, durability)
    for size, size_bytes in sizes.items():
        yield _read_case(setting.directory, size, document_of(size_bytes))
    logs = {"10 kB": 10_000, "1 MB": 1_000_000} if setting.quick else LOGS
    for durability in ("none", "full"):
        for size, size_bytes in logs.items():
            with _files(setting.directory, size_bytes, 3) as paths:
                yield _append_case(paths, f"{size}, durability {durability}", size_bytes, durability)
        with _files(setting.directory, 0, len(logs)) as paths:
            yield _in_place_case(paths, logs, durability)
    yield _import_case()
    if shutil.which("bash") is None:
        yield LeftOut("Bash is not measured: there is no bash; apt-get install bash")
        return
    for size in ("1 KiB",) if setting.quick else ("1 KiB", "64 KiB"):
        yield _bash_case(setting.directory, size, document_of(1024 * int(size.split()[0])))


def document_of(size_bytes: int) -> dict[str, Any]:
    """A document of state, as agents keep it, of about this size as JSON."""
    feature = {"id": 0, "description": "A user can sign in, and sees what is new", "passes": False, "cost": 1.25}
    count = max(1, (size_bytes - 100) // (len(json.dumps(feature)) + 3))
    return {
        "status": "running",
        "session_count": 5,
        "last_update": "2026-01-31T12:00:00Z",
        "features": [feature | {"id": number} for number in range(count)],
    }


def _left_out() -> Iterator[LeftOut]:
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError:
            yield LeftOut(f"{name} is not measured: it is not installed; pip install 'atomicops-stress[bench]'")


class _Homes:
    """Makes the contenders of one case, each with a file in a directory of its own, made anew for every sample.

    Where a file system happens to put a file can make every write of it slower by half. That must be nobody's luck for
    a whole case.
    """

    def __init__(self, directory: Path, file: str, data: bytes, durability: str) -> None:
        self._directory = directory
        self._file = file
        self._data = data
        self._syncs = SYNCS[durability]
        self._count = 0

    def contender(self, name: str, write: Callable[[str], object], promises: str, file: str = "") -> Contender:
        """One that does ``write(path)``."""
        home = self._directory / f"home-{self._count}"
        self._count += 1
        path = home / (file or self._file)
        call = functools.partial(write, str(path))

        def before() -> None:
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            path.write_bytes(self._data)
            call()  # lock files are there as a rule, and the new directory's own first sync is no write's

        return Contender(name, call, f"{self._syncs}; {promises}", before)


def _others(homes: _Homes, data: bytes, durability: str) -> Iterator[Contender]:
    """The libraries that are installed and can have this durability."""
    for name, (_, can, promises) in LIBRARIES.items():
        if durability in can:
            try:
                write = library(name, durability)
            except ImportError:
                continue
            shown = f"{name} + raw" if promises.startswith("lock") else name
            yield homes.contender(shown, functools.partial(_write_with, write, data), promises)


def _write_with(write: Write, data: bytes, path: str) -> None:
    write(path, data)


def _laid(directory: Path, name: str, data: bytes) -> str:
    path = directory / name
    path.write_bytes(data)
    return str(path)


def _bytes_case(directory: Path, name: str, document: dict[str, Any], durability: str) -> Case:
    data = json.dumps(document).encode()
    raw, locked = raw_write(durability), locked_by_hand(durability)
    homes = _Homes(directory, "state.bin", data, durability)
    return Case(
        f"write bytes: {name}",
        homes.contender("raw system calls", lambda path: raw(path, data), "no lock; mode lost"),
        (
            homes.contender(
                "atomic_write_bytes", lambda path: atomic_write_bytes(data, path, durability=durability), OURS
            ),
            homes.contender("raw + flock(2)", lambda path: locked(path, data), "lock; mode lost"),
            *_others(homes, data, durability),
        ),
    )


def _text_case(directory: Path, name: str, document: dict[str, Any], durability: str) -> Case:
    text = json.dumps(document)
    raw = raw_write(durability)
    homes = _Homes(directory, "state.txt", text.encode(), durability)

    def ours(path: str) -> None:
        atomic_write_text(text, path, durability=durability)

    return Case(
        f"write text: {name}",
        homes.contender("encode + raw system calls", lambda path: raw(path, text.encode()), "no lock; mode lost"),
        (
            homes.contender("atomic_write_text", ours, OURS),
            homes.contender("atomic_write_text, to .json", ours, f"{OURS}; validated", "state.json"),
        ),
    )


def _json_case(directory: Path, name: str, document: dict[str, Any], durability: str) -> Case:
    raw = raw_write(durability)
    homes = _Homes(directory, "state.json", b"{}", durability)
    return Case(
        f"write JSON: {name}",
        homes.contender(
            "json.dumps + raw system calls", lambda path: raw(path, json.dumps(document).encode()), "no lock; mode lost"
        ),
        (
            homes.contender(
                "atomic_write_json", lambda path: atomic_write_json(document, path, durability=durability), OURS
            ),
        ),
    )


def _update_case(directory: Path, name: str, document: dict[str, Any], durability: str) -> Case:
    raw = raw_write(durability)
    homes = _Homes(directory, "state.json", json.dumps(document).encode(), durability)

    def by_hand(path: str) -> None:
        data = json.loads(_read(path))
        _count(data)
        raw(path, json.dumps(data).encode())

    return Case(
        f"update JSON: {name}",
        homes.contender("read, change, raw system calls", by_hand, "loses updates"),
        (homes.contender("update_json", lambda path: update_json(path, _count, durability=durability), OURS),),
    )


def _count(data: dict[str, Any]) -> None:
    data["session_count"] += 1


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def _read_case(directory: Path, size: str, document: dict[str, Any]) -> Case:
    path = _laid(directory, "state.json", json.dumps(document).encode())

    def by_hand() -> Any:
        with open(path, encoding="utf-8") as file:
            return json.loads(file.read())

    return Case(
        f"read JSON: {size}",
        Contender("open + read + json.loads", by_hand, "raises for missing and for corrupt"),
        (
            Contender("safe_read_json", lambda: safe_read_json(path, {}), "default for missing and for corrupt"),
            Contender("os.open + os.read + json.loads", lambda: json.loads(_read(path)), "raises"),
        ),
    )


@contextmanager
def _files(directory: Path, size_bytes: int, count: int) -> Iterator[list[str]]:
    """A few files of this size for the length of a ``with`` block: a log of 10 MB is not to lie around after."""
    paths = [str(directory / f"progress-{number}.txt") for number in range(count)]
    for path in paths:
        _fill(path, size_bytes)
    try:
        yield paths
    finally:
        for path in paths:
            os.unlink(path)


def _fill(path: str, size_bytes: int) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(TEXT * (size_bytes // len(TEXT)))
        file.flush()
        os.fsync(file.fileno())  # so that no sample pays for it


def _cut(path: str, size_bytes: int) -> Callable[[], None]:
    return lambda: os.truncate(path, size_bytes)


def _append_case(paths: list[str], name: str, size_bytes: int, durability: str) -> Case:
    raw = raw_write(durability)

    def recipe() -> None:
        with open(paths[0], encoding="utf-8") as file:
            existing = file.read()
        raw(paths[0], (existing + TEXT).encode())

    return Case(
        f"append 100 bytes: to {name}",
        Contender(
            "read + concatenate + replace", recipe, f"{SYNCS[durability]}; loses appends", _cut(paths[0], size_bytes)
        ),
        (
            Contender(
                "atomic_append_text",
                lambda: atomic_append_text(TEXT, paths[1], durability=durability),
                f"{SYNCS[durability]}; {OURS}; no reader sees half",
                _cut(paths[1], size_bytes),
            ),
            Contender(
                "atomic_append_text, in_place",
                lambda: atomic_append_text(TEXT, paths[2], in_place=True, durability=durability),
                f"{SYNCS[durability]}; {OURS}",
                _cut(paths[2], size_bytes),
            ),
        ),
        APPENDS_MAX,
    )


def _in_place_case(paths: list[str], logs: dict[str, int], durability: str) -> Case:
    def to(path: str, size: str, size_bytes: int) -> Contender:
        _fill(path, size_bytes)
        return Contender(
            f"to {size}",
            lambda: atomic_append_text(TEXT, path, in_place=True, durability=durability),
            SYNCS[durability],
            _cut(path, size_bytes),
        )

    floor, *others = [to(path, size, logs[size]) for path, size in zip(paths, logs, strict=True)]
    return Case(f"append in place, by size: durability {durability}", floor, tuple(others), APPENDS_MAX)


def _import_case() -> Case:
    def python(code: str) -> Callable[[], None]:
        return program([sys.executable, "-c", code])

    guide = "from atomicops import atomic_write_json, atomic_append_text, safe_read_json, create_backup"
    return Case(
        "import: in an interpreter of its own",
        Contender("python -c pass", python("pass")),
        (
            Contender("import atomicops", python("import atomicops")),
            Contender("from atomicops import (4 helpers)", python(guide)),
            Contender("import json", python("import json")),
        ),
        1,
    )


def _bash_case(directory: Path, size: str, document: dict[str, Any]) -> Case:
    classic = _laid(directory, "classic.sh", CLASSIC.encode())
    content = json.dumps(document)
    script = atomic_write_script()
    floor_path, path = _laid(directory, "classic.json", b"{}"), _laid(directory, "bash.json", b"{}")

    def ours(name: str, promises: str, **settings: str) -> Contender:
        settings = {f"ATOMICOPS_{key.upper()}": value for key, value in settings.items()}
        return Contender(name, program(["bash", script, content, path], settings), promises)

    return Case(
        f"Bash, write JSON: {size}",
        Contender(
            "mktemp + echo + mv",
            program(["bash", classic, content, floor_path]),
            "syncs nothing; no lock; mode becomes 0600",
        ),
        (
            ours("atomic-write.sh", f"{SYNCS['full']}; {OURS}; validated"),
            ours("durability none", f"{SYNCS['none']}; {OURS}; validated", durability="none"),
            ours("none, not validated", f"{SYNCS['none']}; {OURS}", durability="none", validate="no"),
        ),
        1,
    )
