"""The fault table tells the truth, breaks no promise, and is the same for both languages, or says why not.

By default some cells of each operation are run again, drawn by ``ATOMICOPS_FAULTS_SEED`` (0); ``ATOMICOPS_FAULTS=all``
runs every cell. ``python -m tests.atomicops.faults`` makes the table anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.atomicops.both import BEGIN
from tests.atomicops.faults.inject import FAULTS, Run, cannot_inject
from tests.atomicops.faults.scene import NEW, OLD, OPERATIONS, Broken, Scene
from tests.atomicops.faults.steps import steps
from tests.atomicops.faults.table import (
    Bench,
    Cell,
    Reason,
    Table,
    differences,
    load,
    reasons,
    sample,
    save,
    seed,
    ways,
)

EVERY = os.environ.get("ATOMICOPS_FAULTS") == "all"
SAMPLE = {"python": 8, "perl": 3, "shell": 1}
WAYS = [(name, process) for name, operation in OPERATIONS.items() for process in ways(operation)]


@pytest.fixture(scope="module")
def table() -> Table:
    return load()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    if (why := cannot_inject()) is not None:
        pytest.skip(why)
    with Bench(tmp_path_factory.mktemp("bench"), width=2 if EVERY else 1) as bench:
        yield bench


def test_no_fault_breaks_a_promise(table: Table) -> None:
    assert [(cell, outcome) for cell, outcome in table.items() if outcome.startswith("BROKEN")] == []


def test_the_languages_differ_only_where_a_reason_is_given(table: Table) -> None:
    known = reasons()
    found = differences(table)
    assert [f"{one} [{one.fault}]" for one in found if not any(reason.explains(one) for reason in known)] == []
    assert [reason for reason in known if not any(reason.explains(one) for one in found)] == [], "a reason for nothing"


def test_the_table_has_every_operation_and_every_fault(table: Table) -> None:
    assert {cell.operation for cell in table} >= {name for name, one in OPERATIONS.items() if not one.variant_of}
    assert {cell.fault for cell in table} == set(FAULTS)
    for operation, step in (("write", "rename target"), ("append", "fsync temp"), ("backup", "fsync directory")):
        for fault in FAULTS:
            assert Cell(operation, "python", step, 1, fault) in table
            assert Cell(operation, "perl", step, 1, fault) in table


@pytest.mark.parametrize(("operation", "process"), WAYS)
def test_a_fault_comes_to_what_the_table_says(table: Table, bench: Bench, operation: str, process: str) -> None:
    if operation == "write, attributes" and os.geteuid() != 0:
        pytest.skip("to give a file to another user takes root")
    there = {(step.name, step.nth): step for step in bench.learn(OPERATIONS[operation], process)}
    those = [cell for cell in table if cell[:2] == (operation, process)]
    missing = {(cell.step, cell.nth) for cell in those} ^ set(there)
    # Another kernel, file system or interpreter may make a call more, or less.
    assert len(missing) <= len(there) // 4, f"the table is out of date: {sorted(missing)}"
    chosen = those if EVERY else sample(table, operation, process, SAMPLE[process], seed())
    found = bench.outcomes([(cell, there[cell.step, cell.nth]) for cell in chosen if (cell.step, cell.nth) in there])
    assert found == {cell: table[cell] for cell in found}


# --- the table's own tools -------------------------------------------------------------------------------------------

TRACE = f"""\
openat(AT_FDCWD</x>, "/usr/lib/perl.so", O_RDONLY) = 3</usr/lib/perl.so>
newfstatat(AT_FDCWD</f>, "{BEGIN}", 0x7ffe, 0) = -1 ENOENT (No such file or directory)
getrandom("\\x5e", 8, 0) = 8
openat(AT_FDCWD</f/scene>, "./.x.json.lock", O_RDWR) = 3</f/scene/.x.json.lock>
flock(3</f/scene/.x.json.lock>, LOCK_EX|LOCK_NB) = 0
getrandom("\\x5e", 16, 0) = 16
openat(4</f/scene>, ".x.json.0f.atomicops-tmp", O_WRONLY|O_CREAT) = 5</f/scene/.x.json.0f.atomicops-tmp>
write(5</f/scene/.x.json.0f.atomicops-tmp>, "\\"x.json.1.bak\\"", 14) = 14
fsync(5</f/scene/.x.json.0f.atomicops-tmp>) = -1 EIO (Input/output error) (INJECTED)
renameat(4</f/scene>, ".x.json.0f.atomicops-tmp", 4</f/scene>, "x.json") = 0
fsync(4</f/scene>) = 0
getxattr("/proc/self/fd/4/x.json", "user.x", NULL, 0) = 3
close(7</usr/lib/perl.so>) = 0
"""


def test_a_trace_is_read_as_steps() -> None:
    found = steps(TRACE, Path("/f"))
    assert [step.name for step in found] == [
        "open lock", "flock lock", "random", "open temp", "write temp", "fsync temp", "rename target",
        "fsync directory", "getxattr target",
    ]  # fmt: skip
    assert [(step.call, step.when) for step in found[:4]] == [
        ("openat", 2),
        ("flock", 1),
        ("getrandom", 2),
        ("openat", 3),
    ]
    assert [step.done for step in found[4:7]] == [True, False, True]


def test_a_table_is_read_as_it_was_saved(tmp_path: Path) -> None:
    table = {
        Cell("write", process, "open lock", nth, fault): f"old {73 if fault == 'EACCES' else 74} | see, {process}"
        for process in ("python", "perl")
        for nth in (1, 2, 4)
        for fault in FAULTS
    }
    save(table, tmp_path / "table.tsv")
    assert load(tmp_path / "table.tsv") == table
    assert len((tmp_path / "table.tsv").read_text().splitlines()) == 1 + 2 * 2  # alike steps share their lines


def test_a_difference_is_seen_and_a_reason_explains_it() -> None:
    table = {Cell("write", process, "open lock", 1, "EIO"): "old 74" for process in ("python", "perl")}
    assert differences(table) == []
    table[Cell("write", "shell", "open lock", 1, "EIO")] = "old 73"
    (found,) = differences(table)
    assert str(found) == "write, open lock: python old 74; bash old 73 / old 74"
    assert Reason("write|append", "open *", "E*", "why").explains(found)
    assert not Reason("append", "*", "*", "why").explains(found)


@pytest.mark.parametrize(
    ("status", "message", "content", "extra", "broken"),
    [
        (0, "", OLD, "", "exit 0, and the file is old"),
        (0, "", NEW, "", "exit 0, and not synced"),
        (74, "atomicops: x.json: no (unchanged); wait\n", NEW, "", "it says that it is unchanged"),
        (74, "atomicops: x.json: may not survive; wait\n", OLD, "", "it says that it is changed"),
        (74, "atomicops: x.json: no; wait\n", NEW, "", "it does not say so"),
        (1, "atomicops: x.json: no; wait\n", OLD, "", "exit code 1"),
        (74, "", OLD, "", "without a word"),
        (74, "two\nlines\n", OLD, "", "more than one line"),
        (74, "Traceback (most recent call last)\n", OLD, "", "a traceback"),
        (74, "atomicops: x.json: no (unchanged); wait\n", OLD, ".x.json.0.atomicops-tmp", "left behind: temp"),
        ("SIGTERM", "", OLD, "strange", "left behind: another"),
        (74, "atomicops: x.json: no (unchanged); wait\n", OLD[:5], "", "neither old nor new"),
    ],
)
def test_a_broken_promise_is_seen(
    tmp_path: Path, status: int | str, message: str, content: str, extra: str, broken: str
) -> None:
    scene = Scene(tmp_path / "run", OPERATIONS["write"])
    (scene.place / "x.json").write_text(content)
    if extra:
        (scene.place / extra).touch()
    with pytest.raises(Broken, match=broken):
        scene.outcome(Run(status, message, (), True), "python")


def test_a_held_lock_is_seen(tmp_path: Path) -> None:
    import fcntl

    scene = Scene(tmp_path / "run", OPERATIONS["write"])
    with open(scene.place / ".x.json.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Broken, match="the lock is held"):
            scene.outcome(Run(74, "atomicops: x.json: no (unchanged); wait\n", (), True), "python")
