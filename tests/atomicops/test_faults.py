"""A fault at every system call of every helper: an error, or a kill, injected by strace(1).

Each operation runs once undisturbed, to learn its system calls, and then once for each of them and each fault.
Afterwards the target is old or new; an error was raised exactly when the outcome was not "new and durable"; and nothing
but a temp file that a sweep removes is left, no lock held, the next write as good as any.

By default every system call gets one kill and one of the errors in turn. ``ATOMICOPS_FAULTS=all`` gives it all of them,
and ``ATOMICOPS_FAULTS_TABLE=FILE`` adds the counts to a file.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

import atomicops

STRACE = shutil.which("strace")
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EINTR")
OLD = '{"old": 1}\n'
NEW = '{"new": 1}\n'

# name: what the target is before, what is done, what it is afterwards
OPERATIONS = {
    "write": (OLD, 'atomicops.atomic_write_json({"new": 1}, p)', NEW),
    "create": (None, 'atomicops.atomic_write_json({"new": 1}, p)', NEW),
    "update": (OLD, 'atomicops.update_json(p, lambda d: {"new": d["old"]})', NEW),
    "swap": (OLD, "atomicops.atomic_write_text('{\"new\": 1}\\n', p, if_version=v)", NEW),
    "append": (OLD, 'atomicops.atomic_append_text("\\n", p)', OLD + "\n"),
    "append in place": (OLD, 'atomicops.atomic_append_text("\\n", p, in_place=True)', OLD + "\n"),
    "backup": (OLD, 'atomicops.create_backup(p, "s")', OLD),
    "recover": ("{", "atomicops.recover(p)", NEW),
}

# Does the operation somewhere else first, so that everything is imported, and then between two calls of getppid.
DRIVER = """if True:
    import os, sys
    sys.path.insert(0, sys.argv[1])
    import atomicops

    def operate(p):
        v = atomicops.read_json(p).version if "if_version" in sys.argv[4] else None
        os.getppid()
        exec(sys.argv[4], {"atomicops": atomicops, "p": p, "v": v})

    operate(sys.argv[2])
    try:
        operate(sys.argv[3])
        said = "done"
    except atomicops.CommittedNotDurable:
        said = "not durable"
    except OSError as error:
        said = "error"
        assert error.filename in (sys.argv[3], sys.argv[3] + ".1.bak"), error.filename
    os.getppid()
    os.write(1, said.encode())
    """

CALLS = (
    "openat,?open,read,write,close,fsync,fdatasync,flock,?rename,renameat,renameat2,?link,linkat,?unlink,unlinkat,?mkdir,"
    "mkdirat,?stat,fstat,?newfstatat,?lstat,statx,fchmod,fchown,?listxattr,llistxattr,flistxattr,getxattr,lgetxattr,"
    "fgetxattr,setxattr,fsetxattr,removexattr,fremovexattr,getrandom,ioctl,copy_file_range,ftruncate,lseek,getdents64,"
    "pread64,?readlink,readlinkat,getppid"
)


class Call(NamedTuple):
    """One system call of the operation: its name, and the how-manieth of that name it is in the whole process."""

    name: str
    nth: int
    line: str


class Outcome(NamedTuple):
    said: str  # "done", "not durable", "error" or "killed"
    calls: list[Call]  # those between the marks
    injected: str  # the line of the trace with the fault


class Scene:
    """A folder with the target as it is before the operation."""

    def __init__(self, folder: Path, operation: str) -> None:
        self.before, self.code, self.after = OPERATIONS[operation]
        self.operation = operation
        self.path = folder / "target" / "x.json"
        self.rehearsal = folder / "rehearsal" / "x.json"
        self.trace = folder / "trace"
        for path in (self.path, self.rehearsal):
            path.parent.mkdir(parents=True)
            if self.before is not None:
                path.write_text(self.before)
            (path.parent / ".x.json.lock").touch()
            if operation == "recover":
                (path.parent / "x.json.1.bak").write_text(NEW)

    def run(self, fault: str | None = None) -> Outcome:
        package = str(Path(atomicops.__file__).parent.parent)
        command = [str(STRACE), "-f", "-q", "-o", str(self.trace), "-e", f"trace={CALLS}", "-e", "signal=none"]
        if fault:
            command += ["-e", f"inject={fault}"]
        command += [
            sys.executable,
            "-I",
            "-S",
            "-B",
            "-c",
            DRIVER,
            package,
            str(self.rehearsal),
            str(self.path),
            self.code,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        calls, injected = read_trace(self.trace.read_text())
        return Outcome(done.stdout or "killed", calls, injected)


def read_trace(text: str) -> tuple[list[Call], str]:
    counts: Counter[str] = Counter()
    calls: list[Call] = []
    marks = 0
    injected = ""
    for row in text.splitlines():
        match = re.match(r"\d+ +(\w+)\(", row)
        if not match:
            continue
        name = match[1]
        counts[name] += 1
        if name == "getppid":
            marks += 1
        elif marks == 2:
            calls.append(Call(name, counts[name], row))
        if "(INJECTED)" in row:
            assert marks == 2, f"the fault missed the operation: {row}"
            injected = row
    return calls, injected


def state(scene: Scene) -> str:
    """``old`` or ``new``, or what is wrong."""
    text = scene.path.read_text() if scene.path.exists() else None
    if scene.operation == "backup":
        assert text == OLD
        backup = scene.path.parent / "x.json.s.bak"
        if backup.exists():
            assert backup.read_text() == OLD
            return "new"
        return "old"
    if scene.operation == "recover":
        evidence = list(scene.path.parent.glob("*.corrupt"))
        assert all(kept.read_text() == "{" for kept in evidence)
        assert evidence or text == "{", "the corrupt bytes are gone"
    if text == scene.after:
        return "new"
    assert text == scene.before, f"neither old nor new: {text!r}"
    return "old"


def check(scene: Scene, outcome: Outcome, fault: str) -> None:
    """The promise, for one run."""
    now = state(scene)
    if outcome.said == "done":
        assert now == "new"
        synced = [call.line for call in outcome.calls if call.name == "fsync" and call.line.endswith("= 0")]
        assert len(synced) >= (1 if scene.operation == "append in place" else 2), "success without its syncs"
        assert not ("fsync" in outcome.injected and "EINTR" not in outcome.injected), "a failed sync was tried again"
    elif outcome.said == "not durable":
        assert now == "new"
        assert "fsync" in outcome.injected
    elif outcome.said == "error":
        assert now == "old"
    else:
        assert "KILL" in fault
    folder = scene.path.parent
    temps = [name for name in os.listdir(folder) if name.endswith(".atomicops-tmp")]
    if outcome.said != "killed" and not outcome.injected.split("(")[0].endswith(("unlink", "unlinkat")):
        assert temps == []
    assert len(atomicops.sweep_orphans(folder).removed) == len(temps)
    known = {"x.json", ".x.json.lock", "x.json.1.bak", "x.json.s.bak"}
    left = {name for name in os.listdir(folder) if not name.endswith(".corrupt")} - known
    assert left == set()
    atomicops.atomic_write_json({}, scene.path, timeout=0)


def faults_of(call: Call, index: int, every: bool) -> list[str]:
    kinds = ERRORS if every else (ERRORS[index % len(ERRORS)],)
    return [
        f"{call.name}:signal=KILL:when={call.nth}",
        *(f"{call.name}:error={kind}:when={call.nth}" for kind in kinds),
    ]


@pytest.fixture(scope="module")
def injection(tmp_path_factory: pytest.TempPathFactory) -> None:
    if STRACE is None:
        pytest.skip("strace is not installed")
    probe = [STRACE, "-e", "inject=getppid:error=EIO", sys.executable, "-S", "-c", "import os; os.getppid()"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode or "INJECTED" not in done.stderr:
        pytest.skip(f"strace cannot inject faults here: {done.stderr.strip().splitlines()[-1:]}")


@pytest.mark.usefixtures("injection")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_at_every_system_call(tmp_path: Path, operation: str) -> None:
    every = os.environ.get("ATOMICOPS_FAULTS") == "all"
    undisturbed = Scene(tmp_path / "undisturbed", operation)
    first = undisturbed.run()
    assert first.said == "done", first.said
    assert len(first.calls) > 10
    check(undisturbed, first, "")
    plan = [fault for index, call in enumerate(first.calls) for fault in faults_of(call, index, every)]

    def attempt(numbered: tuple[int, str]) -> tuple[str, str]:
        number, fault = numbered
        scene = Scene(tmp_path / str(number), operation)
        outcome = scene.run(fault)
        assert outcome.injected or outcome.said == "killed", f"{fault}: not injected"
        try:
            check(scene, outcome, fault)
        except AssertionError as error:
            raise AssertionError(f"{operation}, {fault}, {outcome.said}: {error}\n{outcome.injected}") from error
        shutil.rmtree(tmp_path / str(number))
        return fault.split(":")[1], outcome.said

    with ThreadPoolExecutor(2) as pool:
        counts = Counter(pool.map(attempt, enumerate(plan)))
    assert sum(counts.values()) == len(plan)
    assert counts["signal=KILL", "killed"] == len(first.calls)
    assert any(said == "error" for _, said in counts)
    table = os.environ.get("ATOMICOPS_FAULTS_TABLE")
    if table:
        with open(table, "a") as file:
            file.write(f"{operation}: {len(first.calls)} system calls, {len(plan)} faults\n")
            file.writelines(f"  {fault} {said}: {count}\n" for (fault, said), count in sorted(counts.items()))


def test_the_traces_of_this_test_are_read_right() -> None:
    text = "1 read(3) = 1\n1 getppid() = 1\n1 read(4) = 1\n1 getppid() = 1\n1 read(5) = -1 EIO (INJECTED)\n"
    calls, injected = read_trace(text)
    assert [(call.name, call.nth) for call in calls] == [("read", 3)]
    assert injected == "1 read(5) = -1 EIO (INJECTED)"
    assert ast.parse(DRIVER)
