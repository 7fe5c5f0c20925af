"""A lock is believed to be held only by who has it: the hold is proved before anything is changed."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from atomicops import (
    LockLost,
    LockTimeout,
    atomic_append_text,
    atomic_write_json,
    atomic_write_text,
    create_backup,
    file_lock,
    update_json,
)
from tests.atomicops.both import LANGUAGES, LIMIT_S, Done, Helpers
from tests.atomicops.faults.scene import is_free

HELPERS = Helpers()
LOCK = ".s.json.lock"
CHANGES = {
    "write": "atomicops.atomic_write_json({'n': 9}, path)",
    "append": "atomicops.atomic_append_text(' ', path)",
    "append in place": "atomicops.atomic_append_text(' ', path, in_place=True)",
    "backup": "atomicops.create_backup(path)",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    atomic_write_json({"n": 0}, tmp_path / "s.json")
    (tmp_path / LOCK).touch()
    return tmp_path / "s.json"


def remove(lock: Path) -> None:
    lock.unlink()


def remove_and_make_anew(lock: Path) -> None:
    lock.unlink()
    lock.touch()


def rename_away(lock: Path) -> None:
    lock.rename(lock.with_name("moved"))


def put_another_over_it(lock: Path) -> None:
    lock.with_name("fresh").touch()
    lock.with_name("fresh").replace(lock)


def make_it_a_link(lock: Path) -> None:
    lock.rename(lock.with_name("moved"))
    lock.symlink_to("moved")


AWAY = [remove, remove_and_make_anew, rename_away, put_another_over_it, make_it_a_link]


@pytest.mark.parametrize("away", AWAY)
def test_the_lock_file_goes_during_an_update(path: Path, away: Callable[[Path], None]) -> None:
    """Another gets "the" lock, and updates; not both are acknowledged and one of them lost."""
    done = []

    def change(document: dict[str, int]) -> dict[str, int]:
        away(path.with_name(LOCK))
        other = HELPERS.increment("python", path, path.parent, timeout_s=1)
        done.append(other.code == 0)
        return {"n": document["n"] + 1}

    with suppress(LockLost):
        update_json(path, change)
        done.append(True)
    assert json.loads(path.read_text()) == {"n": sum(done)}


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize("operation", ["write", "append", "append in place", "backup"])
def test_the_lock_file_goes_under_a_file_lock(path: Path, away: Callable[[Path], None], operation: str) -> None:
    change: dict[str, Callable[[], object]] = {
        "write": lambda: atomic_write_json({"n": 9}, path),
        "append": lambda: atomic_append_text(" ", path),
        "append in place": lambda: atomic_append_text(" ", path, in_place=True),
        "backup": lambda: create_backup(path, "x"),
    }
    before = path.read_text()
    with suppress(LockLost), file_lock(path):
        away(path.with_name(LOCK))
        with pytest.raises(OSError, match="lock"):
            change[operation]()
    assert path.read_text() == before
    assert not list(path.parent.glob("*.bak"))
    assert {name for name in os.listdir(path.parent) if name.endswith("tmp")} == set()


@pytest.mark.parametrize("spelling", ["the same", "relative"])
def test_the_directory_goes_under_a_file_lock(path: Path, spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made anew, with other files: what was read is not there any more."""
    monkeypatch.chdir(path.parent)
    inner = path.parent / "inner"
    other = inner / "s.json" if spelling == "the same" else Path("inner/s.json")
    with file_lock(inner / "s.json"):
        inner.rename("moved")
        inner.mkdir()
        other.write_text('{"n": 7}')
        with pytest.raises(LockLost):
            atomic_write_json({"n": 1}, other)
    assert json.loads(other.read_text()) == {"n": 7}


def test_blocks_may_end_in_any_order(path: Path) -> None:
    """The lock is held as long as one of them lasts."""
    outer, inner = file_lock(path), file_lock(path)
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert not is_free(path.with_name(LOCK), 0)
    update_json(path, lambda document: {"n": document["n"] + 1})
    inner.__exit__(None, None, None)
    assert is_free(path.with_name(LOCK), 0)
    assert json.loads(path.read_text()) == {"n": 1}


