"""What is secret is never readable for a moment: every system call that makes or widens a file is looked at."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.atomicops.both import LONG, Helpers
from tests.atomicops.faults.inject import TracedPython, cannot_inject, run_bash
from tests.atomicops.faults.scene import OPERATIONS, Operation, Scene
from tests.atomicops.faults.steps import Step

HELPERS = Helpers()
MAKERS = ["write", "swap", "append", "update", "backup", "recover", "write through a link"]
MODES = [0o600, 0o640]


@pytest.fixture(scope="module")
def python() -> Iterator[TracedPython]:
    if (why := cannot_inject()) is not None:
        pytest.skip(why)
    with TracedPython() as server:
        yield server


def steps_of(operation: Operation, process: str, folder: Path, mode: int, python: TracedPython) -> tuple[Step, ...]:
    scene = Scene(folder, operation)
    for path in scene.place.iterdir():
        if not path.is_symlink():
            path.chmod(mode)
    umask = os.umask(0)
    try:
        if process == "python":
            return python.operate(scene.folder, operation.python).steps
        return run_bash(scene.folder, operation.bash, process).steps
    finally:
        os.umask(umask)


@pytest.mark.parametrize("mode", MODES, ids=oct)
@pytest.mark.parametrize("process", ["python", "perl"])
@pytest.mark.parametrize("name", MAKERS)
def test_never_wider_than_the_target(tmp_path: Path, python: TracedPython, name: str, process: str, mode: int) -> None:
    """From its first instant a new file is at most as open as the one whose content it gets."""
    if name == "recover":
        mode |= 0o400
    for step in steps_of(OPERATIONS[name], process, tmp_path / "run", mode, python):
        if step.name.startswith("open ") and "O_CREAT" in step.line and step.name != "open lock":  # that is empty
            (given,) = re.findall(r", 0(\d+)\) = ", step.line)
            assert int(given, 8) & ~mode & 0o077 == 0, step.line
        elif step.name in ("chmod temp", "chmod backup", "chmod evidence", "chmod target", "chmod lock"):
            (given,) = re.findall(r", 0(\d+)\) = ", step.line)
            assert int(given, 8) & ~mode & 0o777 == 0, step.line


@pytest.mark.parametrize("language", ["python", "bash"])
@pytest.mark.parametrize("mode", MODES, ids=oct)
def test_what_is_left_is_as_closed_as_the_file(tmp_path: Path, language: str, mode: int) -> None:
    """Backup, evidence, lock and file, after all that can be done; with a umask of 0."""
    path = tmp_path / "s.json"
    path.write_text("{}")
    path.chmod(mode)
    umask = os.umask(0)
    try:
        for operation, *arguments in (("backup", "s.json"), ("write", "{}", "s.json"), ("append", " ", "s.json")):
            assert HELPERS.call(language, operation, *arguments, cwd=tmp_path).code == 0
        path.write_text("{torn")
        assert HELPERS.call(language, "recover", "s.json", cwd=tmp_path).code == 0
    finally:
        os.umask(umask)
    names = sorted(os.listdir(tmp_path))
    assert len(names) == 4, names
    for name in names:
        found = stat.S_IMODE((tmp_path / name).stat().st_mode)
        assert found & ~mode == 0, f"{name}: {found:o}"


@pytest.mark.parametrize("language", ["python", "bash"])
def test_a_new_file_has_what_the_umask_leaves(tmp_path: Path, language: str) -> None:
    for mask in (0o000, 0o027, 0o077):
        umask = os.umask(mask)
        try:
            done = HELPERS.call(language, "write", "{}", f"{mask:o}.json", cwd=tmp_path)
        finally:
            os.umask(umask)
        assert done.code == 0, done
        assert stat.S_IMODE((tmp_path / f"{mask:o}.json").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("process", ["python", "perl"])
def test_a_kill_at_any_write_leaves_nothing_wider(tmp_path: Path, python: TracedPython, process: str) -> None:
    operation = OPERATIONS["write"]
    steps = steps_of(operation, process, tmp_path / "learn", 0o600, python)
    those = [step for step in steps if step.name.endswith(" temp")]
    for number, step in enumerate(those if LONG else those[::2]):
        scene = Scene(tmp_path / str(number), operation)
        (scene.place / "x.json").chmod(0o600)
        if process == "python":
            python.operate(scene.folder, operation.python, step, "SIGKILL")
        else:
            run_bash(scene.folder, operation.bash, process, step, "SIGKILL")
        for left in scene.place.glob(".*-tmp"):
            assert stat.S_IMODE(left.stat().st_mode) & 0o077 == 0, step.line
