"""The helpers of both languages behind one call, as their users call them: the command line, the functions of Bash."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

PACKAGE = Path(__file__).parents[2] / "atomicops"
LANGUAGES = ("python", "bash")
BEGIN = "/operation-begins-here"
"""Whoever asks whether this file is there says that what came before was no part of the operation."""

LONG = bool(os.environ.get("ATOMICOPS_TEST_LONG"))
"""Whether what takes minutes is tried in full, and not only a part, always the same."""

LIMIT_S = 30
"""No call of these tests takes longer; what does, hangs."""

DOCUMENTED = frozenset({0, 64, 65, 66, 69, 73, 74, 75, 76})
"""Every exit code that the helpers may end with."""

_TIMED = ("write", "append", "update", "backup", "prune", "recover")
_SOURCE_AND_CALL = '. "$0/atomicops.sh" || exit 99; "$@"'


@dataclass(frozen=True)
class Done:
    """A call that has ended: its exit code (negative for a signal) and what it printed."""

    code: int
    out: str
    err: str

    @property
    def refused(self) -> bool:
        """It failed as it should: a documented code, and one line for the person at the terminal."""
        return self.code in DOCUMENTED - {0} and self.err.count("\n") == 1 and self.err.startswith("atomicops: ")


@dataclass(frozen=True)
class User:
    """Who runs something, and with what umask."""

    uid: int
    groups: tuple[int, ...]
    umask: int

    def prefix(self) -> tuple[str, ...]:
        """What stands in front of a command that this user starts."""
        become: tuple[str, ...] = ()
        if self.uid:
            groups = f"--groups={','.join(map(str, self.groups))}" if self.groups else "--clear-groups"
            become = ("setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", groups)
        return (*become, "sh", "-c", f'umask {self.umask:o}; exec "$@"', "sh")


@dataclass(frozen=True)
class Helpers:
    """Where the helpers are, and how they are started.

    Attributes: ``shell`` the folder of ``atomicops.sh``; ``python`` an interpreter, and ``path`` the folder where it
    finds the package; ``prefix`` a command in front of each, as strace; ``env`` variables to set; ``user`` who does it.
    """

    shell: Path = PACKAGE / "shell"
    python: str = sys.executable
    path: Path = PACKAGE.parent
    prefix: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None

    def call(
        self,
        language: str,
        operation: str,
        *arguments: str | Path,
        cwd: Path,
        stdin: bytes = b"",
        timeout_s: float = 30,
    ) -> Done:
        """One operation by its name on the command line (``write``, ``append``, …); in Bash it is ``atomic_write``."""
        given = [str(argument) for argument in arguments]
        if language == "bash":
            return self.bash(
                _SOURCE_AND_CALL,
                f"atomic_{operation}",
                *given,
                cwd=cwd,
                stdin=stdin,
                env={"ATOMICOPS_LOCK_TIMEOUT": f"{timeout_s:g}"},
            )
        timed = ["--timeout", f"{timeout_s:g}"] if operation in _TIMED else []
        if self.prefix or self.env or self.python != sys.executable:
            return self.run([self.python, "-m", "atomicops", operation, *timed, *given], cwd=cwd, stdin=stdin)
        with tempfile.TemporaryDirectory() as folder:
            io = Path(folder)
            (io / "input").write_bytes(stdin)
            code = _server().run([operation, *timed, *given], cwd, io, user=self.user)
            return Done(code, *(os.fsdecode((io / name).read_bytes()) for name in ("output", "messages")))

    def increment(self, language: str, path: str | Path, cwd: Path, timeout_s: float = 30) -> Done:
        """Add one to the ``n`` of a document."""
        change = ("--increment", "n") if language == "python" else (".n += 1",)
        return self.call(language, "update", path, *change, cwd=cwd, timeout_s=timeout_s)

    def bash(
        self, script: str, *arguments: str, cwd: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> Done:
        """A script of Bash; ``$0`` is the folder of the helpers."""
        return self.run(["bash", "-c", script, str(self.shell), *arguments], cwd=cwd, stdin=stdin, env=env)

    def run(self, command: Sequence[str], cwd: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Done:
        """A command, by the user and in the environment of these helpers."""
        done = subprocess.run(
            [*(self.user.prefix() if self.user else ()), *self.prefix, *command],
            cwd=cwd,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
            env={**self.environment(), **(env or {})},
        )
        return Done(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))

    def environment(self) -> dict[str, str]:
        return environment(PYTHONPATH=str(self.path), PYTHONDONTWRITEBYTECODE="1", **self.env)


def environment(**more: str) -> dict[str, str]:
    """The caller's, without settings of these helpers, and with some of ones own."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("ATOMICOPS_")}, **more}