@pytest.mark.parametrize("away", ["rm -f .s.json.lock", "rm -f .s.json.lock; : >.s.json.lock", "mv .s.json.lock moved"])
def test_the_lock_file_goes_during_an_update_in_bash(path: Path, away: str) -> None:
    script = f"""
    . "$0/atomicops.sh"
    steps() {{
      local d; d=$(cat s.json)
      {away}
      (unset -f jq; bash -c '. "$1/atomicops.sh"; atomic_update s.json ".n += 1"' x "$1") && echo other
      atomic_write "$(jq '.n += 1' <<<"$d")" s.json && echo mine
    }}
    with_lock s.json steps "$0"
    """
    done = HELPERS.bash(script, cwd=path.parent, env={"ATOMICOPS_LOCK_TIMEOUT": "1"})
    assert json.loads(path.read_text()) == {"n": len(done.out.split())}, done
    assert done.out, done


def test_the_lock_file_goes_while_jq_works(path: Path) -> None:
    programs = path.parent / "programs"
    programs.mkdir()
    (programs / "jq").write_text('#!/bin/sh\nrm -f .s.json.lock\nPATH=${PATH#*:}\nexec jq "$@"\n')
    (programs / "jq").chmod(0o755)
    script = '. "$0/atomicops.sh"; atomic_update s.json ".n += 1"'
    done = HELPERS.bash(script, cwd=path.parent, env={"PATH": f"{programs}:{os.environ['PATH']}"})
    assert done.code == 75, done
    assert json.loads(path.read_text()) == {"n": 0}
    assert HELPERS.increment("bash", path, path.parent).code == 0


def test_the_target_is_replaced_by_somebody_without_the_lock(path: Path) -> None:
    """What was not read is not overwritten."""

    def change(document: dict[str, int]) -> dict[str, int]:
        path.with_name("new").write_text('{"n": 100}')
        path.with_name("new").replace(path)
        return {"n": document["n"] + 1}

    with pytest.raises(OSError, match=r"s\.json"):
        update_json(path, change)
    assert json.loads(path.read_text()) == {"n": 100}


def test_the_lock_file_is_renamed_while_one_waits_for_it(path: Path) -> None:
    """Who has it then by another name has nothing that others meet."""
    lock = path.with_name(LOCK)
    block = file_lock(path)
    with ThreadPoolExecutor(1) as thread:
        with holder(path):
            entered = thread.submit(block.__enter__)
            until_somebody_waits(lock)
            rename_away(lock)
        entered.result(LIMIT_S)
    assert not is_free(lock, 0)
    block.__exit__(None, None, None)
    update_json(path, lambda document: {"n": document["n"] + 1})
    assert is_free(lock, 0)


def until_somebody_waits(lock: Path) -> None:
    """In flock(2), as /proc/locks has it."""
    number = f":{lock.stat().st_ino} "
    end = time.monotonic() + LIMIT_S
    while not any("->" in line and number in line for line in Path("/proc/locks").read_text().splitlines()):
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("operation", ["write", "append", "append in place", "backup"])
def test_all_descriptors_are_closed_under_a_file_lock(path: Path, operation: str) -> None:
    """As programs do that become daemons: the lock goes with its descriptor, and the next block would not know."""
    code = f"""if True:
        import os, sys, atomicops
        path = sys.argv[1]
        block = atomicops.file_lock(path)
        block.__enter__()
        os.closerange(3, 100)
        try:
            {CHANGES[operation]}
        except atomicops.LockLost:
            print("lost", flush=True)
        os._exit(0)
        """
    done = HELPERS.run([HELPERS.python, "-c", code, str(path)], cwd=path.parent)
    assert (done.out, json.loads(path.read_text())) == ("lost\n", {"n": 0}), done
    assert not list(path.parent.glob("*.bak"))


_NESTED = "with block(): os.closerange(3, 100)"
_CAUGHT = f"""try:
                    {_NESTED}
                except atomicops.LockLost:
                    os.write(1, b"inside, ")
                """


