"""A simulated CLI agent: a real Bash process (or a command line for each operation), driven over pipes.

The driver stamps around the lines that it sends and gets: wider intervals than the worker's own, and sound.
Operations are done by the process and what it starts; the protocol is told in ``worker.bash``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from stress.execution.drivers.observe import Observation, Observer, read_file, saved_observation
from stress.execution.operations import OperationStream
from stress.history.journal import FINISHED, READY, RUNNING, Journal, row_of
from stress.history.notes import ErrorNote, SeenBytes
from stress.history.record import ABSENT, GARBAGE, NO_VERSION, Kind, Language, Outcome, version_of
from stress.host.process_tree import die_with_parent
from stress.workload.payload import document_of, jq_program, log_record, parent_in
from stress.workload.scenario import Answer, Request
from stress.workload.target import Target, TargetError

__all__ = ["Answers", "ShellWorker", "probe", "start_shell", "write_commands"]

_HOST = Path(__file__).with_name("worker.bash")
_MISSING, _NO_DOCUMENT = 66, 65


def write_commands(target: Target, folder: Path) -> Path | None:
    """The Bash file that a worker is to source: the target's own, or one made of its commands; None if it has
    neither.
    """
    if target.commands:
        made = folder / "commands.bash"
        made.write_text(target.bash_source(), encoding="utf-8")
        return made
    return target.bash


def probe(source: Path, environment: dict[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """The operations that a Bash file defines, and those of them that need jq; raises `TargetError` if it can't be
    sourced.
    """
    bash = shutil.which("bash")
    if bash is None:
        return frozenset(), frozenset()
    script = 'source "$1" || exit 1; declare -F; printf "needs %s\\n" "${TARGET_NEEDS_JQ[@]}"'
    done = subprocess.run(
        [bash, "--norc", "--noprofile", "-c", script, "bash", str(source)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=30, check=False,
    )  # fmt: skip
    if done.returncode:
        raise TargetError(f"{str(source)!r} could not be sourced by bash: {done.stderr.strip().splitlines()[-1:]}")
    words = [line.split() for line in done.stdout.splitlines()]
    defined = {line[2].removeprefix("target_") for line in words if len(line) == 3 and line[2].startswith("target_")}
    return frozenset(defined), frozenset(line[1] for line in words if len(line) == 2 and line[0] == "needs")


def start_shell(source: Path, directory: Path, scratch: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a worker's process, in a session of its own; it dies with us. ``scratch`` is a folder for it alone."""
    parent = os.getpid()
    with (scratch / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            ["bash", "--norc", "--noprofile", str(_HOST), str(source)],
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
            preexec_fn=lambda: die_with_parent(parent),
        )


class Answers:
    """What a shell worker left in its files, examined. ``scratch`` has ``in``, ``out`` and ``err``."""

    def __init__(self, scratch: Path, files: dict[str, tuple[int, str]], observer: Observer) -> None:
        self._scratch, self._files, self._observer = scratch, files, observer

    def outcome(
        self, request: Request, version: int, status: int, definite: frozenset[int]
    ) -> tuple[Outcome, Observation]:
        """How the operation ended with ``status``, and what it saw; ``version`` is what a change wrote."""
        kind = request.kind
        if status == 0:
            return Outcome.OK, self._saw(request, version)
        if kind in (Kind.READ, Kind.OBSERVE) and status == _MISSING:
            return Outcome.OK, Observation(ABSENT)
        said = self.said()
        if kind is Kind.READ and status == _NO_DOCUMENT:
            seen = self._out()
            return Outcome.OK, Observation(GARBAGE, size=len(seen), note=SeenBytes(seen, said))
        parent = parent_in(said) if kind is Kind.UPDATE else NO_VERSION
        outcome = Outcome.FAIL if status in definite else Outcome.INFO
        note = ErrorNote(f"exit status {status}: {said[-1500:]}")
        return outcome, Observation(version, parent, size=request.size, note=note)

    def _saw(self, request: Request, version: int) -> Observation:
        kind, path = request.kind, request.path
        if kind is Kind.UPDATE:
            return Observation(version, parent_in(self.said()), size=request.size)
        if kind in (Kind.WRITE, Kind.APPEND):
            return Observation(version, size=request.size)
        if kind is Kind.BACKUP:
            name = self._out().decode("utf-8", "replace").strip().splitlines()
            if not name:
                return Observation(GARBAGE, note=ErrorNote("backup printed no path"))
            return saved_observation(name[-1])
        form = self._files[path][1]
        if kind is Kind.RECOVER:
            return self._observer.inspect(path, form, self.recovered(path))
        return self._observer.inspect(path, form, self.read("out"))

    def read(self, name: str) -> bytes | None:
        """The content of ``in``, ``out`` or ``err``."""
        return read_file(str(self._scratch / name))

    def recovered(self, path: str) -> bytes | None:
        """What is there after a recovery."""
        return read_file(path)

    def _out(self) -> bytes:
        return self.read("out") or b""

    def said(self) -> str:
        """What it printed on standard error."""
        return (self.read("err") or b"").decode("utf-8", "replace").strip()


