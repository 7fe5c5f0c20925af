"""What work costs grows no faster than the work: calls, bytes and descriptors are counted at two sizes, and no time."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from atomicops._json import _all_pairs
from stress.anomalies import TORN_READ, WORKER_DIED, Anomaly
from stress.bench.harness import histories
from stress.checkers.registry import load
from stress.execution.drivers.shell import Lost, ShellDriver
from stress.execution.progress import JournalFollower
from stress.history.events import Ended, LeftBehind, Started, event_line
from stress.history.history import FileFacts, FinalFile, History, ProcessFacts
from stress.history.journal import Journal, row_of
from stress.history.jsonl import _once
from stress.history.kinds import End, Kind, Language, Outcome, Recovery, WorkerRole
from stress.history.naming import Naming
from stress.history.record import ABSENT, GARBAGE, INITIAL, Operation, version_of
from stress.host import process_tree
from stress.host.child import last_words
from stress.reporters.witness import body
from stress.result import Finding


def calls(function: Callable[[], object]) -> int:
    """How many calls, of Python's functions and of others, one call comes to; each step of a generator is one."""
    count = 0

    def counted(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def _of(checker: str, operations: Iterable[Operation], **more: object) -> History:
    files = more.pop("files", [FileFacts("f", "s", checkers=frozenset({checker}))])
    return History.of(list(operations), files, scenarios=["s"], **more)  # type: ignore[arg-type]


def _processes(count: int, end: End) -> list[ProcessFacts]:
    return [
        ProcessFacts(number + 1, number, Language.PYTHON, WorkerRole.WRITER, ended=10**9 * (number + 1), end=end)
        for number in range(count)
    ]


def _killed(count: int) -> History:
    left = [LeftBehind(number, f".{number}", 10**9 * number + 10**8) for number in (*range(count), 2 * count)]
    made = [Operation(n + 1, Kind.WRITE, invoke=10**9 * n, ret=10**9 * n + 5) for n in range(count)]
    return _of("leftovers", made, processes=_processes(count, End.KILLED), unswept=left)


def _paused(count: int) -> History:
    made = [Operation(n + 1, Kind.WRITE, invoke=1000 * n, ret=1000 * n + 500) for n in range(count)]
    made.append(Operation(count + 1, Kind.WRITE, invoke=0, ret=1000 * count))
    pauses = [(1000 * n, 1000 * n + 100) for n in range(count)]
    return _of("progress", made, pauses=pauses, limit=450)


def _wrongly_recovered(count: int) -> History:
    made = [Operation(1, Kind.RECOVER, version=7, invoke=0, ret=1)]
    made += [Operation(2, Kind.READ, version=(9 << 32) + 1, invoke=10 * n, ret=10 * n + 5) for n in range(1, count)]
    facts = FileFacts("f", "s", checkers=frozenset({"recovery"}), recovery=Recovery.RESTORE, recovered=7)
    return _of("recovery", made, files=[facts], final=[FinalFile(exists=True, version=7)])


def _in_vain(count: int) -> History:
    made = [
        Operation(number % count + 1, Kind.READ, version=ABSENT, invoke=number, ret=number + 1, outcome=Outcome.FAIL)
        for number in range(20 * count)
    ]
    return _of("vacuity", made, processes=_processes(count, End.FINISHED), required=[frozenset({Kind.READ})])


@pytest.mark.parametrize(
    ("checker", "history", "most"),
    [
        ("leftovers", _killed, 4.5),
        ("progress", _paused, 4.5),
        ("recovery", _wrongly_recovered, 3),
        ("vacuity", _in_vain, 3),
    ],
)
def test_four_times_the_history_takes_a_checker_no_more_than_so_many_calls(
    checker: str, history: Callable[[int], History], most: float
) -> None:
    check = load().get(checker)
    few, many = history(50), history(200)
    list(check(few))  # whatever is done once
    assert list(check(many)), "it has something to tell"
    assert calls(lambda: list(check(many))) <= most * calls(lambda: list(check(few)))


def test_of_many_workers_in_vain_a_few_are_told_and_all_are_counted() -> None:
    (found,) = [found for found in load().get("vacuity")(_in_vain(30)) if found.count > 1]
    assert found.count == 30
    assert [label for label, _ in found.detail] == ["also"] * 4


def test_the_rows_of_one_file_take_as_much_memory_however_many_files_there_are() -> None:
    peaks = []
    for files in (50, 800):
        history = histories.documents(40 * files, files=files)
        history.rows(7, Kind.READ, outcome=Outcome.OK)
        tracemalloc.start()
        for file in range(20):
            history.rows(file, Kind.READ, outcome=Outcome.OK)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= 2 * peaks[0]


def test_who_follows_a_run_lets_go_of_the_journals_of_processes_that_have_ended(tmp_path: Path) -> None:
    """A run in which workers are killed and replaced has any number of them."""
    (tmp_path / "journal").mkdir()
    follower = JournalFollower(tmp_path / "journal", (FileFacts("f", "s"),))
    before = len(os.listdir("/proc/self/fd"))
    with (tmp_path / "events.jsonl").open("w", encoding="utf-8", buffering=1) as events:
        for number in range(1, 31):
            events.write(event_line(Started(1, number, 0, Language.PYTHON, WorkerRole.WRITER)))
            journal = Journal(str(tmp_path / "journal"), number, 0, Language.PYTHON)
            journal.invoke(Kind.WRITE << 16, 10)
            journal.complete(journal.clock(), Outcome.OK, 10)
            journal.write_header()
            journal.close()
            follower.poll(number)
            assert len(os.listdir("/proc/self/fd")) == before + 1 + 1, "the events' and the last journal's"
            events.write(event_line(Ended(2, number, End.KILLED, 2)))
    follower.poll(31)
    assert len(os.listdir("/proc/self/fd")) == before
    assert follower.stats.total == 30


def test_who_follows_a_run_counts_torn_reads_once_it_is_known_that_there_is_a_document_to_be_found(
    tmp_path: Path,
) -> None:
    (tmp_path / "journal").mkdir()
    follower = JournalFollower(tmp_path / "journal", (FileFacts("f", "s", checkers=frozenset({"torn"})),))
    (tmp_path / "events.jsonl").write_text(event_line(Started(1, 1, 0, Language.PYTHON, WorkerRole.READER)))
    journal = Journal(str(tmp_path / "journal"), 1, 0, Language.PYTHON)

    def seen(kind: Kind, version: int) -> dict[Anomaly, int]:
        journal.invoke(row_of(kind, 0, 0))
        journal.complete(journal.clock(), Outcome.OK, version)
        journal.write_header()
        follower.poll(1.0)
        return dict(follower.violations)

    assert seen(Kind.READ, GARBAGE) == seen(Kind.OBSERVE, GARBAGE) == seen(Kind.OBSERVE, INITIAL) == {}
    assert seen(Kind.READ, INITIAL) == {TORN_READ: 1}
    assert seen(Kind.READ, GARBAGE) == {TORN_READ: 2}
    assert seen(Kind.OBSERVE, version_of(1, 1)) == {TORN_READ: 3}
    journal.close()
    follower.close()


def test_a_worker_of_whose_group_nothing_is_left_is_seen_off_without_a_look_at_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []

    def children(of: int | None = None) -> list[int]:
        looked.append(1)
        return []

    monkeypatch.setattr(process_tree, "children", children)
    leader = os.fork()
    if not leader:
        os._exit(0)
    os.waitpid(leader, 0)
    assert process_tree.end_remains(leader) == 0
    assert not looked


def test_a_version_index_of_few_versions_takes_little_memory() -> None:
    from stress.checkers._columns import VersionIndex

    versions = np.array([(number + 1) << 32 | 3000 for number in range(20)], np.int64)
    tracemalloc.start()
    index = VersionIndex(versions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert index.find(versions).tolist() == list(range(20))
    assert peak < 50_000


class _Key(str):
    """Counts how often one is compared with another."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        _Key.compared += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize("refuse", [_all_pairs, _once])
def test_the_key_that_an_object_has_twice_is_found_without_comparing_each_with_all(
    refuse: Callable[[list[tuple[str, object]]], object],
) -> None:
    pairs: list[tuple[str, object]] = [(_Key(number), 1) for number in (*range(500), 499, 498)]
    _Key.compared = 0
    with pytest.raises(ValueError, match=r"'498'.* twice"):
        refuse(pairs)
    assert _Key.compared < 5 * len(pairs)


def test_a_line_of_megabytes_is_not_wrapped_and_a_worker_that_says_one_is_not_listened_to(tmp_path: Path) -> None:
    finding = Finding(WORKER_DIED, "vacuity", "", "", "x" * 3_000_000)
    assert sum(map(len, body(finding, Naming()))) < 100_000
    (tmp_path / "stderr").write_text("x" * 3_000_000 + "the last words")
    assert last_words(str(tmp_path / "stderr")).endswith("the last words")
    assert len(last_words(str(tmp_path / "stderr"))) < 10_000
    process = subprocess.Popen(
        [sys.executable, "-c", "print(end='x' * 3_000_000, flush=True); input()"], stdin=-1, stdout=-1
    )
    driver = ShellDriver(process, tmp_path, exclusive=False)
    with pytest.raises(Lost, match="began with 'xxx"):
        driver.wait_for_hello(60)
    driver.close()
    process.kill()
    process.wait()
