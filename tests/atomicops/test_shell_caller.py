"""The shell that calls: what it has the lock for, with_lock and traps. Its settings: ``kinds/test_the_callers_shell``."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

SHELL = Path(__file__).parents[2] / "atomicops" / "shell"


def bash(directory: Path, text: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ATOMICOPS_")}
    return subprocess.run(
        ["bash", *options, "-c", text], cwd=directory, capture_output=True, text=True, timeout=60,
        env={**kept, "S": str(SHELL / "atomicops.sh"), "ATOMICOPS_DURABILITY": "none", **environment},
    )  # fmt: skip


def free(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


ALL = r"""
atomic_write '{"n":1}' f.json && atomic_append ' ' f.json && atomic_update f.json .n+=1 -c && atomic_read f.json
atomic_backup f.json x >b; grp() { atomic_write '[3]' f.json; (atomic_append ' ' f.json); }; with_lock f.json grp
atomic_write - g.json <f.json; atomic_recover g.json >r; atomic_sweep .
"""


def test_content_that_did_not_come_through_whole_is_not_written(tmp_path: Path) -> None:
    text = 'source "$S"; _ao_print() { printf %s "${1:0:5}"; }; atomic_write "0123456789" f'
    done = bash(tmp_path, text)
    assert (done.returncode, (tmp_path / "f").exists()) == (74, False), done
    assert "not come through whole" in done.stderr


# --- with_lock -------------------------------------------------------------------------------------------------------


def test_a_trap_is_not_part_of_what_it_interrupts(tmp_path: Path) -> None:
    """The function has read the file, the trap writes it, the function writes: the trap may not be told that it did."""
    text = """source "$S"; echo 1 >f
    on() { atomic_append trap f; echo "trap $?"; with_lock f true; echo "lock $?"; atomic_append trap g; echo "g $?"; }
    trap on USR1
    group() { local old; old=$(cat f); kill -USR1 $$; atomic_write "$old and more" f; echo "group $?"; }
    with_lock f group
    kill -USR1 $$
    """
    done = bash(tmp_path, text)
    assert done.stdout.split("\n") == ["trap 75", "lock 75", "g 0", "group 0", "trap 0", "lock 0", "g 0", ""], done
    assert (tmp_path / "f").read_text() == "1 and more\ntrap\n"
    assert (tmp_path / "g").read_text() == "trap\ntrap\n"
    # On the way out nothing comes after the trap.
    done = bash(tmp_path, "source \"$S\"; trap 'atomic_append last f' EXIT; g() { exit 3; }; with_lock f g")
    assert done.returncode == 3
    assert (tmp_path / "f").read_text() == "1 and more\ntrap\nlast\n"


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("rm .f.lock", "atomic_append x f"),
        ("rm .f.lock; : >.f.lock", "atomic_write x f"),
        ("mv .f.lock x", "with_lock f true"),
        ("rm .f.lock", "(atomic_backup f)"),
    ],
)
def test_a_lock_that_was_removed_is_not_believed_to_be_held(tmp_path: Path, how: str, what: str) -> None:
    (tmp_path / "f").write_text("old\n")
    done = bash(tmp_path, f'source "$S"; g() {{ {how}; {what}; }}; with_lock f g; echo $?; atomic_append end f')
    assert done.stdout == "75\n", done
    assert "removed or replaced" in done.stderr
    assert (tmp_path / "f").read_text() == "old\nend\n"


@pytest.mark.parametrize("how", ["exec", "command exec", "builtin exec", "eval exec"])
def test_exec_takes_the_lock_along(tmp_path: Path, how: str) -> None:
    (tmp_path / "program").write_text("flock -n .f.lock echo free || echo locked")
    done = bash(tmp_path, f'source "$S"; with_lock f {how} bash program')
    assert done.stdout == "locked\n", done
    assert free(tmp_path / ".f.lock")


def test_the_lock_is_open_for_writing(tmp_path: Path) -> None:
    """Where flock(2) becomes a lock of fcntl(2), as over NFS, it has to be."""
    text = r"""source "$S"
    g() {
      for fd in /dev/fd/*; do
        [[ ! $fd -ef .f.lock ]] || sed -n 's/^flags:.*\(.\)$/\1/p' "/proc/$$/fdinfo/${fd##*/}"
      done
    }
    with_lock f g
    """
    done = bash(tmp_path, text)
    assert done.stdout == "2\n", done  # O_RDWR


def test_a_subshell_that_is_left_behind_has_no_part_in_the_lock(tmp_path: Path) -> None:
    text = """source "$S"; mkfifo p
    later() { { read -r _ <p; atomic_append late f; } & }
    with_lock f later
    flock -n .f.lock echo free
    busy() { echo >p; sleep 0.3; atomic_write first f; }
    with_lock f busy; wait
    """
    done = bash(tmp_path, text)
    assert done.stdout == "free\n", done
    assert (tmp_path / "f").read_text() == "first\nlate\n"


def test_a_timeout_holds_whatever_signals_are_blocked(tmp_path: Path) -> None:
    lock = os.open(tmp_path / ".f.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGCHLD])
    try:
        done = bash(tmp_path, 'source "$S"; trap "" ALRM; atomic_write x f', ATOMICOPS_LOCK_TIMEOUT="0.2")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM, signal.SIGCHLD])
        os.close(lock)
    assert (done.returncode, (tmp_path / "f").exists()) == (75, False), done


def test_ctrl_c_at_a_prompt_leaves_no_lock(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(tmp_path)
        os.environ["PS1"] = "ready> "
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    os.set_blocking(terminal, False)

    def until(text: bytes) -> None:
        seen = b""
        for _ in range(3000):
            try:
                seen += os.read(terminal, 4096)
            except BlockingIOError:
                time.sleep(0.01)
            if text in seen:
                return
        raise AssertionError(seen)

    try:
        until(b"ready> ")
        os.write(
            terminal,
            # What says so is in front by then: each job puts itself there before its program begins. It is Bash, for
            # dash may forget a Ctrl-C that comes while it starts a program.
            f"source '{SHELL}/atomicops.sh'; f() {{ bash -c 'echo in\"\"side; exec sleep 100'; }}; with_lock t f\n".encode(),
        )
        until(b"inside")
        assert not free(tmp_path / ".t.lock")
        os.write(terminal, b"\x03")
        until(b"ready> ")
        assert free(tmp_path / ".t.lock")
        os.write(terminal, b"atomic_append x t && with_lock t atomic_append y t && echo do'ne'\n")
        until(b"done")
        assert (tmp_path / "t").read_text() == "x\ny\n"
    finally:
        os.write(terminal, b"exit\n")
        time.sleep(0.1)
        os.close(terminal)
        os.waitpid(pid, 0)


# --- other machines --------------------------------------------------------------------------------------------------


def test_a_machine_without_a_table_of_system_calls(tmp_path: Path) -> None:
    """By Perl's own modules, and cp for the attributes."""
    programs = tmp_path / "bin"
    programs.mkdir()
    perl = shutil.which("perl")
    (programs / "perl").write_text(f'#!/bin/bash\nexec {perl} "$1" vax-dec-ultrix "${{@:3}}"\n')
    (programs / "perl").chmod(0o755)
    (tmp_path / "f.json").write_text("[0]\n")
    (tmp_path / "f.json").chmod(0o640)
    for durability in ("full", "none"):
        path = f"{programs}:{os.environ['PATH']}"
        done = bash(tmp_path, f'source "$S"\n{ALL}\n:', PATH=path, ATOMICOPS_DURABILITY=durability)
        assert (done.returncode, done.stdout, done.stderr) == (0, '{"n":2}\n', "")
        assert (tmp_path / "g.json").read_text() == "[3]\n \n"
        assert (tmp_path / "f.json").stat().st_mode & 0o777 == 0o640
        (tmp_path / "f.json.x.bak").unlink()
    assert free(tmp_path / ".f.json.lock")
