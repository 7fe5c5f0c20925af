"""What importing costs, counted in modules rather than in time, and what the package depends on."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import atomicops

PACKAGE = Path(atomicops.__file__).parent
SLOW = {"typing", "dataclasses", "pathlib", "tempfile", "hashlib", "threading", "contextlib", "subprocess", "argparse",
        "inspect", "random", "shutil", "json", "re", "enum", "ctypes", "copy"}  # fmt: skip


def imported(code: str) -> set[str]:
    """The modules that a bare interpreter loads for ``code`` and not by itself."""
    script = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{script}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_the_package_alone_imports_next_to_nothing() -> None:
    assert imported("import atomicops") == {"__future__", "atomicops"}


def test_the_helpers_import_nothing_slow() -> None:
    for name in ("atomic_write_text", "atomic_append_text", "file_lock", "create_backup", "sweep_orphans"):
        assert not imported(f"from atomicops import {name}") & SLOW, name


def test_json_helpers_import_json_and_no_other_slow_module() -> None:
    needed = imported("import json")
    for name in ("atomic_write_json", "safe_read_json", "update_json"):
        assert not (imported(f"from atomicops import {name}") - needed) & SLOW, name


def test_only_the_standard_library_is_imported() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                assert top in sys.stdlib_module_names or top == "atomicops", f"{path.name} imports {name}"


def test_every_public_name_is_documented() -> None:
    for name in atomicops.__all__:
        value = getattr(atomicops, name)
        if callable(value):
            assert value.__doc__, name
            assert not name.startswith("_")
