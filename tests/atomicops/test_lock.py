"""The lock: exclusive between processes, threads and languages; re-entrant; safe across fork; never removed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import atomicops
from atomicops import _carriers, _wait

JOIN_S = 60


@contextmanager
def process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process, which is gone when the block is left."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


HOLDER = """if True:
    import sys, atomicops
    with atomicops.file_lock(sys.argv[1]):
        print("have it", flush=True)
        sys.stdin.readline()
    """


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def tell(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def is_free(path: Path) -> bool:
    """Asked with a bare flock, as anybody else would."""
    fd = os.open(path.parent / f".{path.name}.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def descriptors() -> list[int]:
    """Those that this process has of lock files."""
    carriers = [carrier for reference in list(_carriers.carriers) if (carrier := reference()) is not None]
    return [carrier.own.fileno() for carrier in carriers if carrier.own is not None and not carrier.own.closed]


def test_a_timeout_is_an_error_of_its_own_and_nothing_was_written(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomicops.atomic_write_json({"old": 1}, path)
    backup = Path(atomicops.create_backup(path))
    with process(HOLDER, path) as child:
        assert line(child) == "have it"
        for action in (
            lambda: atomicops.atomic_write_json({}, path, timeout=0),
            lambda: atomicops.atomic_write_text("{}", path, timeout=0.01),
            lambda: atomicops.atomic_append_text(" ", path, timeout=0),
            lambda: atomicops.atomic_append_text(" ", path, timeout=0, in_place=True),
            lambda: atomicops.update_json(path, lambda data: {}, timeout=0),
            lambda: atomicops.create_backup(path, timeout=0),
            lambda: atomicops.prune_backups(path, 0, timeout=0),
            lambda: atomicops.recover(path, timeout=0),
            lambda: atomicops.file_lock(path, 0).__enter__(),
        ):
            with pytest.raises(atomicops.LockTimeout) as caught:
                action()
            assert isinstance(caught.value, TimeoutError)
            assert (caught.value.errno, caught.value.filename) == (errno.ETIMEDOUT, str(path))
        assert atomicops.safe_read_json(path) == {"old": 1}  # readers do not wait
        assert atomicops.read_json(path).data == {"old": 1}
    assert sorted(os.listdir(tmp_path)) == [".x.json.lock", "x.json", backup.name]


@pytest.mark.parametrize("timeout", [30.0, None])
def test_a_waiter_gets_the_lock_when_it_is_released(tmp_path: Path, timeout: float | None) -> None:
    path = tmp_path / "x"
    with process(HOLDER, path) as child:
        assert line(child) == "have it"
        threading.Timer(0.05, tell, [child]).start()
        with atomicops.file_lock(path, timeout):
            assert not is_free(path)
    assert is_free(path)


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with process(HOLDER, path) as child:
        assert line(child) == "have it"
        child.send_signal(signal.SIGKILL)
        with atomicops.file_lock(path):
            pass


def test_it_is_entered_again_by_the_thread_that_has_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    (tmp_path / "link").symlink_to("x.json")
    lock = atomicops.file_lock(path, 0)
    with lock, lock, atomicops.file_lock(tmp_path / "link", 0):
        atomicops.atomic_write_json({"n": 1}, path, timeout=0)
        atomicops.update_json(tmp_path / "link", lambda data: {"n": data["n"] + 1}, timeout=0)
        with atomicops.file_lock(tmp_path / "other", 0):
            assert not is_free(path)
        assert not is_free(path)
        assert is_free(tmp_path / "other")
    assert is_free(path)
    assert atomicops.safe_read_json(path) == {"n": 2}


def test_an_exception_in_the_block_releases_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomicops.file_lock(tmp_path / "x"):
        raise RuntimeError
    assert is_free(tmp_path / "x")


@pytest.mark.parametrize("shared", [False, True], ids=["a lock object each", "one lock object"])
def test_threads_exclude_each_other(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "x"
    one = atomicops.file_lock(path)
    inside = 0
    most = 0
    rounds = 60

    def work() -> None:
        nonlocal inside, most
        for _ in range(rounds):
            with one if shared else atomicops.file_lock(path), atomicops.file_lock(path):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_S)
    assert (most, inside) == (1, 0)
    assert is_free(path)


def test_a_new_thread_with_an_old_threads_number_does_not_have_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "x"
    outcomes: list[str] = []
    locks = []

    def take() -> None:
        locks.append(atomicops.file_lock(path, 0))
        try:
            locks[-1].__enter__()  # and never leave it
            outcomes.append("entered")
        except atomicops.LockTimeout:
            outcomes.append("timeout")

    for _ in range(5):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join(JOIN_S)
    assert outcomes == ["entered", *["timeout"] * 4]
    locks.clear()  # the lock is his who has the object
    assert is_free(path)


FORK = """if True:
    import os, sys, atomicops
    path, how = sys.argv[1:]

    def in_child():
        try:
            with atomicops.file_lock(path, 0):
                return 1  # it believes that it has the lock
        except atomicops.LockTimeout:
            return 0

    with atomicops.file_lock(path) as lock:
        pid = os.fork()
        if pid == 0 and how == "asks":
            os._exit(in_child())
        if pid == 0 and how == "stays":  # and must not keep the lock alive
            os.write(1, b"child\\n")
            sys.stdin.readline()
            os._exit(0)
        if pid:
            if how != "stays":
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            try:  # another's descriptor: nobody may have released it for us
                import fcntl
                folder, name = os.path.split(path)
                fcntl.flock(os.open(f"{folder}/.{name}.lock", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
                print("released by the child")
            except BlockingIOError:
                os.write(1, b"held\\n")
            if how == "stays":
                os.kill(os.getpid(), 9)
    if pid == 0:  # it has left the block, and with it nothing
        os._exit(0)
    """


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("how", ["asks", "leaves the block"])
def test_a_forked_child_neither_has_nor_releases_the_lock(tmp_path: Path, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path / "x"), how], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("held\n", "", 0)


FORK_DURING_AN_IMPORT = """if True:
    import os, signal, sys, threading, time
    from atomicops import LockTimeout, atomic_write_bytes, file_lock
    part, path = sys.argv[1:]
    begun, ended = threading.Event(), threading.Event()

    class Slow:
        def find_spec(self, module, *_):
            if module == "atomicops." + part:
                begun.set()
                time.sleep(0.2)

    def hold():
        with file_lock(path):
            begun.set()
            ended.wait()

    def write():
        try:
            atomic_write_bytes(b"{}", path, timeout=0.01)
        except LockTimeout:
            pass

    if part == "_wait":  # which is imported by who finds the lock taken
        holder = threading.Thread(target=hold)
        holder.start()
        begun.wait()
        begun.clear()
    sys.meta_path.insert(0, Slow())
    writer = threading.Thread(target=write)
    writer.start()
    begun.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        write()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    ended.set()
    print(os.waitstatus_to_exitcode(status))
    """


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(("part", "name"), [("_wait", "x"), ("_json", "x.json"), ("_parents", "new/x")])
def test_a_child_forked_while_a_part_is_imported_does_not_wait_for_that(tmp_path: Path, part: str, name: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK_DURING_AN_IMPORT, part, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_keep_a_dead_parents_lock_alive(tmp_path: Path) -> None:
    with process(FORK, tmp_path / "x", "stays") as parent:
        assert sorted((line(parent), line(parent))) == ["child", "held"]
        parent.wait(JOIN_S)
        with atomicops.file_lock(tmp_path / "x", JOIN_S):  # the child is still there, with what it inherited
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_release_reaches_descriptors_that_were_copied_without_our_knowledge(tmp_path: Path) -> None:
    """As by a fork from C: the same open file description lives on in another process."""
    path = tmp_path / "x"
    with atomicops.file_lock(path):
        copies = [os.dup(fd) for fd in descriptors()]
    try:
        assert copies
        assert is_free(path)
    finally:
        for fd in copies:
            os.close(fd)


def test_no_descriptor_reaches_a_started_program(tmp_path: Path) -> None:
    with atomicops.file_lock(tmp_path / "x"):
        seen = subprocess.run(
            [sys.executable, "-c", "import os; print(os.listdir('/dev/fd'))"],
            close_fds=False, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert descriptors()
        assert not [fd for fd in descriptors() if f"'{fd}'" in seen and os.get_inheritable(fd)]


def test_a_thousand_acquisitions_leave_one_lock_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with atomicops.file_lock(path):
        inode = (tmp_path / ".x.lock").stat().st_ino
    for _ in range(1000):
        with atomicops.file_lock(path):
            pass
    assert os.listdir(tmp_path) == [".x.lock"]
    assert (tmp_path / ".x.lock").stat().st_ino == inode


def test_the_lock_file_is_neither_truncated_nor_broken_by_age(tmp_path: Path) -> None:
    path = tmp_path / "x"
    lock = tmp_path / ".x.lock"
    lock.write_text("12345\n")
    with process(HOLDER, path) as child:
        assert line(child) == "have it"
        os.utime(lock, (0, 0))
        with pytest.raises(atomicops.LockTimeout):
            atomicops.atomic_write_text("a", path, timeout=0.02)
    atomicops.atomic_write_text("a", path)
    assert lock.read_text() == "12345\n"


def test_a_lock_file_deleted_while_one_waits_is_not_mistaken_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with process(HOLDER, path) as child:
        assert line(child) == "have it"
        got: list[bool] = []

        def wait() -> None:
            with atomicops.file_lock(path, JOIN_S):
                got.append((tmp_path / ".x.lock").exists() and not is_free(path))

        thread = threading.Thread(target=wait)
        thread.start()
        while not descriptors():
            time.sleep(0.001)
        time.sleep(0.05)
        (tmp_path / ".x.lock").unlink()
        tell(child)
        thread.join(JOIN_S)
    assert got == [True]


def test_a_symlink_in_the_place_of_the_lock_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".x.lock").symlink_to("elsewhere")
    with pytest.raises(OSError, match="x") as caught:
        atomicops.atomic_write_text("a", tmp_path / "x")
    assert (caught.value.errno, caught.value.filename) == (errno.ELOOP, str(tmp_path / "x"))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_without_flock_it_fails_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def none(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(OSError, match="no flock") as caught:
        atomicops.atomic_write_text("a", tmp_path / "x")
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "x"))
    assert os.listdir(tmp_path) == [".x.lock"]


def test_a_lock_file_that_may_only_be_read_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's lock file in a shared directory: 0644 less his umask, and not ours to write."""
    path = tmp_path / "x"
    real = os.open

    def denied(name: object, flags: int, *rest: object, **options: object) -> int:
        if os.fsencode(name).endswith(b".lock") and flags & os.O_ACCMODE != os.O_RDONLY:  # type: ignore[arg-type]
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, flags, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(PermissionError) as caught, atomicops.file_lock(path):
        pass
    assert caught.value.filename == str(path)
    fd = real(tmp_path / ".x.lock", os.O_RDWR | os.O_CREAT)
    os.close(fd)
    with atomicops.file_lock(path):
        monkeypatch.undo()
        assert not is_free(path)


def test_a_lock_that_has_just_been_made_by_another_user_gets_its_reach_in_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".x.lock").touch()
    real, slept = os.open, list[float]()

    def denied(name: object, *rest: object, **options: object) -> int:
        if os.fsencode(name).endswith(b".lock") and not slept:  # type: ignore[arg-type]
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", denied)
    monkeypatch.setattr(time, "sleep", slept.append)
    with atomicops.file_lock(tmp_path / "x"):
        monkeypatch.undo()
        assert not is_free(tmp_path / "x")
    assert len(slept) == 1


def test_who_asks_for_a_busy_lock_again_and_again_has_one_thread_that_waits(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with process(HOLDER, path) as child:
        assert line(child) == "have it"
        before = len(os.listdir("/proc/self/task"))
        for _ in range(20):
            with pytest.raises(atomicops.LockTimeout):
                atomicops.atomic_write_text("a", path, timeout=0.01)
        assert len(os.listdir("/proc/self/task")) <= before + 1
        tell(child)
        atomicops.atomic_write_text("b", path, timeout=JOIN_S)
    assert path.read_text() == "b"


def test_a_thread_that_has_ended_its_waiting_is_not_taken_over(tmp_path: Path) -> None:
    """Its lock came, and nobody wanted it any more: it has closed, or is about to, what it waited by."""
    path = tmp_path / "x"
    with process(HOLDER, path) as child:
        assert line(child) == "have it"
        for _ in range(100):  # on a busy machine the time may be over before there is a thread
            with pytest.raises(atomicops.LockTimeout):
                atomicops.atomic_write_text("a", path, timeout=0.05)
            if _wait._left:
                break
        (left,) = _wait._left.values()
        left.close()
        with pytest.raises(atomicops.LockTimeout):
            atomicops.atomic_write_text("a", path, timeout=0.05)


def test_what_keeps_a_waiting_thread_from_the_lock_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    real = fcntl.flock

    def no_more_locks(fd: int, how: int) -> None:
        if how == fcntl.LOCK_EX:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        real(fd, how)

    with process(HOLDER, path) as child:
        assert line(child) == "have it"
        monkeypatch.setattr(fcntl, "flock", no_more_locks)
        with pytest.raises(OSError, match="flock") as caught:
            atomicops.atomic_write_text("a", path, timeout=20)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOLCK, str(path))
    assert not path.exists()


@pytest.mark.skipif(shutil.which("flock") is None, reason="flock(1) is not installed (package util-linux)")
def test_flock_of_util_linux_meets_the_same_lock(tmp_path: Path) -> None:
    path = tmp_path / "x"
    command = ["flock", "-n", str(tmp_path / ".x.lock"), "true"]
    with atomicops.file_lock(path):
        assert subprocess.run(command, check=False).returncode == 1
    assert subprocess.run(command, check=False).returncode == 0


def test_the_filelock_package_meets_the_same_lock(tmp_path: Path) -> None:
    filelock = pytest.importorskip("filelock")
    path = tmp_path / "x"
    theirs = filelock.FileLock(tmp_path / ".x.lock", is_singleton=False)
    with atomicops.file_lock(path), pytest.raises(filelock.Timeout):
        theirs.acquire(timeout=0)
    with theirs, pytest.raises(atomicops.LockTimeout):
        atomicops.atomic_write_text("a", path, timeout=0.02)
    # Not at once: the thread that waited for us may have it for a moment yet.
    with atomicops.file_lock(path, 10):
        pass


def test_a_lock_file_removed_between_opening_and_locking_it_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, lock_file = tmp_path / "state.json", tmp_path / ".state.json.lock"
    flock = fcntl.flock
    removed: list[int] = []

    def remove_first(fd: int, how: int) -> None:
        if how & fcntl.LOCK_EX and not removed:
            removed.append(fd)
            lock_file.unlink()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with atomicops.file_lock(target):
        assert removed
        with open(lock_file) as other, pytest.raises(BlockingIOError):
            flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_is_its_owners_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        atomicops.atomic_write_json({}, tmp_path / "s.json")
    finally:
        os.umask(before)
    assert (tmp_path / ".s.json.lock").stat().st_mode & 0o777 == 0o600