@pytest.mark.parametrize(
    ("inner", "said"), [("os.closerange(3, 100)", ""), (_NESTED, ""), (_CAUGHT, "inside, ")], ids=["one", "two", "both"]
)
def test_a_block_that_lost_its_lock_says_so_at_its_end(path: Path, inner: str, said: str) -> None:
    """A bare EBADF, or nothing, would not tell that others may have come into the block."""
    code = f"""if True:
        import os, sys, atomicops
        block = lambda: atomicops.file_lock(sys.argv[1])
        try:
            with block():
                {inner}
        except atomicops.LockLost as error:
            with block():  # one can begin anew
                print(error.filename, flush=True)
        """
    done = HELPERS.run([HELPERS.python, "-c", code, str(path)], cwd=path.parent)
    assert (done.code, done.out, done.err) == (0, f"{said}{path}\n", ""), done


def test_the_target_is_changed_in_place_within_the_same_second(path: Path) -> None:
    """By something that takes no lock, while jq works. Same inode, same size: only a fraction of a second tells."""
    programs = path.parent / "programs"
    programs.mkdir()
    changes = "import os; s = os.stat('s.json'); os.utime('s.json', ns=(s.st_atime_ns, s.st_mtime_ns ^ 1 << 20))"
    (programs / "jq").write_text(f'#!/bin/sh\n"{sys.executable}" -S -c "{changes}"\nPATH=${{PATH#*:}}\nexec jq "$@"\n')
    (programs / "jq").chmod(0o755)
    os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_500_000_000))
    script = '. "$0/atomicops.sh"; atomic_update s.json ".n += 1"'
    done = HELPERS.bash(script, cwd=path.parent, env={"PATH": f"{programs}:{os.environ['PATH']}"})
    assert (done.code, done.refused) == (75, True), done
    assert json.loads(path.read_text()) == {"n": 0}


MEDDLE = """package Meddle;
my @steps;
sub meddle {
    push @steps, $_[0];
    local ($!, $?);
    open my $log, ">", "$ENV{MEDDLE_TOOLS}/steps";
    print $log "@steps";
    close $log;
    "$_[0] " . grep({ $_ eq $steps[-1] } @steps) eq $ENV{MEDDLE_AT} or return;
    my $pid = fork // die; # system would ignore SIGINT meanwhile
    $pid or exec "sh", "-c", $ENV{MEDDLE};
    waitpid $pid, 0;
}
BEGIN {
    no strict "refs";
    *CORE::GLOBAL::syscall = sub { meddle("sync") if $_[0] == $::CALL{fsync}; CORE::syscall(shift, @_) };
    *CORE::GLOBAL::rename = sub { meddle("rename"); CORE::rename($_[0], $_[1]) };
    *CORE::GLOBAL::readdir = sub { meddle("list"); CORE::readdir($_[0]) };
}
1;
"""


