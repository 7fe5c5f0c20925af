"""Dependencies point one way. The test reads the imports and names the file that breaks this.

- ``atomicops`` imports the standard library, and nothing of ours: it can be copied into anything.
- ``stress`` imports neither ``scenarios`` nor ``atomicops``: the witness does not depend on the suspect.
- ``scenarios`` import `stress.api`, ``atomicops``, the standard library and themselves.
- ``atomicops_stress`` leads into ``stress``, and has nothing else of ours.
- Inside ``stress`` each layer imports those below it alone (`LAYERS`), no package has a cycle among its members, and
  what has a leading underscore is imported only from where it lies.
- Processes are started, and signals sent, in ``stress/execution``, ``stress/syscalls`` and ``stress/host`` only;
  checkers have no clock and read no file; only the command line exits; people's output is made in
  ``stress/reporters`` and ``stress/cli``.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from stress.cli._start import NEEDED

ROOT = Path(__file__).parent.parent
OURS = ("atomicops", "atomicops_stress", "stress", "scenarios")
THIRD_PARTY = frozenset({"click", "jinja2", "markupsafe", "multiprocess", "numpy", "rich"})
"""What `stress` may use of others; the same as in pyproject.toml."""

ONLY_IN = {"pytest": "stress/pytest_plugin.py", "hypothesis": "stress/strategies.py"}
"""What is there only for those who test with it: no dependency, and imported in one file."""

PROCESSES = frozenset({"multiprocess", "multiprocessing", "subprocess", "signal", "concurrent", "asyncio", "pty"})
HANDLES_SIGNALS = ("stress/engine.py", "stress/cli/")
"""Ctrl-C stops a run cleanly: handlers are set there. Nothing else of `PROCESSES` is."""

STARTS_PROCESSES = ("stress/execution/", "stress/host/", "stress/syscalls/")

WORLD = frozenset(
    {"os", "io", "pathlib", "shutil", "tempfile", "glob", "time", "datetime", "random", "secrets", "socket", "mmap"}
)
NOT_PURE = {"stress/checkers/registry.py", "stress/checkers/__init__.py"}

LAYERS: tuple[dict[str, str], ...] = (
    {
        "values": "anomalies exits files latency options plugins registry units "
        "history.kinds history.notes history.record",
        "host": "host",
    },
    {"history": "history outcomes result stats"},
    {"workload": "workload", "syscalls": "syscalls"},
    {"plan": "plan"},
    {"checkers": "checkers", "execution": "execution", "schedulers": "schedulers"},
    {"resolve": "resolve", "strategies": "strategies"},
    {"engine": "engine"},
    {"exploring": "exploring"},
    {"bench": "bench"},
    {"reporters": "reporters"},
    {"campaigns": "campaigns"},
    {"the surface": "cli api pytest_plugin __init__ __main__"},
)
"""The layers of `stress`, the lowest first: name of a group → its modules and packages, of which the longest that fits
counts. A group imports itself and the layers below, and none that stands beside it.
"""

CYCLE_FREE = ("stress/", "scenarios/", "atomicops/")


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
    if home == "atomicops_stress":
        mine = top in sys.stdlib_module_names or top in ("atomicops_stress", "pytest")
        mine = mine or f"{name}.".startswith(("stress.cli.", "stress.pytest_plugin.", "stress.result."))
        return None if mine or name == "stress" else "the way in imports nothing of ours but where it leads"
    if ONLY_IN.get(top) == path:
        return None
    if top not in sys.stdlib_module_names and top != "stress" and top not in THIRD_PARTY:
        return "stress imports nothing of scenarios and atomicops, and of others what pyproject.toml names"
    handles = top == "signal" and path.startswith(HANDLES_SIGNALS)
    if top in PROCESSES and not handles and not path.startswith(STARTS_PROCESSES):
        return "processes and signals belong in stress/execution, stress/syscalls and stress/host"
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
        if not path.startswith("stress/") or path.startswith(("stress/cli/", *STARTS_PROCESSES)):
            continue
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Call, ast.Raise))]
        for node in sorted(nodes, key=lambda node: node.lineno):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "os._exit", "exit", "print"):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node.func)}() belongs in stress/cli")
            if isinstance(node, ast.Raise) and node.exc is not None and "SystemExit" in ast.unparse(node.exc):
                found.append(f"{path}:{node.lineno}: only stress/cli exits")
    return found


def modules(files: Mapping[str, str]) -> dict[str, str]:
    """Dotted name → path. A package is ``package.__init__``, so that it stands beside its members."""
    return {path.removesuffix(".py").replace("/", "."): path for path in files}


def inner_imports(files: Mapping[str, str]) -> Iterator[tuple[str, int, str, str]]:
    """(module, line, imported module, dotted name imported), for imports of modules that are among ``files``."""
    known = modules(files)
    for module, path in sorted(known.items()):
        for line, name in imports(path, files[path]):
            stem = name
            while stem and stem not in known and f"{stem}.__init__" not in known:
                stem = stem.rpartition(".")[0]
            if stem:
                yield module, line, stem if stem in known else f"{stem}.__init__", name


def layer(module: str) -> tuple[int, str] | None:
    """The height and the group of a module of `stress`; None: it is in no layer."""
    parts = module.split(".")[1:]
    for length in range(len(parts), 0, -1):
        for height, groups in enumerate(LAYERS):
            for group, members in groups.items():
                if ".".join(parts[:length]) in members.split():
                    return height, group
    return None


def climbs(files: Mapping[str, str]) -> list[str]:
    """``path:line: imports name: why not``, for all in `stress` that imports a layer above or beside its own."""
    ours = {path: text for path, text in files.items() if path.startswith("stress/")}
    known = modules(ours)
    found = [f"{path}: is in no layer: name it in LAYERS" for name, path in known.items() if layer(name) is None]
    for module, line, imported, name in inner_imports(ours):
        here, there = layer(module), layer(imported)
        if here is not None and there is not None and here[1] != there[1] and there[0] >= here[0]:
            where = "above" if there[0] > here[0] else "beside"
            found.append(f"{known[module]}:{line}: imports {name}: {there[1]} is {where} {here[1]}")
    return found


def cycles(files: Mapping[str, str]) -> list[str]:
    """``one → other → one``, for each package whose modules and packages import each other in a circle."""
    packages: dict[str, dict[str, set[str]]] = {}
    for module, _, imported, _ in inner_imports(files):
        one, other = module.split("."), imported.split(".")
        depth = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
        if depth:
            members = packages.setdefault(".".join(one[:depth]), {})
            members.setdefault(".".join(one[: depth + 1]), set()).add(".".join(other[: depth + 1]))
    found = []
    for _, members in sorted(packages.items()):
        try:
            graphlib.TopologicalSorter(members).prepare()
        except graphlib.CycleError as error:
            found.append(" → ".join(reversed(error.args[1])))
    return found


def trespasses(files: Mapping[str, str]) -> list[str]:
    """``path:line: imports name``, for everything private that is imported from outside of where it lies."""
    known = modules(files)
    found = []
    for module, line, _, name in inner_imports(files):
        parts = name.split(".")
        homes = [parts[:at] for at, part in enumerate(parts) if part.startswith("_") and not part.endswith("__")]
        if any(module.split(".")[: len(home)] != home for home in homes):
            found.append(f"{known[module]}:{line}: imports {name}, which is private")
    return found


def test_dependencies_point_one_way() -> None:
    files = sources()
    assert {path.split("/")[0] for path in files} == set(OURS)
    assert breaches(files) == []


def test_layers_inside_stress() -> None:
    assert climbs(sources()) == []


def test_no_package_has_a_cycle() -> None:
    assert cycles({path: text for path, text in sources().items() if path.startswith(CYCLE_FREE)}) == []


def test_what_is_private_stays_at_home() -> None:
    assert trespasses(sources()) == []


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
        ("stress/workload/layout.py", "import signal", "signal"),
        ("stress/cli/run.py", "from subprocess import run", "subprocess.run"),
        ("stress/workload/layout.py", "import requests", "requests"),
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
        ("stress/execution/launch.py", "import multiprocess, subprocess, signal"),
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


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("stress/history/journal.py", "from stress.workload.target import load", "workload is above history"),
        ("stress/history/record.py", "import stress.history.journal", "history is above values"),
        (
            "stress/checkers/torn.py",
            "def f():\n    from stress.execution import progress",
            "execution is beside checkers",
        ),
        ("stress/execution/progress.py", "from stress.checkers import torn", "checkers is beside execution"),
        ("stress/engine.py", "from stress.campaigns.stages import run", "campaigns is above engine"),
        ("stress/reporters/live.py", "from stress.campaigns import stages", "campaigns is above reporters"),
        ("stress/reporters/live.py", "from stress import cli", "the surface is above reporters"),
        ("stress/bench/measure.py", "from ..campaigns import stages", "campaigns is above bench"),
    ],
)
def test_a_climb_is_seen(path: str, text: str, why: str) -> None:
    there = ("history/journal", "history/record", "workload/target", "checkers/torn", "execution/progress", "engine")
    more = ("campaigns/stages", "reporters/live", "bench/measure", "cli/__init__", "campaigns/__init__")
    tree = {f"stress/{name}.py": "" for name in (*there, *more)}
    assert climbs(tree) == []
    (found,) = climbs(tree | {path: text})
    assert found.startswith(f"{path}:")
    assert found.endswith(why)


def test_layers_below_may_be_imported_and_each_module_has_one() -> None:
    tree = {
        "stress/history/record.py": "",
        "stress/result.py": "from stress.history.history import History",
        "stress/history/history.py": "from stress.history.record import Kind",
        "stress/engine.py": "from stress.result import Result\nfrom stress.history import record",
    }
    assert climbs(tree) == []
    assert climbs(tree | {"stress/attic.py": ""}) == ["stress/attic.py: is in no layer: name it in LAYERS"]


@pytest.mark.parametrize(
    ("tree", "cycle"),
    [
        ({"s/a.py": "from s import b", "s/b.py": "def f():\n    from s.a import x"}, "s.a → s.b → s.a"),
        (
            {"s/a/x.py": "from s.b.y import f", "s/a/z.py": "", "s/b/y.py": "", "s/b/w.py": "import s.a.z"},
            "s.a → s.b → s.a",
        ),
        ({"s/p/a.py": "from . import b", "s/p/b.py": "from .q.c import x", "s/p/q/c.py": "from ..a import y"}, "s.p."),
        ({"s/p/__init__.py": "from s.p.a import x", "s/p/a.py": "from s.p import y"}, "s.p.__init__ → "),
    ],
)
def test_a_cycle_is_seen(tree: dict[str, str], cycle: str) -> None:
    (found,) = cycles(tree)
    assert cycle in f"{found} → {found}"
    # Without one of its imports there is none.
    for path in tree:
        assert not tree[path] or cycles(tree | {path: ""}) == []


def test_members_of_one_package_may_import_one_way() -> None:
    tree = {"s/__init__.py": "from s.a.x import f", "s/a/x.py": "from s.a.y import g\nimport s.b", "s/a/y.py": ""}
    assert cycles(tree | {"s/b/__init__.py": "", "s/b/z.py": "from s.c import h", "s/c.py": ""}) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("s/b/y.py", "from s.a._x import f"),
        ("s/b/y.py", "from s.a import _x"),
        ("s/b/y.py", "def f():\n    import s.a._x"),
        ("s/b/y.py", "from s.a._deep.z import f"),
        ("s/c.py", "from s.a.y import _name"),
        ("s/a/z.py", "from s.a.y import _name"),
    ],
)
def test_a_trespass_is_seen(path: str, text: str) -> None:
    tree = {"s/a/_x.py": "", "s/a/y.py": "", "s/a/_deep/z.py": "", "s/a/_deep/__init__.py": ""}
    (found,) = trespasses(tree | {path: text})
    assert found.startswith(f"{path}:")


def test_what_is_private_may_be_imported_where_it_lies() -> None:
    tree = {
        "s/a/_x.py": "from s.a._deep import z",
        "s/a/y.py": "from __future__ import annotations\nfrom s.a._x import f\nfrom . import _x",
        "s/a/_deep/__init__.py": "",
        "s/a/_deep/z.py": "from s.a._x import f\nfrom s.a._deep._w import g",
        "s/a/_deep/_w.py": "",
    }
    assert trespasses(tree) == []


def test_pyproject_names_what_stress_uses() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {requirement.partition(">")[0] for requirement in project["dependencies"]} == THIRD_PARTY
    assert set(NEEDED) == THIRD_PARTY
