"""A worker that is not where it was, or not who it was, does not go on; what a reader's exceptions say."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from stress.execution.drivers.driver import Numbered
from stress.execution.drivers.python import PythonDriver
from stress.history.kinds import Kind, Outcome
from stress.history.notes import words_of
from stress.history.record import ABSENT, GARBAGE, NO_VERSION, version_of
from stress.workload.scenario import Request
from stress.workload.target import Target


def _reads(read: Callable[[str], object]) -> None:
    driver = PythonDriver(Target("mine", Path("mine.py"), module=SimpleNamespace(read=read)), lambda: 0)
    op = Numbered(Request(Kind.READ, "a.json"), 0, 0, "object", 1, version_of(1, 1))
    driver.examine(op, driver.prepare(op, lambda _: None)())


def _raising(error: Exception) -> tuple[int, Outcome]:
    driver = PythonDriver(Target("mine", Path("mine.py"), module=SimpleNamespace()), lambda: 0)
    seen = driver.examine(Numbered(Request(Kind.READ, "a.json"), 0, 0, "object", 1, version_of(1, 1)), error)
    return seen.version, seen.outcome


@pytest.mark.parametrize(
    "error",
    [
        json.JSONDecodeError("no", "x", 0),
        EOFError("ended before the end-of-stream marker"),
        gzip.BadGzipFile("not gzipped"),
        zlib.error("incomplete"),
        struct.error("needs 4 bytes"),
        pickle.UnpicklingError("truncated"),
        sqlite3.DatabaseError("database disk image is malformed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_reader_that_could_not_decode_has_seen_no_document(error: Exception) -> None:
    assert _raising(error) == (GARBAGE, Outcome.OK)


def test_a_change_that_returned_false_is_no_success() -> None:
    driver = PythonDriver(Target("mine", Path("mine.py"), module=SimpleNamespace()), lambda: 0)
    for kind in (Kind.WRITE, Kind.UPDATE, Kind.APPEND):
        op = Numbered(Request(kind, "a.json"), 0, 0, "object", 1, version_of(1, 1))
        seen = driver.examine(op, False)
        assert (seen.outcome, words_of(seen.note)) == (Outcome.INFO, f"{kind.label} returned False")
        assert [driver.examine(op, raw).outcome for raw in (None, True, 0)] == [Outcome.OK] * 3


def test_of_a_backup_whose_place_nobody_tells_nothing_is_known() -> None:
    driver = PythonDriver(Target("mine", Path("mine.py"), module=SimpleNamespace()), lambda: 0)
    op = Numbered(Request(Kind.BACKUP, "a.json"), 0, 0, "object", 1, version_of(1, 1))
    seen = driver.examine(op, None)
    assert (seen.outcome, words_of(seen.note)) == (Outcome.INFO, "backup returned None, not the path of what it made")


def test_a_reader_that_failed_otherwise_says_nothing_of_the_file() -> None:
    for error in (sqlite3.OperationalError("database is locked"), TimeoutError("no lock"), KeyError("mine")):
        assert _raising(error) == (NO_VERSION, Outcome.INFO)
    assert _raising(FileNotFoundError("a.json")) == (ABSENT, Outcome.OK)


def test_a_target_that_changes_the_directory_ends_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    with pytest.raises(SystemExit, match="changed the current directory"):
        _reads(lambda _: os.chdir("/"))
    monkeypatch.chdir(tmp_path / "gone")
    with pytest.raises(SystemExit, match="changed the current directory"):
        _reads(lambda _: os.chdir(tmp_path / "gone/.."))
    _reads(lambda _: os.chdir("."))


def test_a_copy_that_the_target_forks_off_does_not_come_back() -> None:
    children: list[int] = []
    _reads(lambda _: children.append(os.fork()))  # the copy would go on with this test, and with all that follow
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