class Meddling:
    """Bash helpers that are held up at one of their steps (the first or nth), while a shell does something else.

    The steps: ``sync``, when the new content is complete; ``rename``, when all has been proved; ``list``, when one
    looks for backups.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = folder / "tools"
        self.tools.mkdir()
        (self.tools / "Meddle.pm").write_text(MEDDLE)
        perl = self.tools / "perl"
        perl.write_text(f'#!/bin/sh\nexec {shutil.which("perl")} -I{self.tools} -MMeddle "$@"\n')
        perl.chmod(0o755)

    def call(self, call: str, step: str, meanwhile: str, nth: int = 1) -> Done:
        env = {
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "MEDDLE": f"PATH=${{PATH#*:}}; {meanwhile}",
            "MEDDLE_AT": f"{step} {nth}",
            "MEDDLE_TOOLS": str(self.tools),
            "S": str(HELPERS.shell),
        }
        return HELPERS.bash(f'. "$0/atomicops.sh"; {call}', cwd=self.folder, env=env)

    def steps(self) -> list[str]:
        """Those of the last call."""
        return (self.tools / "steps").read_text().split()


VERSION = "atomic_write --if-version $(atomic_version {0}) 3 {0}"
READERS = {
    "a write of a version": VERSION.format("s.json"),
    "append": "atomic_append ' ' s.json",
    "append, not JSON": "atomic_append x log",
    "update": "atomic_update s.json '.n += 1'",
    "recover": "atomic_recover torn.json",
}
CREATORS = {
    "a write of absence": "atomic_write --if-version absent 3 new.json",
    "append": "atomic_append 3 new.json",
    "update": "atomic_update --default 3 new.json .",
    "recover": "atomic_recover --restore-missing new.json",
}
CHANGED = {
    "in size, not in time": "touch -r $f ref; printf ' ' >>$f; touch -r ref $f",
    "in time, not in size": "touch -d @1700000000.25 $f",
    "to another file": "cp -p $f copy; mv copy $f",
    "to nothing": "rm $f",
}


@pytest.fixture
def meddling(path: Path) -> Meddling:
    (path.parent / "log").write_text("old\n")
    (path.parent / "torn.json").write_text("{")
    for name in ("torn", "new"):
        (path.parent / f"{name}.json.1.bak").write_text("{}")
    for name in ("s.json", "log", "torn.json"):
        os.utime(path.parent / name, ns=(1_700_000_000_000_000_000, 1_700_000_000_500_000_000))
    return Meddling(path.parent)


def contents(folder: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in folder.iterdir() if one.is_file() and ".lock" not in one.name}


@pytest.mark.parametrize("change", CHANGED)
@pytest.mark.parametrize("reader", READERS)
def test_what_has_been_read_is_changed_by_something_without_the_lock(
    meddling: Meddling, reader: str, change: str
) -> None:
    """What was not read is not overwritten: any sign of a change will do."""
    name = READERS[reader].split()[-1] if reader != "update" else "s.json"
    before = contents(meddling.folder)
    done = meddling.call(READERS[reader], "sync", f"f={name}; cat $f >seen; {CHANGED[change]}; cat $f >seen 2>&1")
    assert (done.code, done.refused, "changed meanwhile" in done.err) == (75, True, True), done
    after = contents(meddling.folder)
    assert after.get(name) == (None if change == "to nothing" else after["seen"])
    added = {name for name in after if name not in before} - {"seen", "ref"}
    assert {name.rpartition(".")[2] for name in added} <= {"corrupt"}, added


@pytest.mark.parametrize("creator", CREATORS)
def test_what_was_missing_is_made_by_something_without_the_lock(meddling: Meddling, creator: str) -> None:
    done = meddling.call(CREATORS[creator], "sync", "echo theirs >new.json")
    assert (done.code, done.refused) == (75, True), done
    assert (meddling.folder / "new.json").read_text() == "theirs\n"


@pytest.mark.parametrize(
    "mending",
    [
        "printf 5 >torn.json",
        "touch -r torn.json ref; printf '[1]' >torn.json; touch -r ref torn.json",
        "printf 5 >new; touch -r torn.json new; mv new torn.json",
    ],
    ids=["in time, not in size", "in size, not in time", "to another file"],
)
def test_a_corrupt_file_is_mended_while_one_looks_for_its_backups(meddling: Meddling, mending: str) -> None:
    done = meddling.call("atomic_recover torn.json", "list", mending)
    assert (done.code, done.refused) == (75, True), done
    assert (meddling.folder / "torn.json").read_text() in ("5", "[1]")


CHANGERS = {**READERS, "write": "atomic_write 3 s.json", "backup": "atomic_backup s.json"}


@pytest.mark.parametrize("away", ["rm .*.lock", "for l in .*.lock; do : >new; mv new $l; done"])
@pytest.mark.parametrize("operation", CHANGERS)
def test_the_lock_file_goes_when_the_content_is_complete(meddling: Meddling, operation: str, away: str) -> None:
    before = contents(meddling.folder)
    done = meddling.call(CHANGERS[operation], "sync", away)
    assert (done.code, done.refused, "its lock was removed" in done.err) == (75, True, True), done
    assert contents(meddling.folder) == before


@pytest.mark.parametrize("operation", CHANGERS)
def test_the_temp_file_goes_when_the_content_is_complete(meddling: Meddling, operation: str) -> None:
    before = contents(meddling.folder)
    done = meddling.call(CHANGERS[operation], "sync", "rm .*-tmp; echo theirs >.temp; mv .temp temp")
    assert (done.code, done.refused, "its temp file was removed" in done.err) == (75, True, True), done
    assert contents(meddling.folder) == {**before, "temp": "theirs\n"}


@pytest.mark.parametrize("number", ["TERM", "INT", "HUP", "ALRM", "USR1", "XCPU"])
def test_a_signal_comes_in_time_or_too_late(meddling: Meddling, number: str) -> None:
    """Before the rename it is as if nothing had been; at it, all is done."""
    before = contents(meddling.folder)
    late = meddling.call("atomic_write 3 s.json", "rename", f"kill -{number} $PPID")
    assert (late.code, contents(meddling.folder)) == (0, {**before, "s.json": "3\n"}), late
    early = meddling.call("atomic_write 4 s.json", "sync", f"kill -{number} $PPID")
    assert (early.code, contents(meddling.folder)) == (
        128 + signal.Signals[f"SIG{number}"],
        {**before, "s.json": "3\n"},
    )


@pytest.mark.parametrize("number", ["TERM", "HUP", "PIPE"])
def test_a_signal_that_the_caller_ignores_is_ignored(meddling: Meddling, number: str) -> None:
    """As nohup(1) has it."""
    done = meddling.call(f"trap '' {number}; atomic_write 3 s.json", "sync", f"kill -{number} $PPID")
    assert (done.code, (meddling.folder / "s.json").read_text()) == (0, "3\n"), done


def test_a_signal_after_a_restore_comes_too_late(meddling: Meddling) -> None:
    """Here while the safety backup is made: what was restored is told, and all is done."""
    done = meddling.call("atomic_recover torn.json --backup", "sync", "kill -TERM $PPID", nth=5)
    assert done.code == 0, done
    assert "restored from" in done.out
    assert "safety backup" in done.out


@pytest.mark.parametrize(("durability", "write", "backup"), [("full", 2, 3), ("file", 1, 2), ("none", 0, 0)])
def test_what_is_synced(meddling: Meddling, durability: str, write: int, backup: int) -> None:
    """The file, also when its time has been put behind that of another backup, and the directory."""
    ahead = meddling.folder / "s.json.1.bak"
    ahead.write_text("1")
    os.utime(ahead, (time.time() + 1000, time.time() + 1000))
    for call, syncs in (("atomic_write 3 s.json", write), ("atomic_backup s.json", backup)):
        (meddling.tools / "steps").write_text("")
        done = meddling.call(f"export ATOMICOPS_DURABILITY={durability}; {call}", "none", "")
        assert (done.code, meddling.steps().count("sync")) == (0, syncs), done


def test_a_lock_of_the_same_name_in_another_folder_is_another(path: Path) -> None:
    script = """
    . "$0/atomicops.sh"
    f() { atomic_write 2 other/s.json && (atomic_append ' ' other/s.json) && with_lock other/s.json true; }
    mkdir other && with_lock s.json f
    """
    done = HELPERS.bash(script, cwd=path.parent, env={"ATOMICOPS_LOCK_TIMEOUT": "1"})
    assert (done.code, done.err, (path.parent / "other" / "s.json").read_text()) == (0, "", "2\n \n")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("step", ["sync", "rename"])
def test_a_temp_file_is_its_writers_without_a_lock_file_too(meddling: Meddling, step: str, language: str) -> None:
    """The lock of its own content keeps a sweep away."""
    sweep = {
        "python": f"{sys.executable} -m atomicops sweep .",
        "bash": "bash -c '. \"$S/atomicops.sh\"; atomic_sweep .'",
    }[language]
    done = meddling.call("atomic_write 3 s.json", step, f"rm .s.json.lock; {sweep} >swept")
    assert done.code == (0 if step == "rename" else 75), done
    (line,) = (meddling.folder / "swept").read_text().splitlines()
    assert "removed" not in line


def in_child(action: Callable[[], None], fork: Callable[[], int] = os.fork) -> int:
    """The exit code of a child of fork: 0, or 1 where the action raises OSError or RuntimeError."""
    child = fork()
    if not child:
        code = 2
        try:
            action()
            code = 0
        except (OSError, RuntimeError):
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_of_fork_inside_the_block_has_no_lock(path: Path) -> None:
    def in_the_block() -> None:
        update_json(path, lambda d: {"n": d["n"] + 1}, timeout=0.2)

    with file_lock(path):
        assert in_child(in_the_block) == 1
        update_json(path, lambda d: {"n": d["n"] + 1})
    assert json.loads(path.read_text()) == {"n": 1}


def test_neither_has_a_child_that_python_does_not_know_of(path: Path) -> None:
    with file_lock(path):
        assert in_child(lambda: atomic_write_json({"n": 100}, path, timeout=0), ctypes.CDLL(None).fork) == 1
        update_json(path, lambda document: {"n": document["n"] + 1})
    assert json.loads(path.read_text()) == {"n": 1}


def test_a_child_of_fork_inside_of_an_update_does_not_commit(path: Path) -> None:
    """It returns into the middle of its parent's operation, whose lock and temp file are not its own."""
    children = []

    def change(document: dict[str, int]) -> dict[str, int]:
        child = os.fork()
        children.append(child)
        return {"n": document["n"] + (1 if child else 100)}

    parent = os.getpid()
    try:
        update_json(path, change)
    except OSError:
        if os.getpid() == parent:
            raise
    if os.getpid() != parent:
        os._exit(0)
    os.waitpid(children[0], 0)
    assert json.loads(path.read_text()) == {"n": 1}
    assert [name for name in os.listdir(path.parent) if name.endswith("tmp")] == []


