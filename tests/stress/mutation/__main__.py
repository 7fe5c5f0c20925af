"""Mutation of what judges and of what is said: one small change at a time, and whether a test sees it.

::

    python -m tests.stress.mutation --seconds 300 --seed 7
    python -m tests.stress.mutation --of checkers/torn.py --seconds 600

Each mutant is a module of the checkers or reporters with one change: a comparison, ``and`` for ``or``, a ``not`` less,
a number one more, a text that says nothing. It is judged in a fork: first by the golden histories, which must be found
and told as they were; if they are, by the tests of its room. What survives is printed, but for those that
``survivors.txt`` beside this file explains; exit code 1 if there are others.

Written for this purpose, as mutmut and cosmic-ray run a whole suite for each mutant: minutes where this takes a second.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import sys
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[3]
_REGISTER = ("checkers/test_register_against_brute_force.py",)
_LOG = ("checkers/test_appends_against_brute_force.py", "checkers/test_log_replay.py")
ROOMS: dict[str, tuple[str, ...]] = {
    "checkers": (
        "checkers/test_golden_histories.py",
        "checkers/test_progress_and_vacuity.py",
        "checkers/test_owners.py",
        "checkers/test_small_parts.py",
        "checkers/test_elsewhere.py",
    ),
    "checkers/register.py": _REGISTER,
    "checkers/_register": _REGISTER,
    "checkers/appends.py": _LOG,
    "checkers/_log": _LOG,
    "reporters/html": ("reporters/test_html.py",),
    "reporters/trace.py": ("reporters/test_trace.py",),
    "reporters": ("reporters/test_reporters.py", "reporters/test_markdown_and_github.py"),
}
"""Part of stress/ → the tests that see to it, below tests/stress/."""
KNOWN = Path(__file__).with_name("survivors.txt")
_SWAPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What can be changed at ``node``: what is said of it, and what stands there then."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
        other = copy.deepcopy(node)
        other.ops[0] = _SWAPS[type(node.ops[0])]()
        yield f"{ast.unparse(node)} → {ast.unparse(other)}", other
    elif isinstance(node, ast.BoolOp):
        turned = ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        yield f"{ast.unparse(node)} → {ast.unparse(turned)}", turned
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"{ast.unparse(node)} → {ast.unparse(node.operand)}", node.operand
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield f"{node.value} → {node.value + 1}", ast.Constant(node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
        yield f"{node.value!r} → ''", ast.Constant("")


def places(source: str) -> list[tuple[int, int, str]]:
    """Every mutant of a module: the number of its node and of the change there, and what is changed. Docstrings and
    annotations stay.
    """
    tree = ast.parse(source)
    docstrings = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    return [
        (number, which, said)
        for number, node in enumerate(ast.walk(tree))
        if id(node) not in docstrings and not isinstance(node, (ast.AnnAssign, ast.arg))
        for which, (said, _) in enumerate(changes(node))
    ]


def mutant(source: str, number: int, which: int) -> tuple[ast.Module, int]:
    """The module with that change, and its line."""
    tree = ast.parse(source)
    place = list(ast.walk(tree))[number]
    _, other = list(changes(place))[which]
    _Put(place, other).visit(tree)
    return ast.fix_missing_locations(tree), getattr(place, "lineno", 0)


class _Put(ast.NodeTransformer):
    def __init__(self, place: ast.AST, other: ast.AST) -> None:
        self.place, self.other = place, other

    def visit(self, node: ast.AST) -> ast.AST:
        return self.other if node is self.place else self.generic_visit(node)


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a tree."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        package = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(name, self.path, loader=self, submodule_search_locations=package)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)


def survives(path: Path, tree: ast.Module, limit_s: float) -> bool:
    """Whether nothing sees the mutant, in a child that has imported nothing of ours yet."""
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setpgid(0, 0)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            sys.meta_path.insert(0, _Instead(name, path, tree))
            code = 0 if _golden() and _tests(path) else 1
        finally:
            os._exit(code)
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if (status := os.waitpid(child, os.WNOHANG))[0]:
            return status[1] == 0
        time.sleep(0.02)
    os.killpg(child, 9)  # our own child and what it started, not yet reaped: a loop without an end is seen
    os.waitpid(child, 0)
    return False


def _golden() -> bool:
    from stress.campaigns.golden import read_saved
    from stress.checkers.registry import load
    from stress.reporters.groups import Group
    from stress.reporters.witness import group_lines

    checkers = load()
    for path in sorted((ROOT / "tests/stress/histories").glob("*.json")):
        saved = read_saved(path, "drill")
        names = [name for name in checkers if name != "vacuity" or saved.as_run]
        found = [each for name in names for each in checkers.get(name)(saved.history)]
        lines = [
            "\n".join(group_lines(Group((each,)), saved.history.names, 100))
            for each in sorted(found, key=lambda f: f.rank)
        ]
        said = ROOT / "tests/stress/said" / f"{path.stem}.txt"
        if "\n\n".join(lines) + "\n" != said.read_text("utf-8"):
            return False
    return True


def _tests(path: Path) -> bool:
    import pytest

    part = str(path.relative_to(ROOT / "stress"))
    tests = [f"tests/stress/{test}" for room, own in ROOMS.items() if part.startswith(room) for test in own]
    # The golden histories have imported what pytest would like to import first.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    return pytest.main(["-x", "-q", "-n", "0", *quiet, *tests]) == 0


def main() -> int:
    """Try mutants at random until the time is over."""
    options = argparse.ArgumentParser(prog="python -m tests.stress.mutation", description=__doc__)
    options.add_argument("--seconds", type=float, default=300.0)
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--of", default="", help="a part of the path, below stress/")
    options.add_argument("--limit", type=float, default=120.0, help="seconds that a mutant may take")
    given = options.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    rooms = ("checkers", "reporters")
    paths = [path for room in rooms for path in sorted((ROOT / "stress" / room).rglob("*.py"))]
    sources = {path: path.read_text("utf-8") for path in paths}
    tried = [
        (path, *place)
        for path in paths
        if given.of in str(path.relative_to(ROOT / "stress"))
        for place in places(sources[path])
    ]
    random.Random(given.seed).shuffle(tried)
    known = {line.rpartition(" # ")[0].strip() for line in KNOWN.read_text("utf-8").splitlines()}
    for room in rooms:  # a suite that fails anyway kills every mutant
        path = ROOT / "stress" / room / "registry.py"
        if not survives(path, ast.parse(path.read_text("utf-8")), 5 * given.limit):
            sys.exit(f"the tests of {room} fail without any change")
    deadline, done, explained, alive = time.monotonic() + given.seconds, 0, 0, []
    for path, number, which, said in tried:
        if time.monotonic() > deadline:
            break
        done += 1
        tree, line = mutant(sources[path], number, which)
        if survives(path, tree, given.limit):
            what = f"{path.relative_to(ROOT / 'stress')}: {said[:100]}"
            if what in known:
                explained += 1
            else:
                alive.append(what)
                print(f"survives: {what}  (line {line})", flush=True)
    print(f"{done:,} of {len(tried):,} mutants: {done - explained - len(alive)} died, {explained} are explained, "
          f"{len(alive)} survive")  # fmt: skip
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
