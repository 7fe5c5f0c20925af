"""Processes that are provably ours: started here, in a group of their own, dying with us, ended and reaped as a
whole tree.

A process group's number can't be taken by anybody else while its leader is our child and not yet reaped, so a signal
to the group before that reap reaches nobody else (kill(2), wait(2)). As the subreaper (prctl(2),
PR_SET_CHILD_SUBREAPER) of all that our workers start, we are the parent of every orphan among them, and `waitpid` on
the group tells when the last is gone.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 1, 36, 37
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def become_subreaper(wanted: bool = True) -> bool:
    """Have every orphan among our descendants become our child, or no more; returns how it was before (Linux; elsewhere
    nothing).
    """
    before = ctypes.c_int(0)
    if _prctl is not None:
        _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
        _prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)
    return bool(before.value)


def reap_children() -> None:
    """Have the kernel keep children that ended until we wait for them.

    Where SIGCHLD is ignored, which exec(2) inherits from whoever started us, it does not, and no exit status can be had
    (sigaction(2)). In the main thread only; in others nothing is done.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def state_of(pid: int) -> str:
    """What our child does, by the letter of proc_pid_stat(5): ``T`` for one that was stopped; empty if unknown."""
    return _state(Path(f"/proc/{pid}/stat"))


def _state(stat: Path) -> str:
    try:
        return stat.read_text("ascii", "replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def all_asleep(pid: int) -> bool:
    """Whether all threads of our child, and all that it has started, wait for something that is neither a processor nor
    a disk; False where that can't be known.
    """
    try:
        threads = [_state(Path(f"/proc/{pid}/task/{task}/stat")) for task in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return False
    return set(threads) <= {"S", "Z"} and all(all_asleep(other) for other in children(pid))


def stop_group(leader: int) -> None:
    """SIGSTOP the group of our child ``leader``, and wait up to 20 ms until that one stands still."""
    os.killpg(leader, signal.SIGSTOP)
    for _ in range(20):
        if state_of(leader) in ("T", ""):
            break
        time.sleep(0.001)


def die_with_parent(parent: int) -> None:
    """To be called in a child: SIGKILL for it when ``parent``, who forked it, ends (Linux; elsewhere nothing)."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it has gone already
            os._exit(0)


@functools.cache
def dying_with_parent() -> tuple[str, ...]:
    """The beginning of a command that dies with who started it: setpriv(1); empty where there is none that can do this.

    Python may use vfork(2) then, where a function to be called in the child has it copy its own memory's tables: 5 ms
    for each worker, and 1 ms so.
    """
    setpriv = shutil.which("setpriv")
    words = (setpriv or "", "--pdeathsig", "KILL")
    if setpriv is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        return ()
    return words


def children(of: int | None = None) -> list[int]:
    """The children of a process's first thread, zombies and adopted orphans among them; None: of this process."""
    of = os.getpid() if of is None else of
    try:
        return [int(pid) for pid in Path(f"/proc/{of}/task/{of}/children").read_text().split()]
    except OSError:
        return []


def end_group(leader: int, reap: Callable[[], object]) -> None:
    """SIGKILL the group of our unreaped child ``leader``, and reap all of it.

    ``reap`` waits for the leader in the way of the library that started it. When this returns, no process of the
    group exists any more: nothing that it was doing can still happen.
    """
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:  # it has not got as far as making a group of its own
        os.kill(leader, signal.SIGKILL)
    except PermissionError:  # macOS says this for a group of zombies
        pass
    reap()
    # The children of each process that we reap have become ours before we could reap it, so the loop misses none.
    while True:
        try:
            os.waitpid(-leader, 0)
        except ChildProcessError:
            return


def end_remains(leader: int) -> int:
    """SIGKILL and reap what is left of the group of ``leader``, which we have reaped already: children of ours, each
    one.
    """
    try:
        os.waitid(os.P_PGID, leader, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0  # as a rule; to ask each of hundreds of children for its group takes its time
    return _end(lambda pid: _group(pid) == leader)


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def end_orphans(known: set[int], mark: bytes | None = None) -> int:
    """SIGKILL and reap our children that are none of ``known``: what workers left behind outside their group.

    With ``mark``, only those whose environment holds it. Returns how many there were.
    """
    return _end(lambda pid: pid not in known and (mark is None or mark in _environment(pid)))


def _end(which: Callable[[int], bool]) -> int:
    """SIGKILL and reap such children of ours until there are none; returns how many there were."""
    ended = 0
    while pids := [pid for pid in children() if which(pid)]:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        ended += len(pids)
    return ended


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
