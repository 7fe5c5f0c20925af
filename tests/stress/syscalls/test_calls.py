"""What a real process does, as the engine says it: the words, and what each call touches."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from stress.syscalls import Forked, Program, Supervisor
from stress.syscalls.calls import Call

from .schedules import run


def calls_of(supervisor: Supervisor, function: Callable[[], object]) -> list[Call]:
    ran = run(supervisor, [Forked(function)])
    assert ran.outputs == ((b"", b""),)
    assert (ran.ending, ran.statuses, ran.findings) == ("done", (0,), ())
    return [step.call for step in ran.trace]


def writes(call: Call) -> set[tuple[object, ...]]:
    return {access.what for access in call.accesses if access.writes}


def reads(call: Call) -> set[tuple[object, ...]]:
    return {access.what for access in call.accesses if not access.writes}


def _low_level() -> None:
    file = os.open("x", os.O_RDONLY)
    os.read(file, 9)
    os.close(file)
    file = os.open("new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(file, b"abc")
    os.fsync(file)
    os.ftruncate(file, 1)
    os.close(file)
    os.rename("new", "x")
    os.link("x", "y")
    os.unlink("y")
    os.mkdir("d")
    os.listdir("d")
    os.rmdir("d")
    os.symlink("x", "s")
    os.readlink("s")
    os.chmod("s", 0o600)
    os.truncate("x", 0)
    os.lstat("none") if os.path.lexists("none") else None


def test_the_calls_of_a_process_are_said_in_words(supervisor: Supervisor, shared: Path) -> None:
    (shared / "x").write_text("1")
    calls = [call for call in calls_of(supervisor, _low_level) if call.text != "stat d"]
    assert [call.text for call in calls] == [
        "open x to read",
        "read x",
        "create new",
        "write 3 bytes to new",
        "fsync new",
        "truncate new to 1 bytes",
        "rename new → x",
        "link x → y",
        "unlink y",
        "mkdir d",
        "open d to read",
        "list d",
        "list d",
        "rmdir d",
        "symlink s → x",
        "read link s",
        "chmod x",
        "truncate x to 0 bytes",
        "stat none",
    ]
    assert {(call.agent, call.task, call.spins) for call in calls} == {(0, 0, False)}
    by_text = {call.text: call for call in calls}
    assert writes(by_text["open x to read"]) == set()
    assert reads(by_text["open x to read"]) == {("entry", ".", "x"), ("mode", "."), ("mode", "x")}
    assert reads(by_text["read x"]) == {("inode", "x")}
    assert writes(by_text["create new"]) == {("entry", ".", "new")}
    assert writes(by_text["write 3 bytes to new"]) == {("inode", "0.0")}
    assert by_text["fsync new"].accesses == ()
    assert writes(by_text["rename new → x"]) == {("entry", ".", "new"), ("entry", ".", "x"), ("links", "x")}
    assert reads(by_text["rename new → x"]) == {("listing", "."), ("mode", ".")}
    assert writes(by_text["unlink y"]) == {("entry", ".", "y"), ("links", "0.0")}
    assert writes(by_text["list d"]) == {("listing", "0.1")}
    assert writes(by_text["chmod x"]) == {("inode", "0.0"), ("mode", "0.0")}
    assert reads(by_text["chmod x"]) == {("entry", ".", "s"), ("entry", ".", "x"), ("mode", ".")}


def _open(path: str, flags: int = os.O_RDONLY, *, of: Callable[[int], object] = os.close) -> Callable[[], object]:
    return lambda: of(os.open(path, flags))


def _by_openat2() -> None:
    how = struct.pack("QQQ", os.O_CREAT | os.O_WRONLY, 0o600, 0)
    assert ctypes.CDLL(None).syscall(437, -100, b"n", how, len(how)) >= 0


def _copies(copy: Callable[[int, int], object]) -> Callable[[], object]:
    return lambda: copy(os.open("x", os.O_RDONLY), os.open("y", os.O_WRONLY))


def _twice(enter: Callable[[str], object]) -> Callable[[], object]:
    """Go down, look at something, go back."""

    def acts() -> None:
        enter("d")
        os.path.lexists("none")
        enter("..")
        os.stat("x")

    return acts


def _replaced(replace: Callable[[int, int], object]) -> Callable[[], object]:
    """A descriptor that was used comes to stand for something else, by what is done with another and with it."""

    def acts() -> None:
        file, other = os.open("x", os.O_RDONLY), os.open("y", os.O_RDONLY)
        os.read(other, 1)
        replace(file, other)
        os.read(other, 1)

    return acts


def _closed_in_a_range(file: int, other: int) -> None:
    os.closerange(other, other + 1)
    assert os.open("x", os.O_RDONLY) == other


def _above_what_was_removed() -> None:
    os.chdir("d")
    os.rmdir("../d")
    os.stat("../x")


ENTRY_X, ENTRY_S, INODE, LINKS = ("entry", ".", "x"), ("entry", ".", "s"), ("inode", "x"), ("links", "x")
TOUCHES: dict[str, tuple[Callable[[], object], set[object], set[object]]] = {
    "rmdir": (lambda: os.rmdir("d"), set(), {("entry", ".", "d"), ("listing", "d")}),
    "link": (lambda: os.link("x", "n"), {ENTRY_X}, {("entry", ".", "n"), LINKS}),
    "exclusively": (_open("x", os.O_CREAT | os.O_EXCL), {ENTRY_X}, set()),
    "exclusively where a symlink is": (_open("s", os.O_CREAT | os.O_EXCL), {ENTRY_S}, set()),
    "no symlink": (_open("s", os.O_NOFOLLOW), {ENTRY_S}, set()),
    "openat2": (_by_openat2, set(), {("entry", ".", "n")}),
    "fchmod": (_open("x", of=lambda file: os.fchmod(file, 0o600)), set(), {INODE, ("mode", "x")}),
    "utime": (_open("x", of=os.utime), set(), {INODE}),
    "fsetxattr": (_open("x", of=lambda file: os.setxattr(file, "user.a", b"")), set(), {INODE, ("mode", "x")}),
    "stat": (lambda: os.stat("x"), {ENTRY_X, INODE, LINKS}, set()),
    "fstat": (_open("x", of=os.fstat), {INODE, LINKS}, set()),
    "copy_file_range": (_copies(lambda x, y: os.copy_file_range(x, y, 1)), {INODE}, {("inode", "y")}),
    "sendfile": (_copies(lambda x, y: os.sendfile(y, x, 0, 1)), {INODE}, {("inode", "y")}),
    "execute": (lambda: os.execv("x", ["x"]), {ENTRY_X, INODE}, set()),
    "rmdir in a directory": (
        lambda: os.rmdir("d", dir_fd=os.open(".", os.O_RDONLY)), set(), {("entry", ".", "d"), ("listing", "d")}
    ),
    "chdir": (_twice(os.chdir), {ENTRY_X, INODE, LINKS}, set()),
    "fchdir": (_twice(lambda path: os.fchdir(os.open(path, os.O_RDONLY))), {ENTRY_X, INODE, LINKS}, set()),
    "dup2": (_replaced(os.dup2), {INODE}, set()),
    "dup3": (_replaced(lambda file, other: os.dup2(file, other, inheritable=False)), {INODE}, set()),
    "close_range": (_replaced(_closed_in_a_range), {INODE}, set()),
    "from a removed directory": (_above_what_was_removed, {("entry", ".", "d"), ENTRY_X, INODE, LINKS}, set()),
    "seek": (_open("x", of=lambda file: os.lseek(file, 0, os.SEEK_END)), {INODE}, set()),
}  # fmt: skip


@pytest.mark.parametrize("name", TOUCHES)
def test_what_a_call_touches(supervisor: Supervisor, shared: Path, name: str) -> None:
    """Of the last call alone; that modes and listings are read is left out."""
    for file in ("x", "y"):
        (shared / file).touch()
    (shared / "d").mkdir()
    (shared / "s").symlink_to("x")
    act, read, written = TOUCHES[name]

    def acts() -> None:
        with suppress(OSError):
            act()
        os._exit(0)

    last = calls_of(supervisor, acts)[-1]
    assert writes(last) == written
    assert {what for what in reads(last) if what[0] not in ("mode", "listing")} == read


@pytest.mark.parametrize(
    ("act", "modes"),
    [
        (_open("d/e/y"), {".", "d", "d/e", "d/e/y"}),
        (lambda: os.stat("d/e/y"), {".", "d", "d/e"}),
        (lambda: os.rename("d/e", "e"), {".", "d", "d/e"}),
        (lambda: os.rename("d/e/y", "y"), {".", "d", "d/e"}),
    ],
)
def test_which_modes_allow_it(supervisor: Supervisor, shared: Path, act: Callable[[], object], modes: set[str]) -> None:
    (shared / "d" / "e").mkdir(parents=True)
    (shared / "d" / "e" / "y").touch()

    def acts() -> None:
        act()

    assert {what[1] for what in reads(calls_of(supervisor, acts)[-1]) if what[0] == "mode"} == modes


def test_a_file_of_two_names_is_called_by_that_by_which_it_was_opened(supervisor: Supervisor, shared: Path) -> None:
    (shared / "x").touch()
    os.link(shared / "x", shared / "y")

    def both() -> None:
        for name in ("x", "y"):
            os.read(os.open(name, os.O_RDONLY), 1)

    assert [call.text for call in calls_of(supervisor, both)][1::2] == ["read x", "read y"]


def test_results_are_said_where_they_are_known(supervisor: Supervisor, shared: Path) -> None:
    (shared / "x").touch()

    def fails() -> None:
        for function in (
            lambda: os.unlink("none"),
            lambda: os.stat("none"),
            lambda: os.rename("none", "x"),
            lambda: os.open("x", os.O_CREAT | os.O_EXCL),
            lambda: os.mkdir("x"),
            lambda: os.open("none", os.O_RDONLY),
        ):
            with pytest.raises(OSError, match=r"\[Errno"):
                function()

    results = [step.result for step in run(supervisor, [Forked(fails)]).trace]
    assert results == [-2, -2, -2, -17, -17, -2]


def _locks() -> None:
    file = os.open("l", os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_SH)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an upgrade of its own
    fcntl.flock(file, fcntl.LOCK_UN)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.close(file)
    file = os.open("l", os.O_RDWR)
    fcntl.lockf(file, fcntl.LOCK_EX)
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
    fcntl.fcntl(file, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))


def test_what_a_call_does_with_a_lock_is_said(supervisor: Supervisor, shared: Path) -> None:
    (shared / "l").touch()
    calls = calls_of(supervisor, _locks)
    assert [(call.text, call.lock, bool(writes(call))) for call in calls if not call.text.startswith("open")] == [
        ("lock shared l", "waits", False),
        ("try to lock l", "tries", True),
        ("unlock l", "frees", True),
        ("lock l", "waits", True),
        ("close (frees lock l)", "frees", True),
        ("lock l", "waits", True),
        ("try to lock l", "tries", True),
        ("ask for the lock of l", "", False),
        ("exit (frees lock l)", "frees", True),
    ]
    assert {access.what for call in calls for access in call.accesses if call.lock} == {
        ("lock", "l", "flock"),
        ("lock", "l", "record"),
        ("part", "l", "record"),
    }


def test_a_mapping_is_a_read_and_a_shared_one_that_may_be_written_a_write(supervisor: Supervisor, shared: Path) -> None:
    (shared / "x").write_text("1")
    code = "import mmap; f = open('x', 'r+b'); mmap.mmap(f.fileno(), 0); mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)"
    ran = run(supervisor, [Program([sys.executable, "-c", code])])
    assert [bool(writes(step.call)) for step in ran.trace if step.call.text == "map x"] == [True, False]


def test_a_path_through_what_a_process_has_open_leads_to_that(supervisor: Supervisor, shared: Path) -> None:
    (shared / "x").write_text("1")
    (shared / "d").mkdir()
    (shared / "d" / "y").touch()
    script = "exec 7<>x; cat /dev/fd/7; cat </proc/self/fd/7; tee -a /dev/stderr 2>>x; cd d; cat /proc/self/cwd/y"
    ran = run(supervisor, [Program(["bash", "-c", script])])
    assert (ran.ending, ran.statuses, ran.outputs) == ("done", (0,), ((b"11", b""),))
    texts = [step.call.text for step in ran.trace]
    assert texts.count("open x to read") == 2
    assert texts.count("open x to write") == 3
    assert texts.count("open d/y to read") == 1
    assert {access.what for step in ran.trace for access in step.call.accesses if "fd" in str(access.what)} == set()


def test_a_file_without_a_name_is_called_so_and_what_links_it_makes_an_entry(
    supervisor: Supervisor, shared: Path
) -> None:
    def links() -> None:
        file = os.open(".", os.O_TMPFILE | os.O_WRONLY)
        os.write(file, b"1")
        ctypes.CDLL(None).linkat(file, b"", -100, b"y", 0x1000)  # which takes a right, if it is an older kernel
        ctypes.CDLL(None).linkat(-100, b"/proc/self/fd/%d" % file, -100, b"z", 0x400)

    calls = calls_of(supervisor, links)
    assert [call.text for call in calls] == [
        "open a file without a name in .",
        "write 1 bytes to a file without a name",
        "link a file without a name → y",
        "link a file without a name → z",
    ]
    assert [("entry", ".", name) in writes(call) for name, call in zip("yz", calls[2:], strict=True)] == [True, True]
    assert (shared / "z").read_text() == "1"


@pytest.mark.parametrize(
    ("script", "frees"),
    [
        ("exec 9>l; flock 9; exec 8>&9 9>&-; : >at; exec 8>&-", ["close (frees lock l)"]),
        ("exec 9>l; flock 9; { : >at; } & exec 9>&-; wait", ["exit (frees lock l)"]),
        ("exec 9>l; flock 9; { sleep 1; : >at; } & exit", ["exit (frees lock l)"]),
        ("exec 9>l; flock 9; exec 8<l 8<&-; : >at", ["exit (frees lock l)"]),
        ("exec 9>l; flock 9; { sleep 1; : >at; } & kill -9 $$", ["exit (frees lock l)"]),
    ],
    ids=["duplicate", "child", "child that stays", "another open file", "child of one that is killed"],
)
def test_a_lock_is_free_when_the_last_descriptor_of_its_open_file_is_closed(
    supervisor: Supervisor, shared: Path, script: str, frees: list[str]
) -> None:
    ran = run(supervisor, [Program(["bash", "-c", script])])
    texts = [step.call.text for step in ran.trace]
    assert [text for text in texts if "frees" in text] == frees
    assert texts.index("create at") < texts.index(frees[0])


@pytest.mark.parametrize(
    ("open_file", "frees"),
    [(True, ["close (frees lock l)"]), (False, ["close (frees lock l)"])],
)
def test_a_lock_of_an_open_file_outlives_others_of_the_same_file(
    supervisor: Supervisor, shared: Path, open_file: bool, frees: list[str]
) -> None:
    """One that the process has does not: any of its descriptors frees it."""
    (shared / "l").touch()

    def locks() -> None:
        file = os.open("l", os.O_RDWR)
        fcntl.fcntl(file, 38 if open_file else fcntl.F_SETLKW, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        os.close(os.open("l", os.O_RDONLY))
        os.stat("l")
        os.close(file)

    texts = [call.text for call in calls_of(supervisor, locks)]
    assert [text for text in texts if "frees" in text] == frees
    assert (texts.index("stat l") < texts.index(frees[0])) is open_file


def _locked() -> int:
    file = os.open("l", os.O_RDWR)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _closes_a_range() -> None:
    file = _locked()
    os.closerange(file, file + 1)
    os.stat("l")


def _closes_on_exec() -> None:
    os.closerange(3, _locked())
    os.execv("/bin/true", ["true"])


def _keeps_on_exec() -> None:
    os.set_inheritable(_locked(), True)
    os.execv("/bin/true", ["true"])


def _marks_a_range() -> None:
    file = _locked()
    assert ctypes.CDLL(None).syscall(436, file, file, 4) == 0  # CLOSE_RANGE_CLOEXEC
    os.stat("l")
    os.close(file)


def _ends_a_thread() -> None:
    file = _locked()
    threading.Thread(target=int).start()
    time.sleep(1)  # it ends meanwhile
    os.stat("l")
    os.close(file)


def _unlocks_a_part() -> None:
    file = os.open("l", os.O_RDWR)
    fcntl.lockf(file, fcntl.LOCK_EX, 2)
    fcntl.lockf(file, fcntl.LOCK_UN, 1)
    os.stat("l")
    os.close(file)


@pytest.mark.parametrize(
    ("function", "last"),
    [
        (_closes_a_range, ["close (frees lock l)", "stat l"]),
        (_closes_on_exec, ["lock l", "execute (frees lock l)"]),
        (_keeps_on_exec, ["lock l", "exit (frees lock l)"]),
        (_marks_a_range, ["stat l", "close (frees lock l)"]),
        (_ends_a_thread, ["stat l", "close (frees lock l)"]),
        (_unlocks_a_part, ["stat l", "close (frees lock l)"]),
    ],
)
def test_which_call_gives_a_lock_back(
    supervisor: Supervisor, shared: Path, function: Callable[[], None], last: list[str]
) -> None:
    (shared / "l").touch()
    calls = calls_of(supervisor, function)
    assert [call.text for call in calls][-2:] == last
    assert sum(call.text.endswith("(frees lock l)") for call in calls) == 1


def test_a_lock_that_was_not_to_be_had_is_not_given_back(supervisor: Supervisor, shared: Path) -> None:
    (shared / "l").touch()

    def locks() -> None:
        file = os.open("l", os.O_RDONLY)
        with pytest.raises(OSError, match="Bad file descriptor"):
            fcntl.lockf(file, fcntl.LOCK_EX)

    assert [call.text for call in calls_of(supervisor, locks)] == ["open l to read", "lock l"]


def test_what_is_outside_is_no_point(supervisor: Supervisor, tmp_path: Path) -> None:
    def outside() -> None:
        (tmp_path / "other").write_text("1")
        os.rename(tmp_path / "other", tmp_path / "another")
        os.listdir(".")

    assert [call.text for call in calls_of(supervisor, outside)] == ["list .", "list ."]


@pytest.mark.parametrize("fchdir", [False, True])
def test_a_relative_path_starts_where_the_process_went_also_elsewhere(
    supervisor: Supervisor, shared: Path, tmp_path: Path, fchdir: bool
) -> None:
    """A path in a directory outside was taken for one in the shared directory."""
    (shared / "x").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def goes() -> None:
        os.stat("x")
        if fchdir:
            os.fchdir(os.open(elsewhere, os.O_RDONLY))
        else:
            os.chdir(elsewhere)
        os.mkdir("x")
        os.chdir(shared)
        os.stat("x")

    assert [call.text for call in calls_of(supervisor, goes)] == ["stat x", "stat x"]
