"""What a target's own reader says at the end is taken whole, and nothing of it stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from stress.execution.final_read import final_by_reader
from stress.history.history import FileFacts, FinalFile
from stress.history.record import ABSENT, GARBAGE, INITIAL, NO_VERSION
from stress.host import process_tree
from stress.host.child import in_child
from stress.workload.payload import document_of
from stress.workload.target import Target


def _read(path: str) -> object:
    if path == "gone":
        raise FileNotFoundError(path)
    if path == "broken":
        raise ValueError("nobody can read this")
    return "x" * 200_000 if path.startswith("large") else document_of(INITIAL, 9, {})


def test_documents_larger_than_a_pipe_holds_are_all_taken(tmp_path: Path) -> None:
    module = types.ModuleType("mine")
    module.read = _read  # type: ignore[attr-defined]
    target = Target("mine", Path("mine.py"), module=module, observe=False)
    paths = ["large1", "large2", "gone", "broken", "good"]
    facts = [FileFacts(path, "mine") for path in paths]
    final = final_by_reader(target, tmp_path, facts, [FinalFile(exists=True)] * len(facts), 20.0)
    assert [file.version for file in final] == [GARBAGE, GARBAGE, ABSENT, NO_VERSION, INITIAL]
    assert len(final[0].content) > 100_000


def test_nothing_is_claimed_where_nobody_here_can_read(tmp_path: Path) -> None:
    target = Target("mine", Path("mine.toml"), observe=False)
    (made,) = final_by_reader(target, tmp_path, [FileFacts("a.json", "mine")], [FinalFile(True, GARBAGE)], 20.0)
    assert made.version == NO_VERSION


def test_a_child_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def body() -> None:
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        note.write_text(str(other.pid))
        time.sleep(60)

    was = process_tree.become_subreaper()
    try:
        assert in_child(body, "slow", 2.0) is None
    finally:
        process_tree.become_subreaper(was)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_how_a_child_ended_is_told() -> None:
    assert in_child(lambda: None, "good", 20.0) == 0
    assert in_child(lambda: sys.exit(7), "bad", 20.0) == 7
