"""What targets do when nobody disturbs them: each operation does its work, in Python and in Bash."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from stress.anomalies import ANOMALIES
from stress.api import (
    INITIAL,
    DefiniteFailure,
    SharedFile,
    document_of,
    examine_bytes,
    log_record,
    parse_log,
    version_of,
)
from stress.execution.drivers.shell import environment, probe
from stress.execution.nemesis import FAULTS
from stress.workload import catalog, target
from stress.workload.layout import lay_out
from stress.workload.payload import Edit, apply_edits, jq_program, parent_in
from stress.workload.target import Target
from stress.workload.world import World, compose

catalog.load()
TARGETS = {name: target.load(name) for name in target.names()}
ALL = frozenset({"write", "read", "update", "append", "backup", "recover", "lock", "sweep"})
CONTEXT, LIST, LOG = ".claude/handoff-context.json", "feature_list.json", "claude-progress.txt"
NEW = version_of(7, 3)
COUNT = (Edit(("session_count",), add=1),)
JQ = shutil.which("jq") is not None
SCENARIOS = tuple(name for name in catalog.SCENARIOS.get("bridge").parts if name not in ("completion", "resume"))
"""Without those that have hundreds of files, each in a directory of its own."""
SLOTS = 8
"""So many of each kind of what there is to recover."""


@cache
def _world(*names: str) -> World:
    world = compose(names, ALL)[0]
    return replace(world, files=world.files[: 6 * SLOTS], facts=world.facts[: 6 * SLOTS])


@pytest.fixture
def there(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with shared files, which is the current one; those of resume are there if asked for."""
    lay_out(_world(*getattr(request, "param", SCENARIOS)), tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


resuming = pytest.mark.parametrize("there", [("resume",)], indirect=True, ids=["resume"])


ALONE = frozenset({"append-batched", "drops-empty", "kept-fields", "stale-fields", "write-behind"})
"""Those whose bug shows when one process does one thing after the other; all others are right until they meet."""


def _having(operation: str, *without: str) -> list[Target]:
    return [made for made in TARGETS.values() if operation in made.operations and made.name not in ALONE.union(without)]


def _in_bash(operation: str, *without: str) -> list[Target]:
    """Those that have it as a Bash function too."""
    return [
        made
        for made in _having(operation, *without)
        if made.bash is not None and f"target_{operation}()" in made.bash.read_text("utf-8")
    ]


def _bash(made: Target, operation: str, path: str, content: str = "") -> subprocess.CompletedProcess[str]:
    """One operation by the target's Bash side, as a worker has it done."""
    assert made.bash is not None
    scratch = Path("..").resolve() / "content"
    scratch.write_text(content, "utf-8")
    script = 'source "$1"; operation=target_$2; shift 2; "$operation" "$@" 2>"$STRESS_ERR"'
    argv = ["bash", "-c", script, "bash", str(made.bash), operation, path, *([str(scratch)] if content else [])]
    errors = scratch.with_name("errors")
    done = subprocess.run(
        argv, env=environment() | {"STRESS_ERR": str(errors)}, capture_output=True, text=True, timeout=60, check=False
    )
    done.stderr = errors.read_text("utf-8")
    return done


def _facts(path: str) -> SharedFile:
    return next(file for file in _world(*SCENARIOS).files if file.path == path)


def _context(version: int, size: int = 200) -> object:
    return document_of(version, size, _facts(CONTEXT).shape)


def _version(path: str) -> int:
    return examine_bytes(Path(path).read_bytes()).version


def _name_of(made: Target) -> str:
    return made.name


@pytest.mark.parametrize("made", TARGETS.values(), ids=_name_of)
def test_a_target_says_what_must_be_found_in_it(made: Target) -> None:
    assert bool(made.expects) is (made.name != "atomicops")
    assert set(made.expects) <= set(ANOMALIES)
    assert set(made.scenarios) <= set(catalog.SCENARIOS)
    assert set(made.faults) <= {"pause_for", *(f"{fault}_every" for fault in FAULTS)}
    assert made.about
    world, skipped = compose(made.scenarios or ["bridge"], made.operations)
    assert world.scenarios
    assert not made.scenarios or skipped == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("made", [made for made in TARGETS.values() if made.bash is not None], ids=_name_of)
def test_both_sides_have_the_same_operations(made: Target) -> None:
    assert made.bash is not None
    operations, needs = probe(made.bash, environment())
    assert operations == made.operations
    assert frozenset().union(*needs.values()) <= operations
    assert set(needs) <= {"jq", "flock", "perl"}


@pytest.mark.parametrize("made", _having("write"), ids=_name_of)
def test_write_then_read(made: Target, there: Path) -> None:
    write, read = made.call("write"), made.call("read")
    assert write is not None
    assert read is not None
    for path in (CONTEXT, ".claude/sdk_complete.json"):
        for size in (30, 70_000):
            write(path, _context(NEW, size))
            assert read(path) == _context(NEW, size)
            assert _version(path) == NEW
    assert os.path.islink(LIST)


@pytest.mark.parametrize("made", _having("write", "mode-lost", "colleague-shut-out", "guide"), ids=_name_of)
def test_write_keeps_what_the_file_is(made: Target, there: Path) -> None:
    write = made.call("write")
    assert write is not None
    write(CONTEXT, _context(NEW))
    assert Path(CONTEXT).stat().st_mode & 0o777 == 0o640
    write(LIST, document_of(NEW, 40, _facts(LIST).shape))
    assert os.path.islink(LIST)
    assert _version("state/feature_list.json") == NEW


@pytest.mark.parametrize("made", _having("read"), ids=_name_of)
def test_read_of_nothing_says_so(made: Target, there: Path) -> None:
    read = made.call("read")
    assert read is not None
    try:
        assert read(".claude/missing.json") is None
    except FileNotFoundError:
        pass


@pytest.mark.parametrize("made", _having("update"), ids=_name_of)
def test_update(made: Target, there: Path) -> None:
    update = made.call("update")
    assert update is not None
    update(CONTEXT, lambda document: apply_edits(document, INITIAL, NEW, 100, COUNT))
    assert _version(CONTEXT) == NEW
    assert json.loads(Path(CONTEXT).read_bytes())["session_count"] == 1
    update(LIST, lambda document: apply_edits(document, INITIAL, NEW, 100, [Edit((3, "passes"), set=True)]))
    assert _version(LIST) == NEW
    assert json.loads(Path(LIST).read_bytes())[3]["passes"] is True


@pytest.mark.parametrize("made", _having("append"), ids=_name_of)
def test_append(made: Target, there: Path) -> None:
    append = made.call("append")
    assert append is not None
    for seq in range(1, 4):
        append(LOG, log_record(version_of(7, seq), 50 * seq))
    content = Path(LOG).read_bytes()
    assert parse_log(content) == ([INITIAL, *(version_of(7, seq) for seq in range(1, 4))], len(content))


@pytest.mark.parametrize("made", _having("backup"), ids=_name_of)
def test_backup(made: Target, there: Path) -> None:
    backup = made.call("backup")
    assert backup is not None
    path = backup(CONTEXT)
    assert Path(path).read_bytes() == Path(CONTEXT).read_bytes()
    assert path.startswith(f"{CONTEXT}.")
    assert path.endswith(".bak")


def _slots(recovery: str) -> list[SharedFile]:
    found = [file for file in _world("resume").files if file.recovery == recovery]
    assert len(found) >= SLOTS
    return found[:SLOTS]


@resuming
@pytest.mark.parametrize(
    "made",
    _having("recover", "guide", "naive", "recover-unchecked", "recover-destroys", "recover-always"),
    ids=_name_of,
)
def test_recover(made: Target, there: Path) -> None:
    recover = made.call("recover")
    assert recover is not None
    for file in (*_slots("restore"), *_slots("keep")):
        recover(file.path)
        recover(file.path)
        assert _version(file.path) == file.recovered
        kept = [path.read_bytes() for path in Path(file.path).parent.iterdir()]
        assert not file.corrupt or kept.count(file.corrupt) == 1
    for file in _slots("refuse"):
        with pytest.raises(DefiniteFailure):
            recover(file.path)
        assert Path(file.path).read_bytes() == file.content


@resuming
@pytest.mark.parametrize("made", _having("recover"), ids=_name_of)
def test_recover_from_a_newest_backup_that_is_valid(made: Target, there: Path) -> None:
    recover = made.call("recover")
    assert recover is not None
    file = _slots("restore")[0]
    recover(file.path)
    assert _version(file.path) == file.recovered


def test_what_certainly_did_not_happen_is_told(there: Path) -> None:
    ours = TARGETS["atomicops"].module
    assert ours is not None
    Path(CONTEXT).write_bytes(b"{")
    with pytest.raises(DefiniteFailure, match="corrupt"):
        ours.update(CONTEXT, lambda document: document)
    with pytest.raises(DefiniteFailure, match="directory"):
        ours.write(".claude", {})
    assert ours.read(CONTEXT) is None


# Bash

needs_jq = pytest.mark.skipif(not JQ, reason="needs jq")


@needs_jq
@pytest.mark.parametrize("made", _in_bash("write"), ids=_name_of)
def test_bash_write_then_read(made: Target, there: Path) -> None:
    for path in (CONTEXT, ".claude/sdk_complete.json"):
        for size in (30, 70_000):
            done = _bash(made, "write", path, json.dumps(_context(NEW, size)))
            assert (done.returncode, done.stderr) == (0, "")
            assert _version(path) == NEW
            assert json.loads(_bash(made, "read", path).stdout) == _context(NEW, size)


@needs_jq
def test_bash_read_tells_nothing_from_no_document(there: Path) -> None:
    made = TARGETS["atomicops"]  # all have it from _read.bash
    assert _bash(made, "read", ".claude/missing.json").returncode == 66
    settings = ".claude/sdk-bridge.local.md"
    done = _bash(made, "read", settings)
    assert (done.returncode, done.stdout) == (65, Path(settings).read_text("utf-8"))
    Path(CONTEXT).write_bytes(b"")
    done = _bash(made, "read", CONTEXT)
    assert (done.returncode, done.stdout.strip()) == (0, ""), "jq 1.6 takes an empty file; the harness does not"


@needs_jq
@pytest.mark.parametrize("made", _in_bash("update", "guide"), ids=_name_of)
def test_bash_update(made: Target, there: Path) -> None:
    done = _bash(made, "update", CONTEXT, jq_program(NEW, 100, COUNT, form="object"))
    assert (done.returncode, parent_in(done.stderr)) == (0, INITIAL)
    assert _version(CONTEXT) == NEW
    assert json.loads(Path(CONTEXT).read_bytes())["session_count"] == 1
    done = _bash(made, "update", LIST, jq_program(NEW, 100, [Edit((3, "passes"), set=True)], form="list"))
    assert (done.returncode, parent_in(done.stderr)) == (0, INITIAL)
    assert _version(LIST) == NEW
    assert json.loads(Path(LIST).read_bytes())[3]["passes"] is True


@needs_jq
def test_the_guides_printed_update_empties_the_file(there: Path) -> None:
    done = _bash(TARGETS["guide"], "update", CONTEXT, jq_program(NEW, 100, COUNT, form="object"))
    assert done.returncode == 0
    assert Path(CONTEXT).read_bytes() == b"\n"
    done = _bash(TARGETS["guide"], "update", LIST, jq_program(NEW, 100, [Edit((3, "passes"), set=True)], form="list"))
    assert _version(LIST) == NEW


@pytest.mark.parametrize("made", _in_bash("append"), ids=_name_of)
def test_bash_append(made: Target, there: Path) -> None:
    for seq in range(1, 4):
        assert _bash(made, "append", LOG, log_record(version_of(7, seq), 50 * seq)).returncode == 0
    content = Path(LOG).read_bytes()
    assert parse_log(content) == ([INITIAL, *(version_of(7, seq) for seq in range(1, 4))], len(content))


@pytest.mark.parametrize("made", _in_bash("backup"), ids=_name_of)
def test_bash_backup(made: Target, there: Path) -> None:
    done = _bash(made, "backup", CONTEXT)
    path = done.stdout.strip()
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(path).read_bytes() == Path(CONTEXT).read_bytes()
    assert path.startswith(f"{CONTEXT}.")
    assert path.endswith(".bak")


@needs_jq
@resuming
def test_bash_recover(there: Path) -> None:
    ours = TARGETS["atomicops"]
    for file in (*_slots("restore"), *_slots("keep")):
        assert _bash(ours, "recover", file.path).returncode == 0
        assert _version(file.path) == file.recovered
        kept = [path.read_bytes() for path in Path(file.path).parent.iterdir()]
        assert not file.corrupt or kept.count(file.corrupt) == 1
    for file in _slots("refuse")[:3]:
        assert _bash(ours, "recover", file.path).returncode == 65
        assert Path(file.path).read_bytes() == file.content


def test_bash_status_74_is_definite_only_with_proof(there: Path) -> None:
    ours = TARGETS["atomicops"]
    assert ours.bash is not None
    errors = Path("..").resolve() / "errors"
    for words, status in (
        ("x: syncing: I/O error (unchanged); see", 73),
        ("x: syncing .: I/O error (changed, but may not survive a power loss); write it again", 74),
        ("", 74),
    ):
        errors.write_text(words, "utf-8")
        done = subprocess.run(
            ["bash", "-c", 'source "$1"; unchanged_is_definite 74', "bash", str(ours.bash)],
            env=environment() | {"STRESS_ERR": str(errors)}, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == status