@pytest.mark.parametrize("nested", [False, True])
def test_a_lock_left_in_another_thread(path: Path, nested: bool) -> None:
    """Leaving it there works or raises; afterwards every thread waits for whoever has the lock, and goes on."""
    with ThreadPoolExecutor(1) as a, ThreadPoolExecutor(1) as b:
        lock = file_lock(path)
        a.submit(lock.__enter__).result(LIMIT_S)
        if nested:
            a.submit(update_json, path, lambda d: d, timeout=2).result(LIMIT_S)
        try:
            b.submit(lock.__exit__, None, None, None).result(LIMIT_S)
        except (RuntimeError, OSError):
            a.submit(lock.__exit__, None, None, None).result(LIMIT_S)
        for thread in (a, b):
            for name in (path, path.with_name("another.json")):
                thread.submit(update_json, name, lambda d: d, default={"n": 0}, timeout=2).result(LIMIT_S)
        assert is_free(path.with_name(LOCK), 0)
        with holder(path):
            for thread in (a, b):
                with pytest.raises(LockTimeout):
                    thread.submit(update_json, path, lambda d: d, timeout=0.1).result(LIMIT_S)


def test_a_thread_that_ended_with_the_lock_does_not_keep_the_next_out(path: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        lock = file_lock(path)
        thread.submit(lock.__enter__).result(LIMIT_S)
    try:
        lock.__exit__(None, None, None)
    except (RuntimeError, OSError):
        pass
    del lock
    update_json(path, lambda d: {"n": 1}, timeout=2)


class holder:
    """Another process that has the lock for the length of a block."""

    def __init__(self, path: Path) -> None:
        code = (
            "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print(1, flush=True); sys.stdin.read()"
        )
        self.command = [sys.executable, "-S", "-c", code, str(path.with_name(f".{path.name}.lock"))]

    def __enter__(self) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def test_with_lock_and_exec_keeps_the_lock_as_long_as_the_program(path: Path) -> None:
    """``exec`` leaves no shell that could hold it: either the program has it, or it is refused."""
    script = '. "$0/atomicops.sh"; with_lock s.json exec sh -c "echo in; read x"'
    child = subprocess.Popen(
        ["bash", "-c", script, str(HELPERS.shell)], cwd=path.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    entered = child.stdout.readline() == "in\n"
    free = is_free(path.with_name(LOCK), 0)
    child.communicate("\n", timeout=LIMIT_S)
    assert not (entered and free)
    assert is_free(path.with_name(LOCK), 1)


@pytest.mark.parametrize(
    "how", ["exit 3", "return 3", "kill -TERM $$", "kill -HUP $$", "set -e; false", "set -u; : $nothing"]
)
def test_no_path_out_of_with_lock_leaves_the_lock(path: Path, how: str) -> None:
    script = f'. "$0/atomicops.sh"; f() {{ {how}; }}; with_lock s.json f; flock -n .s.json.lock true && echo free'
    done = HELPERS.bash(script, cwd=path.parent)
    assert done.out == "free\n" or done.code != 0
    assert is_free(path.with_name(LOCK), 0)


def test_a_killed_holder_frees_the_lock(path: Path) -> None:
    code = "import atomicops, sys, time\nwith atomicops.file_lock(sys.argv[1]): print('in', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, env=HELPERS.environment())
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    atomic_write_text("{}", path, timeout=10)
