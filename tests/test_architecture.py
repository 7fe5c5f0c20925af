"""Dependencies point one way. The test reads the imports and names the file that breaks this.

- ``atomicops`` imports the standard library, and nothing of ours: it can be copied into anything.
- ``stress`` imports neither ``scenarios`` nor ``atomicops``: the witness does not depend on the suspect.
- ``scenarios`` import `stress.api`, ``atomicops``, the standard library and themselves.
- Processes are started, and signals sent, in ``stress/workers`` only; checkers have no clock and read no file;
  only the command line exits; people's output is made in ``stress/reporters`` and ``stress/cli``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from stress.cli._start import NEEDED

ROOT = Path(__file__).parent.parent
OURS = ("atomicops", "stress", "scenarios")
THIRD_PARTY = frozenset({"click", "jinja2", "markupsafe", "multiprocess", "numpy", "rich"})
"""What `stress` may use of others; the same as in pyproject.toml."""

ONLY_IN = {"pytest": "stress/pytest_plugin.py", "hypothesis": "stress/strategies.py"}
"""What is there only for those who test with it: no dependency, and imported in one file."""

PROCESSES = frozenset({"multiprocess", "multiprocessing", "subprocess", "signal", "concurrent", "asyncio", "pty"})
HANDLES_SIGNALS = ("stress/engine.py", "stress/cli/")
"""Ctrl-C stops a run cleanly: handlers are set there. Nothing else of `PROCESSES` is."""

WORLD = frozenset(
    {"os", "io", "pathlib", "shutil", "tempfile", "glob", "time", "datetime", "random", "secrets", "socket", "mmap"}
)
NOT_PURE = {"stress/checkers/registry.py", "stress/checkers/__init__.py"}


def sources() -> dict[str, str]:
    """Path from the root → text, of every module of ours that is installed."""
    return {
        str(path.relative_to(ROOT)): path.read_text("utf-8") for name in OURS for path in (ROOT / name).rglob("*.py")
    }


def imports(path: str, text: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that a module imports, wherever it does."""
    package = [*Path(path).parts[:-1]]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{stem}.{alias.name}"


def allowed(path: str, name: str) -> str | None:
    """None, or why the module at ``path`` may not import ``name``."""
    home, top = path.split("/")[0], name.split(".")[0]
    if home == "atomicops":
        return None if top in sys.stdlib_module_names or top == "atomicops" else "atomicops is standard library only"
    if home == "scenarios":
        if top in sys.stdlib_module_names or top in ("atomicops", "scenarios"):
            return None
        return None if f"{name}.".startswith("stress.api.") else "scenarios import stress.api and atomicops only"
    if ONLY_IN.get(top) == path:
        return None
    if top not in sys.stdlib_module_names and top != "stress" and top not in THIRD_PARTY:
        return "stress imports nothing of scenarios and atomicops, and of others what pyproject.toml names"
    handles = top == "signal" and path.startswith(HANDLES_SIGNALS)
    if top in PROCESSES and not handles and not path.startswith("stress/workers/"):
        return "processes and signals belong in stress/workers"
    if top in WORLD and path.startswith("stress/checkers/") and path not in NOT_PURE:
        return "a checker is a pure function of the history"
    if top == "click" and not path.startswith("stress/cli/"):
        return "arguments are read in stress/cli"
    if top in ("rich", "jinja2", "markupsafe") and not path.startswith("stress/reporters/"):
        return "what people see is made in stress/reporters"
    return None


def breaches(files: Mapping[str, str]) -> list[str]:
    """``path:line: imports name: why not``, for all that break the rule."""
    return [
        f"{path}:{line}: imports {name}: {why}"
        for path, text in sorted(files.items())
        for line, name in imports(path, text)
        if (why := allowed(path, name)) is not None
    ]


