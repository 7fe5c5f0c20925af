"""A worker that is a process of its own, in Bash or in any other language, driven over pipes.

The driver stamps around the lines that it sends and gets: wider intervals than the worker's own, and sound.
Operations are done by the process and what it starts. The protocol is told in ``docs/protocol.md``, and spoken by
``worker.bash`` for a target's Bash functions or command lines.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from stress.execution.drivers.answers import Answers, given
from stress.execution.drivers.driver import Numbered, Raw
from stress.execution.drivers.observe import WORDS_MAX, Observation, Observer, read_file
from stress.history.kinds import Kind, Language, Outcome
from stress.history.notes import ErrorNote
from stress.history.record import NO_VERSION
from stress.host.interrupts import temporary_directory
from stress.host.machine import answer
from stress.host.process_tree import die_with_parent, dying_with_parent, end_group, end_remains
from stress.host.users import User, become
from stress.workload.payload import parent_in
from stress.workload.target import OPERATIONS, Target, TargetError

_HOST = Path(__file__).with_name("worker.bash")
_LINE_MAX = 1 << 16
_HELLO_S = 20.0
"""How long a worker may take to begin."""
_SAID = frozenset({*OPERATIONS, "observe"})
"""What a worker may say that it can do."""


def write_commands(target: Target, folder: Path) -> Path | None:
    """The Bash file that a worker is to source: the target's own, or one made of its commands; None if it has
    neither. Raises `TargetError` for a command that is none for Bash.
    """
    if target.commands:
        _check_syntax(target)
        made = folder / "commands.bash"
        made.write_text(target.bash_source(), encoding="utf-8")
        return made
    return target.bash


def _check_syntax(target: Target) -> None:
    bash = shutil.which("bash")
    for operation in OPERATIONS if bash is not None else ():
        if command := target.commands.get(operation):
            done = answer([str(bash), "-n", "-c", command.replace("{path}", "path").replace("{filter}", "filter")], 30)
            if done.returncode:
                said = done.stderr.strip().splitlines()
                why = said[0].rpartition("-c: ")[2] if said else f"exit status {done.returncode}"
                raise TargetError(f"{str(target.path)!r}: {operation} = {command!r} is no command line for bash: {why}")


_NEEDS = "TARGET_NEEDS_"
_PROBE = f"""source "$1" || exit 1
declare -F
for needs in "${{!{_NEEDS}@}}"; do
  declare -n operations=$needs
  printf "needs $needs %s\\n" "${{operations[@]}}"
done
"""


def probe(source: Path, environment: dict[str, str]) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """The operations that a Bash file defines, and which of them need a program: program → operations.

    A file says that in arrays: ``TARGET_NEEDS_JQ=(read update)``, ``TARGET_NEEDS_FLOCK=(recover)``, and so on for any
    program whose name is the rest of the array's in lower case. Raises `TargetError` if it can't be sourced.
    """
    bash = shutil.which("bash")
    if bash is None:
        return frozenset(), {}
    done = answer([bash, "--norc", "--noprofile", "-c", _PROBE, "bash", str(source)], 30, environment=environment)
    if done.returncode:
        raise TargetError(f"{str(source)!r} could not be sourced by bash: {done.stderr.strip().splitlines()[-1:]}")
    words = [line.split() for line in done.stdout.splitlines()]
    defined = {line[2].removeprefix("target_") for line in words if len(line) == 3 and line[2].startswith("target_")}
    needs: dict[str, set[str]] = {}
    for line in words:
        if len(line) == 3 and line[0] == "needs":
            needs.setdefault(line[1].removeprefix(_NEEDS).lower(), set()).add(line[2])
    return frozenset(defined), {program: frozenset(operations) for program, operations in sorted(needs.items())}


def programs(target: Target, folder: Path) -> dict[Language, tuple[str, ...]]:
    """How the workers of each side that is driven over pipes are started; ``folder`` as for `write_commands`."""
    started: dict[Language, tuple[str, ...]] = {}
    source = write_commands(target, folder)
    if source is not None:
        host = ("bash", "--norc", "--noprofile", str(_HOST))
        started[language_of(target)] = (*host, str(source.resolve()))
    if target.worker:
        started[Language.named(target.language)] = target.worker
    return started


def ask_worker(target: Target) -> frozenset[str]:
    """The operations that a target's foreign worker says that it can do; it is started once, and ended. Raises
    `TargetError` where it does not begin as the protocol has it.
    """
    called = f"{str(target.path)!r}: the worker {shlex.join(target.worker)!r}"
    with temporary_directory("stress-worker-") as folder:
        scratch = Path(folder, "scratch")
        scratch.mkdir()
        try:
            process = start_shell(target.worker, Path(folder), scratch, environment())
        except OSError as error:
            raise TargetError(f"{called} could not be started: {error.strerror}") from error
        driver = ShellDriver(process, scratch, exclusive=False)
        try:
            driver.wait_for_hello(_HELLO_S)
        except Lost as error:
            said = (read_file(str(scratch / "stderr")) or b"").decode("utf-8", "replace").strip()
            why = "; ".join(filter(None, (str(error), said[-300:])))
            raise TargetError(f"{called} did not begin as the line protocol has it: {why}") from error
        finally:
            driver.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)  # the end of its input is its end
            if process.returncode is None:
                end_group(process.pid, process.wait)
            else:
                end_remains(process.pid)
    return driver.operations


def start_shell(
    argv: Sequence[str], directory: Path, scratch: Path, environment: dict[str, str], user: User | None = None
) -> subprocess.Popen[bytes]:
    """Start a worker's process, in a session of its own, as ``user``'s if one is given; it dies with us. ``scratch`` is
    a folder for it alone.
    """
    first = () if user is not None or _which(argv[0]) is None else dying_with_parent()
    become_worker = None if first else functools.partial(_become_worker, os.getpid(), user)
    with (scratch / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            [*first, *argv],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment
            | {
                name: str(scratch / file)
                for name, file in (("STRESS_IN", "in"), ("STRESS_OUT", "out"), ("STRESS_ERR", "err"))
            },
            start_new_session=True,
            restore_signals=False,  # SIGXFSZ stays ignored: a write past the limit is an error, not a death
            preexec_fn=become_worker,
        )


_which = functools.cache(shutil.which)  # the same for each of the workers


def _become_worker(parent: int, user: User | None) -> None:
    die_with_parent(parent)
    if user is not None:
        become(user, parent)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the supervisor ignores it; a script may trap it only if it does not


class Reply(NamedTuple):
    """A worker's answer to one operation."""

    status: int
    held_us: tuple[int, int] | None = None
    """When the lock was held, µs since the epoch."""


