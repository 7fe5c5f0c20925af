"""``stress doctor``: which needs of a run this machine meets; what each missing one is for, and how to get it."""

from __future__ import annotations

import fcntl
import platform
import shutil
import tempfile
from dataclasses import dataclass

import click

from stress.host import machine
from stress.options import UsageError
from stress.result import Verdict

_TOOLS = {
    "bash": ("bash", "Bash workers", True),
    "jq": ("jq", "Bash workers that read and update JSON", True),
    "perl": ("perl", "the helpers in Bash", True),
    "flock": ("util-linux", "Bash targets that lock with it", False),
    "strace": ("strace", "counting syncs in `stress compare`", False),
}
"""Tool → the Debian package that has it, what it is for, and whether a part of a run is left out without it."""

_FREE_BYTES = 1 << 30
_FILES_OF_WORKER = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that was looked at. ``ok``: True, or None for what a run does without, or False."""

    what: str
    ok: bool | None
    said: str


@click.command("doctor", short_help="Check this machine for what a run needs.")
@click.option(
    "--dir",
    "directory",
    metavar="DIRECTORY",
    type=click.Path(),
    help="Directory whose file system is checked. [default: where temporary files go]",
)
def command(directory: str | None) -> int:
    """Check this machine for what a run needs: tools, kernel features, limits and the file system.

    Each need has one line: ok, without (a run does without it) or MISSING. The line of a need that is not met says
    what it is for and how to get it.

    Exit codes: 0 nothing is missing, 2 usage, 3 a run would leave a part out.
    """
    where = directory if directory is not None else tempfile.gettempdir()
    answers = [
        Answer("python", True, f"{platform.python_version()} ({platform.python_implementation()})"),
        Answer("kernel", True, f"{platform.system()} {platform.release()} on {platform.machine()}"),
        *(_tool(name) for name in _TOOLS),
        _seccomp(),
        _cores(),
        _files(),
        _processes(),
        *_directory(where),
    ]
    from stress.reporters.words import plain_text

    words = {True: "ok", None: "without", False: "MISSING"}
    for answer in answers:
        click.echo(f"{words[answer.ok]:<7}  {answer.what:<12} {plain_text(answer.said)}")
    return Verdict.UNKNOWN.exit_code if any(answer.ok is False for answer in answers) else 0


def _tool(name: str) -> Answer:
    package, enables, needed = _TOOLS[name]
    version = machine.version_of_tool(name)
    if version is None:
        return Answer(
            name, False if needed else None, f"not found, and needed for {enables}: apt-get install {package}"
        )
    return Answer(name, True, version or "of a version that it does not tell")


def _seccomp() -> Answer:
    """Whether syscalls can be scheduled: asked by doing it once."""
    from stress.syscalls import Denied, require

    try:
        require()
    except Denied as denied:
        return Answer("seccomp", None, f"{denied.what}; needed for `stress explore`: {denied.cure}")
    except OSError as error:
        return Answer("seccomp", None, f"could not be tried: {error}; needed for `stress explore`")
    return Answer("seccomp", True, "`stress explore` can schedule file syscalls")


def _cores() -> Answer:
    limits = machine.cgroup_limits()
    said = str(machine.cores())
    for name, limit in limits.items():
        said += f"; {name} limited to {limit}"
    return Answer("cores", True, said)


def _files() -> Answer:
    soft, hard = machine.limit_of("NOFILE")
    workers = soft // _FILES_OF_WORKER
    if 0 <= soft < 1024:
        return Answer("open files", False, f"{soft} at once, enough for {workers} workers: ulimit -n {max(hard, 1024)}")
    return Answer("open files", True, f"{'no limit' if soft < 0 else f'{soft} at once'}")


def _processes() -> Answer:
    soft, _ = machine.limit_of("NPROC")
    if 0 <= soft < 256:
        return Answer("processes", False, f"{soft} at once: ulimit -u 4096, or ask whoever runs this machine")
    return Answer("processes", True, f"{'no limit' if soft < 0 else f'{soft} at once'}")


def _directory(where: str) -> list[Answer]:
    try:
        with tempfile.NamedTemporaryFile(dir=where, prefix="stress-doctor-") as file:
            answers = [Answer("directory", True, _describe(where)), _flock(file.name)]
            free = shutil.disk_usage(where).free
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError("--dir", where, f"can't be used: {reason}; give a directory that can be written to") from error
    said = f"{free / (1 << 30):.1f} GiB"
    enough = free >= _FREE_BYTES
    answers.append(Answer("free space", enough, said if enough else f"{said}, and long runs need 1 GiB: make room"))
    return answers


def _describe(where: str) -> str:
    found = machine.file_system(where)
    if found is None:
        return f"{where} on a file system of unknown type"
    memory = ", in memory: a sync costs nothing there" if found.is_memory else ""
    return f"{where} on {found.type} ({found.options}) at {found.mount}{memory}"


def _flock(path: str) -> Answer:
    """Two descriptors of one file must exclude each other."""
    with open(path, "rb") as one, open(path, "rb") as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return Answer("locks", False, f"flock(2) does not work there: {error.strerror}; choose another --dir")
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Answer("locks", True, "flock(2) excludes there")
        return Answer("locks", False, "flock(2) does not exclude there; choose another --dir")