def exits(files: Mapping[str, str]) -> list[str]:
    """``path:line`` of everything that ends the process, or prints, where that is not its business."""
    found = []
    for path, text in sorted(files.items()):
        if not path.startswith("stress/") or path.startswith(("stress/cli/", "stress/workers/")):
            continue
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Call, ast.Raise))]
        for node in sorted(nodes, key=lambda node: node.lineno):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "os._exit", "exit", "print"):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node.func)}() belongs in stress/cli")
            if isinstance(node, ast.Raise) and node.exc is not None and "SystemExit" in ast.unparse(node.exc):
                found.append(f"{path}:{node.lineno}: only stress/cli exits")
    return found


def test_dependencies_point_one_way() -> None:
    files = sources()
    assert {path.split("/")[0] for path in files} == set(OURS)
    assert breaches(files) == []


def test_only_the_command_line_exits_and_prints() -> None:
    assert exits(sources()) == []


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("atomicops/_write.py", "import numpy", "numpy"),
        ("atomicops/_write.py", "def f():\n    from stress.api import x", "stress.api.x"),
        ("stress/engine.py", "from scenarios import bridge", "scenarios.bridge"),
        ("stress/engine.py", "import atomicops.lock", "atomicops.lock"),
        ("stress/engine.py", "import subprocess", "subprocess"),
        ("stress/world.py", "import signal", "signal"),
        ("stress/cli/run.py", "from subprocess import run", "subprocess.run"),
        ("stress/world.py", "import requests", "requests"),
        ("stress/checkers/torn.py", "import time", "time"),
        ("stress/checkers/torn.py", "from pathlib import Path", "pathlib.Path"),
        ("stress/engine.py", "import rich.table", "rich.table"),
        ("stress/cli/report.py", "import jinja2", "jinja2"),
        ("stress/engine.py", "import click", "click"),
        ("stress/engine.py", "import pytest", "pytest"),
        ("stress/pytest_plugin.py", "import hypothesis", "hypothesis"),
        ("scenarios/bridge.py", "from stress.engine import run", "stress.engine.run"),
        ("scenarios/bridge.py", "import stress", "stress"),
        ("scenarios/bridge.py", "from stress import engine", "stress.engine"),
        ("scenarios/bridge.py", "import filelock", "filelock"),
        ("scenarios/targets/x.py", "from stress.apiary import x", "stress.apiary.x"),
    ],
)
def test_a_breach_is_seen_and_its_file_is_named(path: str, text: str, what: str) -> None:
    (found,) = breaches({path: text})
    assert found.startswith(f"{path}:")
    assert f": imports {what}: " in found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("atomicops/_write.py", "import os, json\nfrom ._lock import lock\nfrom . import _sync"),
        ("stress/engine.py", "import signal\nimport numpy as np\nfrom stress.plan import Plan"),
        ("stress/cli/bench.py", "import signal, click"),
        ("stress/workers/launch.py", "import multiprocess, subprocess, signal"),
        (
            "scenarios/bridge.py",
            "from stress.api import Kind\nimport stress.api\nfrom atomicops import write\nimport os",
        ),
        ("scenarios/bridge.py", "from stress import api\nfrom . import handoff"),
        ("stress/checkers/torn.py", "import numpy, collections\nfrom stress.api import checker"),
    ],
)
def test_what_is_in_order_is_left_alone(path: str, text: str) -> None:
    assert breaches({path: text}) == []


def test_an_exit_is_seen() -> None:
    text = "import sys\ndef f():\n    sys.exit(1)\ndef g():\n    raise SystemExit(2)\n"
    assert [line.rpartition(": ")[0] for line in exits({"stress/engine.py": text})] == [
        "stress/engine.py:3", "stress/engine.py:5",
    ]  # fmt: skip
    assert exits({"stress/cli/_entry.py": text}) == []


def test_pyproject_names_what_stress_uses() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {requirement.partition(">")[0] for requirement in project["dependencies"]} == THIRD_PARTY
    assert set(NEEDED) == THIRD_PARTY