class Lost(Exception):
    """The worker was gone before it answered; the message says how it ended."""


class ShellDriver:
    """One worker's process, told its operations over pipes; see `stress.execution.drivers.driver.Driver`.

    The call that `prepare` returns waits for the answer. A loop over many workers calls `send` instead, and `replies`
    when there is something to read from `fd`.
    """

    def __init__(self, process: subprocess.Popen[bytes], scratch: Path, *, exclusive: bool) -> None:
        """``scratch``: the folder that the process was started with; ``exclusive`` as in `Target`."""
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self._scratch = scratch
        self._exclusive = exclusive
        self._observer = Observer()
        self._answers = Answers(scratch, self._observer)
        self._buffer = b""
        self._edits = False
        self._directory = ""
        self.operations: frozenset[str] = frozenset()
        """What the worker can do, when it has said so."""

    @property
    def fd(self) -> int:
        """What to select on for answers."""
        return self._stdout.fileno()

    def pipes(self) -> tuple[int, int]:
        """The descriptors that other workers must not inherit."""
        return self._stdin.fileno(), self._stdout.fileno()

    def lines(self) -> list[str] | None:
        """Whole lines that have come in; None when the worker has closed its end."""
        try:
            got = os.read(self._stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return []
        if not got:
            return None
        *whole, self._buffer = (self._buffer + got).split(b"\n")
        if len(self._buffer) > _LINE_MAX:  # no answer is as long: it is refused as it is
            whole, self._buffer = [*whole, self._buffer[:WORDS_MAX]], b""
        return [line.decode("utf-8", "replace") for line in whole]

    def hello(self, line: str) -> bool:
        """Take the first line; False if it is none."""
        words = line.split()
        if words[:2] != ["hello", "1"]:
            return False
        for word in words[2:]:
            name, _, value = word.partition("=")
            if name == "definite" and re.fullmatch(r"[\d,]*", value):
                self._answers.definite = frozenset(int(code) for code in value.split(",") if code)
            elif name == "update" and value in ("edits", "jq"):
                self._edits = value == "edits"
            elif word not in _SAID:
                return False
        self.operations = frozenset(words[2:]) & _SAID
        self._directory = self._where()
        return True

    def wait_for_hello(self, timeout_s: float) -> None:
        """Wait until the worker is ready; raises `Lost` if it ends, or says something else."""
        line = self._next_line(timeout_s)
        if not self.hello(line):
            raise Lost(f"it began with {line!r}, not with `hello 1` and words that there are")

    def prepare(self, op: Numbered, record_parent: Callable[[int], None]) -> Callable[[], Raw]:
        """Put what does not fit a line where the worker finds it; the call sends the line and waits for the answer."""
        request = op.request
        if request.kind is Kind.OBSERVE_BACKUP:  # a listing and a read: there is nothing of the target in it
            return lambda: self._observer.inspect_backup(request.path)
        if not self.sends(op):
            return lambda: self._observer.inspect(request.path, op.form, read_file(request.path))
        for name in ("out", "err"):
            (self._scratch / name).write_bytes(b"")  # what an operation says is not what the one before said
        if content := given(request, op.version, op.form, edits=self._edits):
            (self._scratch / "in").write_text(content, encoding="utf-8")
        return lambda: self._exchange(op)

    def sends(self, op: Numbered) -> bool:
        """Whether ``op`` is the worker's; else the driver does it by itself."""
        kind = op.request.kind
        return kind is not Kind.OBSERVE_BACKUP and (kind is not Kind.OBSERVE or "observe" in self.operations)

    def send(self, op: Numbered) -> None:
        """Have the worker do what was prepared; raises BrokenPipeError if it is gone."""
        request = op.request
        operation = "locked_update" if request.kind is Kind.UPDATE and request.locked else request.kind.label
        self._stdin.write(f"{op.seq} {operation} {request.path}\n".encode())
        self._stdin.flush()

    def has_read(self) -> bool:
        """Whether the update that was sent has got as far as its change: the filter has said what it started from."""
        return parent_in(self._answers.said()) != NO_VERSION

    def reply(self, op: Numbered, line: str) -> Reply:
        """The worker's answer to ``op``; raises ValueError if it is something else, or if the worker is in another
        directory by now, where the paths of operations lead elsewhere.
        """
        words = line.split()
        if len(words) < 2 or words[0] != str(op.seq) or not re.fullmatch(r"\d+", words[1], re.ASCII):
            raise ValueError(f"the worker answered {line!r} to operation {op.seq}")
        if (now := self._where()) and self._directory not in ("", now):
            raise ValueError(f"the worker changed its directory (to {now}), and paths are relative to it")
        claimed = len(words) == 4 and (self._exclusive or op.request.locked)
        return Reply(int(words[1]), (int(words[2]), int(words[3])) if claimed else None)

    def _where(self) -> str:
        """The worker's current directory; empty where the system does not say."""
        try:
            return os.readlink(f"/proc/{self.process.pid}/cwd")
        except OSError:
            return ""

    def examine(self, op: Numbered, raw: Raw) -> Observation:
        """What an answer says, and what the worker left for it in its files."""
        if isinstance(raw, Observation):
            return raw
        if isinstance(raw, Exception):
            parent = self._answers.parent(op.request)
            return Observation(parent=parent, note=ErrorNote(str(raw)), outcome=Outcome.INFO)
        observation = self._answers.observation(op.request, op.form, raw.status)
        if raw.held_us is not None:
            held_from, held_to = _monotonic(*raw.held_us)
            observation = observation._replace(held_from=held_from, held_to=held_to)
        return observation

    def close(self) -> None:
        """Close the pipes."""
        for pipe in (self._stdin, self._stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    def _exchange(self, op: Numbered) -> Reply:
        try:
            self.send(op)
        except BrokenPipeError:
            raise Lost("the worker was gone before this") from None
        return self.reply(op, self._next_line(None))

    def _next_line(self, timeout_s: float | None) -> str:
        while select.select([self.fd], [], [], timeout_s)[0]:
            lines = self.lines()
            if lines is None:
                raise Lost("the worker ended while it did this")
            if lines:
                return lines[0]
        raise Lost(f"the worker said nothing for {timeout_s:g} s")


def environment() -> dict[str, str]:
    """What Bash workers get: the tool's own environment, this Python first on PATH, and ATOMICOPS_SHELL, where the
    Bash helpers are.
    """
    made = dict(os.environ)
    made["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{made.get('PATH', os.defpath)}"
    helpers = importlib.util.find_spec("atomicops")  # found, not imported: the harness does not depend on what it tests
    if helpers is not None and helpers.submodule_search_locations:
        made["ATOMICOPS_SHELL"] = str(Path(helpers.submodule_search_locations[0]) / "shell")
    for name in ("BASH_ENV", "ENV", "BASHOPTS", "SHELLOPTS"):  # exported, they set options in every Bash
        made.pop(name, None)
    return made


def language_of(target: Target) -> Language:
    """What the target's shell side is called."""
    return Language.COMMAND if target.commands else Language.BASH


def _monotonic(from_us: int, to_us: int) -> tuple[int, int]:
    """The time that a lock was held, moved from the wall clock, which is all that Bash has, to the monotonic one; made
    100 µs shorter at both ends for what the two may slip in an operation.
    """
    least, most = _monotonic_less_wall()
    return from_us * 1000 + most + 100_000, to_us * 1000 + least - 100_000


def _monotonic_less_wall() -> tuple[int, int]:
    """Bounds, in ns, of what the monotonic clock is ahead of the wall clock: this process may be preempted between
    the two readings, so the second is between two of the first.
    """
    best = (0, 1 << 62)
    for _ in range(3):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if after - before < best[1] - best[0]:
            best = (before - wall, after - wall)
    return best
