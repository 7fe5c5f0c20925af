"""A journal outlives its writer, a full disk, and a limit on file sizes."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from stress.history.journal import FINISHED, Journal, OldJournal, read_header, read_note, read_rows, row_of
from stress.history.kinds import Kind, Language, Outcome
from stress.history.notes import SeenBytes
from stress.history.record import GARBAGE, NO_VERSION, version_of
from stress.history.run_directory import RunDirectory


def _journal(folder: Path, process: int = 3) -> Journal:
    return Journal(str(folder), process, 1, Language.PYTHON)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    for seq in range(1, 4001):  # well past the first chunk
        journal.invoke(row_of(Kind.UPDATE, 7, 2), 100)
        journal.record_parent(version_of(2, seq))
        journal.attach(held_from=5, held_to=6, note=SeenBytes(b"\0\xff", "ü") if seq == 9 else None)
        journal.complete(time.monotonic_ns(), Outcome.OK, 100)
    journal.write_header(state=FINISHED)
    journal.close()
    rows = read_rows(tmp_path / "p000003.ops")
    assert len(rows) == 4000
    assert rows["seq"].tolist() == list(range(1, 4001))
    assert set(rows["outcome"]) == {Outcome.OK}
    assert (rows["return"] >= rows["invoke"]).all()
    last = rows[-1]
    assert (last["process"], last["kind"], last["file"], last["scenario"], last["size"]) == (3, Kind.UPDATE, 7, 2, 100)
    assert (last["version"], last["parent"]) == (version_of(3, 4000), version_of(2, 4000))
    assert (last["held_from"], last["held_to"], last["note_at"]) == (5, 6, -1)
    noted = rows[8]
    assert read_note(tmp_path, 3, int(noted["note_at"]), int(noted["note_size"])) == SeenBytes(b"\0\xff", "ü")


def test_an_operation_takes_forty_bytes_and_what_few_have_is_beside_it(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    for _ in range(1000):
        journal.complete(journal.invoke(row_of(Kind.READ, 0, 0)), Outcome.OK, version_of(1, 1))
    for version, size, digest in ((NO_VERSION, 7, 5), (GARBAGE, 0, -1)):
        journal.invoke(row_of(Kind.OBSERVE, 1, 0))
        journal.attach(size=size, digest=digest)
        journal.complete(time.monotonic_ns(), Outcome.OK, version)
    journal.write_header(state=FINISHED)
    journal.close()
    assert (tmp_path / "p000003.ops").stat().st_size == 4096 + 1002 * 40
    rows = read_rows(tmp_path / "p000003.ops")
    assert rows["size"][999:].tolist() == [-1, 7, 0]
    assert rows["digest"][999:].tolist() == [-1, 5, -1]
    assert rows["note_at"][999:].tolist() == [-1, -1, -1]


def test_a_journal_of_another_version_is_refused_by_its_name(tmp_path: Path) -> None:
    _journal(tmp_path).close()
    path = tmp_path / "p000003.ops"
    path.write_bytes(b"STRESSJ1" + path.read_bytes()[8:])
    with pytest.raises(OldJournal, match="of version 1, and this stress reads version 4"):
        read_rows(path)


def test_an_operation_that_a_kill_cut_short_stays_open_and_its_parent_is_known(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        journal = _journal(tmp_path)
        journal.complete(journal.invoke(row_of(Kind.READ, 0, 0)), Outcome.OK, NO_VERSION)
        journal.invoke(row_of(Kind.UPDATE, 0, 0), 10)
        journal.record_parent(version_of(1, 1))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    rows = read_rows(tmp_path / "p000003.ops")
    assert rows["outcome"].tolist() == [Outcome.OK, Outcome.OPEN]
    assert rows["parent"][1] == version_of(1, 1)
    assert rows["return"][1] == 0


def test_a_run_under_way_is_seen_as_it_was_at_one_moment(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    RunDirectory(tmp_path).save_world((), {}, (), (), 0)
    early, late = _journal(tmp_path / "journal"), _journal(tmp_path / "journal", 4)
    early.invoke(row_of(Kind.WRITE, 0, 0), 10)
    early.complete(time.monotonic_ns(), Outcome.OK, 10)
    late.invoke(row_of(Kind.READ, 0, 0))
    now = time.monotonic_ns()
    late.complete(now + 5, Outcome.OK, version_of(3, 2))  # sees what was written after `now`
    early.invoke(row_of(Kind.WRITE, 0, 0), 10)
    seen = RunDirectory(tmp_path).history(now=now).ops
    assert seen["seq"].tolist() == [1, 1]
    assert seen["outcome"].tolist() == [Outcome.OK, Outcome.INFO]
    assert seen["return"][1] == now
    assert len(RunDirectory(tmp_path).history().ops) == 3


def test_a_limit_on_file_sizes_does_not_stop_the_evidence(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        status = 1
        try:
            journal = _journal(tmp_path)
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
            for _ in range(2000):
                now = journal.invoke(row_of(Kind.READ, 0, 0))
                journal.attach(note=SeenBytes(b"x" * 300))
                journal.complete(now, Outcome.OK, NO_VERSION)
            journal.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    rows = read_rows(tmp_path / "p000003.ops")
    assert len(rows) == 2000
    assert read_note(tmp_path, 3, int(rows[-1]["note_at"]), int(rows[-1]["note_size"])) == SeenBytes(b"x" * 300)


def test_evidence_has_a_budget_and_says_when_it_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stress.history.journal.NOTES_BUDGET_BYTES", 1000)
    journal = _journal(tmp_path)
    for _ in range(3):
        now = journal.invoke(row_of(Kind.READ, 0, 0))
        journal.attach(note=SeenBytes(b"x" * 600))
        journal.complete(now, Outcome.OK, NO_VERSION)
    journal.close()
    rows = read_rows(tmp_path / "p000003.ops")
    assert read_note(tmp_path, 3, int(rows[2]["note_at"]), int(rows[2]["note_size"])) == SeenBytes(b"", dropped=600)


def test_a_header_that_is_not_there_yet_is_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    with empty.open("rb") as file:
        assert read_header(file.fileno()) is None