class ShellWorker:
    """One worker's process and the driver's side of its protocol. `begin` sends an operation, `finish` takes its
    answer.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        journal: Journal,
        files: dict[str, tuple[int, str]],
        scratch: Path,
        able: frozenset[str],
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.journal = journal
        self.stream: OperationStream | None = None
        self.busy = False
        self._stdin, self._stdout = process.stdin, process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self._files = files
        self._scratch = scratch
        self._able = able
        self._observer = Observer()
        self._answers = Answers(scratch, files, self._observer)
        self._buffer = b""
        self._request: Request | None = None
        self._invoked = 0
        self._version = NO_VERSION
        self._definite: frozenset[int] = frozenset()

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
        return [line.decode("utf-8", "replace") for line in whole]

    def hello(self, line: str) -> bool:
        """Take the first line; False if it is none."""
        words = line.split()
        if words[:2] != ["hello", "1"]:
            return False
        for word in words[2:]:
            if word.startswith("definite="):
                self._definite = frozenset(int(code) for code in word[9:].split(",") if code)
        self.journal.write_header(state=READY)
        return True

    def begin(self, scenario: int, request: Request) -> None:
        """Journal and send one operation; raises BrokenPipeError if the worker is gone."""
        if self.journal.state == READY:
            self.journal.write_header(state=RUNNING)
        index, form = self._files[request.path]
        if request.kind is Kind.READ and ("read" not in self._able or form == "log"):
            request = request._replace(kind=Kind.OBSERVE)
        kind, operation, content = request.kind, request.kind.label, ""
        version = version_of(self.journal.process, self.journal.rows + 1)
        if kind is Kind.WRITE:
            content = json.dumps(document_of(version, request.size, request.shape))
        elif kind is Kind.APPEND:
            content = log_record(version, request.size)
        elif kind is Kind.UPDATE:
            content = jq_program(version, request.size, request.edits, form=form)
            operation = "locked_update" if request.locked and "lock" in self._able else operation
        else:
            version = NO_VERSION
        if content:
            (self._scratch / "in").write_text(content, encoding="ascii")
        self._request, self._version, self.busy = request, version, True
        line = f"{self.journal.rows + 1} {operation} {request.path}\n".encode()
        value = NO_VERSION if version == NO_VERSION else request.size
        self._invoked = self.journal.invoke(row_of(kind, index, scenario), value)
        if kind is Kind.OBSERVE_BACKUP:  # a listing and a read, by the driver: there is nothing of the target in it
            self._finish_here(self._observer.inspect_backup(request.path))
            return
        self._stdin.write(line)
        self._stdin.flush()

    def _finish_here(self, observation: Observation) -> None:
        self._complete(time.monotonic_ns(), observation.outcome, observation, 0, 0)

    def finish(self, line: str, exclusive: bool) -> None:
        """Take the answer to the operation under way, examine what it saw, and journal it."""
        returned = time.monotonic_ns()
        words = line.split()
        request = self._request
        if request is None or len(words) < 2 or words[0] != str(self.journal.rows):
            raise ValueError(f"the worker answered {line!r} to operation {self.journal.rows}")
        status = int(words[1])
        held_from = held_to = 0
        if len(words) == 4 and (exclusive or request.locked):
            held_from, held_to = self._held(int(words[2]), int(words[3]), returned)
        self._complete(returned, *self._outcome(request, status), held_from, held_to)

    def _outcome(self, request: Request, status: int) -> tuple[Outcome, Observation]:
        return self._answers.outcome(request, self._version, status, self._definite)

    def _said(self) -> str:
        return self._answers.said()

    def _held(self, from_us: int, to_us: int, now: int) -> tuple[int, int]:
        # Bash has the wall clock only. It is moved over to the monotonic one, made 100 µs shorter at both ends for
        # what the two may slip in an operation, and not believed where it says that the lock was held outside the
        # operation.
        least, most = _monotonic_less_wall()
        held_from, held_to = from_us * 1000 + most + 100_000, to_us * 1000 + least - 100_000
        return (held_from, held_to) if self._invoked < held_from < held_to < now else (0, 0)

    def _complete(
        self, returned: int, outcome: Outcome, observation: Observation, held_from: int, held_to: int
    ) -> None:
        if held_from or observation.rare:
            self.journal.attach(
                size=observation.size,
                digest=observation.digest,
                held_from=held_from,
                held_to=held_to,
                note=observation.note,
            )
        assert self._request is not None
        value = observation.version if self._version == NO_VERSION else self._request.size
        self.journal.complete(returned, outcome, value, observation.parent)
        self.busy, self._request = False, None
        if self.stream is not None:
            self.stream.answer(Answer(outcome, observation.version))

    def lost(self, reaped: int, text: str) -> None:
        """The process is gone, tree and all, since ``reaped``: the operation under way is unknown."""
        if self.busy:
            assert self._request is not None
            change = self._version != NO_VERSION
            self.journal.attach(note=ErrorNote(text))
            self.journal.complete(
                reaped, Outcome.INFO, self._request.size if change else NO_VERSION,
                parent_in(self._said()) if change else NO_VERSION,
            )  # fmt: skip
            self.busy = False

    def close(self, *, finished: bool) -> None:
        """Close the pipes and the journal."""
        if finished:
            self.journal.write_header(state=FINISHED)
        else:
            self.journal.write_header()
        self.journal.close()
        for pipe in (self._stdin, self._stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass


def environment() -> dict[str, str]:
    """What Bash workers get: the tool's own environment, this Python first on PATH, and ATOMICOPS_SHELL, where the
    Bash helpers are.
    """
    made = dict(os.environ)
    made["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{made.get('PATH', os.defpath)}"
    helpers = importlib.util.find_spec("atomicops")  # found, not imported: the harness does not depend on what it tests
    if helpers is not None and helpers.submodule_search_locations:
        made["ATOMICOPS_SHELL"] = str(Path(helpers.submodule_search_locations[0]) / "shell")
    for name in ("BASH_ENV", "ENV"):
        made.pop(name, None)
    return made


def language_of(target: Target) -> Language:
    """What the target's shell side is called."""
    return Language.COMMAND if target.commands else Language.BASH


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