_SERVER = """if True:
    import gc, importlib, json, os, select, signal, subprocess, sys, time
    sys.path.insert(0, sys.argv[1])
    # The modules that an operation imports on its way: their files are no part of the operation.
    for name in sys.argv[2].split():
        try:
            importlib.import_module(name)
        except ImportError:
            pass
    import importlib.util
    loader = importlib.util.find_spec("atomicops.__main__").loader
    main = loader.get_code("atomicops.__main__")  # as other users may not be able to read it
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    gc.collect()
    gc.freeze()  # what is shared with a child stays shared

    def child(request, ready):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        os.umask(request["umask"])
        os.chdir(request["cwd"])
        for number, (name, flags) in enumerate((("input", 0), ("output", 0o1101), ("messages", 0o1101))):
            fd = os.open(os.path.join(request["io"], name), flags, 0o644)
            os.dup2(fd, number)
            if fd > 2:
                os.close(fd)
        try:
            import ctypes
            ctypes.CDLL(None).prctl(0x59616D61, -1)  # PR_SET_PTRACER: strace may attach, also as an ordinary user
        except OSError:
            pass
        if request["user"]:
            uid, groups = request["user"]
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        os.write(ready, b".")
        if request["strace"]:
            signal.sigwait([signal.SIGUSR1])
        os.close(ready)  # not earlier: strace may be there by then, or not
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        os.path.exists("BEGIN")
        sys.argv[:] = ["atomicops", *request["arguments"]]
        exec(main, {"__name__": "__main__", "__package__": "atomicops", "__builtins__": __builtins__})

    def attach(strace, pid):
        tracer = subprocess.Popen([*strace, "-p", str(pid)], stderr=subprocess.DEVNULL)
        while tracer.poll() is None:
            with open(f"/proc/{pid}/status") as status:
                if "TracerPid:\\t0\\n" not in status.read():
                    break
            time.sleep(0.0005)
        time.sleep(0.002)
        os.kill(pid, signal.SIGUSR1)
        return tracer

    for line in sys.stdin:
        request = json.loads(line)
        waits, ready = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(waits)
            child(request, ready)
        os.close(ready)
        os.read(waits, 1)
        os.close(waits)
        tracer = attach(request["strace"], pid) if request["strace"] else None
        ended = os.pidfd_open(pid)
        if not select.select([ended], [], [], request["limit"])[0]:
            os.kill(pid, signal.SIGKILL)  # it hangs
        os.close(ended)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if tracer:
            tracer.wait()
        print(status, flush=True)
    """.replace("BEGIN", BEGIN)

_IMPORTED = """if True:
    import sys
    sys.path.insert(0, sys.argv[1])
    import argparse, ctypes, hashlib, json, pkgutil, pwd, shutil, subprocess, atomicops
    names = [f"atomicops.{module.name}" for module in pkgutil.iter_modules(atomicops.__path__)]
    print(*sys.modules, *(name for name in names if not name.endswith("__main__")))
    """


class PythonServer:
    """A Python with everything imported, which forks a child for each run. One run at a time.

    To start one takes 80 ms, a child of it 5. What the child runs is ``python -m atomicops``, with standard input,
    output and error in the files ``input``, ``output`` and ``messages`` of a folder.
    """

    def __init__(self) -> None:
        start = [sys.executable, "-I", "-S", "-B", "-c"]
        root = str(PACKAGE.parent)
        names = subprocess.run([*start, _IMPORTED, root], capture_output=True, text=True, check=True).stdout
        self._process = subprocess.Popen(
            [*start, _SERVER, root, names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.communicate()

    def run(
        self, arguments: Sequence[str], cwd: Path, io: Path, strace: Sequence[str] = (), user: User | None = None
    ) -> int:
        """The exit code; negative for a signal."""
        request = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "io": str(io),
            "umask": user.umask if user else _umask(),
            "user": [user.uid, user.groups] if user else None,
            "strace": list(strace),
            "limit": LIMIT_S,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _umask() -> int:
    """Read where it lies: umask(2) would change it for a moment, and for other threads."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask:"))
    return int(line.split()[1], 8)


@cache
def _server() -> PythonServer:
    server = PythonServer()
    atexit.register(server.close)
    return server
