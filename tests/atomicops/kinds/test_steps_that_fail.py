"""A step that fails is an error in either language, and the advice is that of the step. All of them: the fault table.

Here are those that a fault injected into a system call does not show: real mounts, full disks, missing rights.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.atomicops.both import LANGUAGES, Done, Helpers
from tests.atomicops.faults.inject import STRACE, cannot_inject
from tests.atomicops.faults.scene import Operation
from tests.atomicops.faults.table import Bench

OLD, NEW = '{"n": 1}\n', '{"n": 2}'


def in_a_namespace(folder: Path, setup: str) -> Helpers:
    """Helpers whose mounts are their own, and go with them; ``setup`` is done before each call."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("to mount takes root")
    helpers = Helpers(prefix=("unshare", "-m", "--propagation", "private", "sh", "-ec", f'{setup}; exec "$@"', "sh"))
    if helpers.run(["true"], cwd=folder).code != 0:
        pytest.skip("this container may not mount, or its tmpfs has no attributes")
    return helpers


def injecting(*what: str) -> Helpers:
    if (why := cannot_inject()) is not None:
        pytest.skip(why)
    return Helpers(prefix=(STRACE, "-qq", "-f", "-o", os.devnull, *(word for one in what for word in ("-e", one))))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "app.json").write_text(OLD)
    return tmp_path / "app.json"


