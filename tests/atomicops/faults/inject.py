"""Run one operation with a fault at one of its system calls. strace(1) injects it.

Perl is started anew each time, behind strace; so is Bash, for the calls that it makes itself. Python forks from one
that has been started, and strace is attached before it goes on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.atomicops.both import BEGIN, LIMIT_S, PACKAGE, PythonServer, environment
from tests.atomicops.faults.steps import TRACED, Step, steps

STRACE = shutil.which("strace") or "strace"
ERRORS = (
    "ENOSPC", "EDQUOT", "EIO", "EINTR", "EINVAL", "ENOSYS", "EPERM", "EACCES", "EBUSY", "EMFILE", "ENOLCK", "EROFS",
    "ETXTBSY", "ENAMETOOLONG",
)  # fmt: skip
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
FAULTS = (*ERRORS, *SIGNALS)
PROCESSES = ("python", "perl", "shell")
"""Whose system calls are met: those of Python, of the Perl that Bash starts, of Bash itself."""


@dataclass(frozen=True)
class Run:
    """What a run came to.

    Attributes: ``status`` the exit code, or the name of the signal that ended it; ``injected`` whether strace did;
    ``from_the_start`` whether it saw all (it may be attached a moment too late).
    """

    status: int | str
    message: str
    steps: tuple[Step, ...]
    injected: bool
    from_the_start: bool = True


def cannot_inject() -> str | None:
    """Why strace cannot inject faults here, or None."""
    probe = [STRACE, "-o", os.devnull, "-e", "inject=getppid:error=EIO", "true"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "strace is not installed"
    return f"strace cannot inject faults here: {done.stderr.strip()[-200:]}" if done.returncode else None


def strace(folder: Path, step: Step | None, fault: str | None) -> list[str]:
    """The command line in front of a program, or of ``-p PID``."""
    command = [STRACE, "-qq", "-y", "-o", str(folder / "trace"), "-e", f"trace={TRACED}", "-e", "signal=none"]
    if step is not None and fault is not None:
        what = f"signal={fault}" if fault.startswith("SIG") else f"error={fault}"
        command += ["-e", f"inject={step.call}:{what}:when={step.when}"]
    return command


def run_bash(
    folder: Path, arguments: Sequence[str], process: str, step: Step | None = None, fault: str | None = None
) -> Run:
    """A function of the Bash helpers; the fault meets ``process``: ``perl`` or ``shell``."""
    before = strace(folder, step, fault)
    env = environment(ATOMICOPS_LOCK_TIMEOUT="5", LC_ALL="C.UTF-8")
    script = f'. "$0/atomicops.sh" || exit 99; cd scene; [[ -e {BEGIN} ]]; "$@"; exit'
    command = ["bash", "-c", script, str(PACKAGE / "shell"), *arguments]
    if process == "shell":
        command = [*before, *command]
    else:
        programs = folder / "programs"
        programs.mkdir()
        quoted = " ".join(f"'{word}'" for word in before)
        (programs / "perl").write_text(f'#!/bin/sh\nexec {quoted} {shutil.which("perl")} "$@"\n')
        (programs / "perl").chmod(0o755)
        env["PATH"] = f"{programs}:{env['PATH']}"
    with open(folder / "io" / "input", "rb") as given, open(folder / "io" / "output", "wb") as output:
        done = subprocess.run(
            command,
            cwd=folder,
            env=env,
            stdin=given,
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=LIMIT_S,
            check=False,
        )
    run = _result(folder, done.returncode, os.fsdecode(done.stderr))
    if process == "shell":  # to make a process is Bash's own business
        return replace(run, steps=tuple(step for step in run.steps if " " in step.name))
    return run


class TracedPython(PythonServer):
    """A Python with everything imported, which forks a child for each run, and strace is attached to that."""

    def operate(
        self, folder: Path, arguments: Sequence[str], step: Step | None = None, fault: str | None = None
    ) -> Run:
        """A subcommand of ``python -m atomicops``."""
        status = self.run(arguments, folder / "scene", folder / "io", strace(folder, step, fault))
        run = _result(folder, status, os.fsdecode((folder / "io" / "messages").read_bytes()))
        return replace(run, from_the_start=BEGIN in os.fsdecode((folder / "trace").read_bytes()))


def _result(folder: Path, status: int, message: str) -> Run:
    trace = folder / "trace"
    text = os.fsdecode(trace.read_bytes()) if trace.exists() else ""
    ended: int | str = status
    if status < 0 or 128 < status < 160:
        ended = signal.Signals(-status if status < 0 else status - 128).name
    return Run(ended, message, tuple(steps(text, folder)), "(INJECTED)" in text or ended == "SIGKILL")
