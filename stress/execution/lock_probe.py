"""Whether an update can be done inside a target's ``lock``, as read, change and write: tried once, before the run.

A lock that can't be entered twice by one process (flock(2) on a second descriptor, a directory, a PID file) does not
allow that where ``read`` and ``write`` take it themselves: the process would wait for itself. It is a correct lock, so
nothing that it does then may be held against the target.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stress.execution.cast import WorkerSpec
from stress.execution.drivers.shell import environment
from stress.history.kinds import Language
from stress.history.skipped import Part, Skipped
from stress.host import process_tree
from stress.host.child import in_child
from stress.host.interrupts import temporary_directory
from stress.workload.target import Target

PROBE_S = 8.0
"""How long the probe may take; one that takes longer waits for itself."""
_ASLEEP_S = 0.5
"""How long it may be asleep in that time: nobody else has its file, so it is itself that it waits for."""
_LOOK_S = 0.01
_NAME = "stress-probe.json"
_DOCUMENT = '{"probe": 1}'
_BASH = 'source "$1" || exit 1; target_lock "$2" target_update "$2" "$STRESS_IN"'


def locks_that_nest(
    target: Target, workers: Sequence[WorkerSpec], directory: Path, source: Path | None
) -> frozenset[Language]:
    """The languages of ``workers`` in whose ``lock`` an update can be done; ``directory``: where the files will be."""
    nesting: set[Language] = set()
    for language in {spec.language for spec in workers}:
        supported = frozenset().union(*(spec.supported for spec in workers if spec.language is language))
        with temporary_directory("probe-", str(directory)) as made:
            if not {"lock", "update"} <= supported:
                nesting.add(language)  # nobody will ask for it
            elif language is Language.PYTHON:
                nesting |= {language} if python_lock_nests(target, Path(made)) else set()
            elif language not in (Language.BASH, Language.COMMAND):
                nesting.add(language)  # a foreign worker does a locked update as it likes, in one operation
            elif source is not None and bash_lock_nests(source, Path(made)):
                nesting.add(language)
    return frozenset(nesting)


def not_nested(language: Language) -> Skipped:
    """What is left out where a lock does not nest, in words."""
    why = "the target's lock can't be entered twice by one process, or raises, so updates are done by update alone"
    cure = "have lock, read and write not wait for what their own process holds"
    return Skipped(Part.WORKERS, language.label, why, cure, ("update inside lock",))


def python_lock_nests(target: Target, folder: Path, wait_s: float = PROBE_S) -> bool:
    """Whether ``read`` and ``write`` go through inside ``lock``, in a child, on a file in the fresh ``folder``."""
    if not {"lock", "read", "write"} <= target.operations:
        return True  # nobody asks for it

    def body() -> None:
        lock, read, write = (getattr(target.side(), name) for name in ("lock", "read", "write"))
        os.chdir(folder)
        with lock(_NAME):
            write(_NAME, read(_NAME))

    return _comes_to_its_end(body, folder, wait_s)


def bash_lock_nests(source: Path, folder: Path, wait_s: float = PROBE_S) -> bool:
    """The same for the functions of the Bash file ``source``: ``target_update`` inside ``target_lock``."""
    files = {f"STRESS_{name.upper()}": str(folder / name) for name in ("in", "err", "out")}
    (folder / "in").write_text(".", encoding="ascii")

    def body() -> None:
        os.chdir(folder)
        argv = ["bash", "--norc", "--noprofile", "-c", _BASH, "bash", str(source.resolve()), _NAME]
        os.execvpe("bash", argv, environment() | files)

    return _comes_to_its_end(body, folder, wait_s)


def _comes_to_its_end(body: Callable[[], None], folder: Path, wait_s: float) -> bool:
    """Whether ``body`` does so in a child, without an error."""
    (folder / _NAME).write_text(_DOCUMENT, encoding="ascii")

    def child() -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        body()

    return in_child(child, "stress-lock-probe", wait_s, _wait) == 0


def _wait(process: Any, limit_s: float) -> None:
    """Wait for the end of a child (`multiprocessing.Process`), or until it is sure that it waits for itself.

    What waits for a processor or for a disk is not asleep, by the letter of proc_pid_stat(5), so that a slow machine
    does not decide.
    """
    end, asleep_s = time.monotonic() + limit_s, 0.0
    while process.is_alive() and time.monotonic() < end and asleep_s < _ASLEEP_S:
        asleep_s += _LOOK_S if process_tree.all_asleep(process.pid) else 0.0
        time.sleep(_LOOK_S)