WRITERS = {
    "write": ("write", NEW, "app.json"),
    "append": ("append", " ", "app.json"),
    "recover": ("recover", "app.json"),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_is_a_mount_point(path: Path, language: str, writer: str) -> None:
    """As a container has it whose configuration is one bind-mounted file: rename(2) gives EBUSY."""
    (path.parent / "host.json").write_text("{torn" if writer == "recover" else OLD)
    (path.parent / "app.json.1.bak").write_text(NEW)
    helpers = in_a_namespace(path.parent, "mount --bind host.json app.json")
    done = helpers.call(language, *WRITERS[writer], cwd=path.parent)
    assert done.refused, done
    assert "mount" in done.err
    assert "directory" in done.err  # what helps: to mount that
    assert done.code == 73, done
    assert (path.parent / "host.json").read_text() == ("{torn" if writer == "recover" else OLD)
    assert [name for name in os.listdir(path.parent) if name.endswith("-tmp")] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_read_only_mount(path: Path, language: str, writer: str) -> None:
    inner = path.parent / "ro"
    inner.mkdir()
    (inner / "app.json").write_text("{torn" if writer == "recover" else OLD)
    (inner / "app.json.1.bak").write_text(NEW)
    helpers = in_a_namespace(path.parent, "mount --bind ro ro; mount -o remount,ro,bind ro; cd ro")
    done = helpers.call(language, *WRITERS[writer], cwd=path.parent)
    assert (done.code, done.refused) == (73, True), done
    assert "ead-only" in done.err


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("letter", ["i", "a"])
@pytest.mark.parametrize("what", ["app.json", "."])
def test_what_no_mode_forbids_but_chattr(path: Path, language: str, letter: str, what: str) -> None:
    """EPERM, though all may be written: to make it writable, as would be said of EACCES, is no help."""
    (path.parent / "small").mkdir()
    files = "echo '{}' >app.json; : >.app.json.lock"
    helpers = in_a_namespace(
        path.parent, f"mount -t tmpfs tmpfs small; cd small; {files}; chattr +{letter} {what} 2>&-"
    )
    done = helpers.call(language, "write", NEW, "app.json", cwd=path.parent)
    assert (done.code, done.refused) == (73, True), done
    advice = message(done).rpartition("; ")[2]
    assert f"chattr -{letter}" in advice
    assert ("directory" in advice) == (what == ".")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_full_file_system(path: Path, language: str) -> None:
    (path.parent / "small").mkdir()
    helpers = in_a_namespace(path.parent, "mount -t tmpfs -o size=64k tmpfs small; cd small; printf old >f")
    big = "x" * 100_000
    script = '"$@"; code=$?; printf "%s " "$(cat f)" $(ls -A | grep -c tmp); exit $code'
    command = [helpers.python, "-m", "atomicops", "write", "-", "f"]
    if language == "bash":
        command = ["bash", "-c", '. "$0/atomicops.sh"; atomic_write - f', str(helpers.shell)]
    done = helpers.run(["sh", "-c", script, "sh", *command], cwd=path.parent, stdin=big.encode())
    assert (done.code, done.out) == (74, "old 0 "), done
    assert "space" in done.err


@pytest.mark.parametrize(("verb", "error"), [("set", "ENOSPC"), ("get", "EIO")])
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_acl_that_cannot_be_kept_is_an_error(path: Path, language: str, verb: str, error: str) -> None:
    """A full disk, and no block left for the list, or one that cannot be read: whoever it names would lose his access."""
    if shutil.which("setfacl") is None:
        pytest.skip("setfacl is missing: install the package acl")
    calls = ",".join(f"{kind}{verb}xattr" for kind in ("", "f", "l"))
    helpers = injecting(f"trace={calls}", f"inject={calls}:error={error}")
    path.chmod(0o600)
    acl = "u:5001:rw,g::---"
    if Helpers().run(["setfacl", "-m", acl, "app.json"], cwd=path.parent).code:
        pytest.skip("no access control lists on this file system")
    before = Helpers().run(["getfacl", "-cp", "app.json"], cwd=path.parent).out
    done = helpers.call(language, "write", NEW, "app.json", cwd=path.parent)
    assert (done.code, done.refused, path.read_text()) == (74, True, OLD), done
    assert Helpers().run(["getfacl", "-cp", "app.json"], cwd=path.parent).out == before


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("error", ["EINVAL", "EOPNOTSUPP", "ENOSYS"])
def test_a_file_system_that_does_not_sync_directories(path: Path, language: str, error: str) -> None:
    helpers = injecting("trace=fsync,fdatasync", f"inject=fsync,fdatasync:error={error}")
    prefix = (*helpers.prefix, "-P", str(path.parent))
    helpers = Helpers(prefix=prefix)
    operations = (("write", NEW, "app.json"), ("append", "x", "log"), ("backup", "app.json"))
    for operation, *arguments in operations if error == "EINVAL" else operations[1:2]:
        done = helpers.call(language, operation, *arguments, cwd=path.parent)
        assert (done.code, done.err) == (0, ""), (operation, done)
    assert (path.parent / "log").read_text() == "x\n"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("operation", ["write", "append"])
def test_committed_but_not_durable_is_not_to_be_done_again(path: Path, language: str, operation: str) -> None:
    helpers = Helpers(prefix=(*injecting("trace=fsync", "inject=fsync:error=EIO").prefix, "-P", str(path.parent)))
    done = helpers.call(language, operation, "1", "log", cwd=path.parent)
    assert done.code == 74, done
    assert "may not survive" in done.err
    assert not any(word in done.err for word in ("again", "retry")), done.err
    assert (path.parent / "log").read_text() == "1\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lock_that_cannot_be_opened_is_named(path: Path, language: str) -> None:
    for make in (Path.mkdir, lambda lock: lock.symlink_to("elsewhere"), lambda lock: os.mkfifo(lock)):
        lock = path.parent / ".app.json.lock"
        make(lock)
        done = Helpers().call(language, "write", NEW, "app.json", cwd=path.parent, timeout_s=1)
        assert (done.code, done.refused, path.read_text()) == (73, True, OLD), done
        assert ".app.json.lock" in done.err
        lock.rmdir() if lock.is_dir() and not lock.is_symlink() else lock.unlink()


def message(done: Done) -> str:
    return done.err.removeprefix("atomicops: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("write", "1", "folder"), 73, "directory"),
        (("write", "1", "app.json/x"), 73, "app.json"),
        (("write", "1", "n" * 300), 73, "long"),
        (("read", "none/x"), 66, "none/x"),
        (("backup", "none/x"), 66, "none/x"),
        (("recover", "none/x"), 66, "none/x"),
        (("append", "1", "loop"), 73, "loop"),
        (("write", "1", ""), 64, "empty"),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_message_names_what_is_wrong(
    path: Path, language: str, arguments: tuple[str, ...], code: int, word: str
) -> None:
    (path.parent / "folder").mkdir()
    (path.parent / "loop").symlink_to("loop")
    done = Helpers().call(language, *arguments, cwd=path.parent)
    assert (done.code, done.refused) == (code, True), done
    assert word in message(done)


NOT_SYNCED = Operation(
    "write, not synced",
    ("write", "--durability", "none", "-", "x.json"),
    ("eval", "ATOMICOPS_DURABILITY=none atomic_write - x.json"),
    syncs=(),
)
QUOTA = {"EDQUOT": "free some of your quota and try again", "EIO": "check the disk and try again"}


@pytest.mark.parametrize("process", ["python", "perl"])
@pytest.mark.parametrize("error", QUOTA)
def test_what_is_not_synced_may_fail_when_it_is_closed(tmp_path: Path, process: str, error: str) -> None:
    """As NFS tells that a quota is full."""
    if (why := cannot_inject()) is not None:
        pytest.skip(why)
    with Bench(tmp_path, width=1) as bench:
        (step,) = (step for step in bench.learn(NOT_SYNCED, process) if (step.name, step.nth) == ("close temp", 1))
        scene, run = bench.run(NOT_SYNCED, process, step, error)
        assert str(scene.outcome(run, process)) == f"old 74 | {QUOTA[error]}"
