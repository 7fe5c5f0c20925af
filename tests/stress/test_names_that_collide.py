"""Projects of users that have modules named as ours are, and plug-ins of others that are broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = sys.executable
SCRIPT = str(Path(PYTHON).with_name("stress"))

OWN = "def mine():\n    return 1\n"
TEST = """
def test_mine():
    import {name}
    assert {name}.mine() == 1
"""


def _do(folder: Path, *argv: str, path: str = "") -> subprocess.CompletedProcess[str]:
    # A pytest of its own would first tidy up after the tests that run it, which may have left thousands of files.
    own = {"PYTHONPATH": path, "PYTEST_ADDOPTS": "-p no:cacheprovider", "PYTEST_DEBUG_TEMPROOT": str(folder.parent)}
    environment = os.environ | own
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False)


def _lay_out(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _distribution(folder: Path, name: str, entry_points: str, files: dict[str, str]) -> None:
    """An installed distribution, as pip leaves it, in a folder that is to be on the path."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n"
    info = f"{name}-1.5.dist-info"
    _lay_out(folder, files | {f"{info}/METADATA": metadata, f"{info}/entry_points.txt": entry_points})


@pytest.mark.parametrize("own", ["stress/__init__.py", "stress.py", "scenarios/__init__.py", "scenarios.py"])
def test_a_projects_own_pytest_runs_as_if_we_were_not_there(tmp_path: Path, own: str) -> None:
    name = own.partition("/")[0].removesuffix(".py")
    _lay_out(tmp_path, {own: OWN, "test_mine.py": TEST.format(name=name)})
    done = _do(tmp_path, PYTHON, "-m", "pytest", "-q")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_torture_says_what_is_in_the_way_of_stress_and_does_not_run_it(tmp_path: Path) -> None:
    _lay_out(tmp_path, {
        "stress/__init__.py": "open('ran', 'w').close()\n",
        "test_mine.py": "def test_it(torture):\n    torture(object())\ndef test_other():\n    pass\n",
    })  # fmt: skip
    done = _do(tmp_path, PYTHON, "-m", "pytest", "-q")
    assert "1 passed, 1 error" in done.stdout
    assert f"finds {tmp_path}/stress/__init__.py" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("first", [True, False], ids=["theirs is loaded first", "ours is loaded first"])
def test_torture_beside_folders_named_scenarios_and_atomicops(tmp_path: Path, first: bool) -> None:
    head = "import atomicops\nimport scenarios\n" if first else ""
    store = f"class Store:\n    def write(self, path, document):\n        open(path, 'w').write(str(document))\n{head}"
    _lay_out(tmp_path, {
        "scenarios/__init__.py": OWN,
        "atomicops/__init__.py": OWN,
        "test_mine.py": f"{store}\ndef test_it(torture):\n    torture(Store, scenario='no-such')\n"
        + ("def test_ours(torture):\n    torture('atomicops')\n" if first else "")
        + TEST.format(name="scenarios"),
    })  # fmt: skip
    done = _do(tmp_path, PYTHON, "-m", "pytest", "-q")
    assert f"{1 + first} failed, 1 passed" in done.stdout, done.stdout
    assert not first or f"({tmp_path}/atomicops/__init__.py)" in done.stdout
    assert not first or "a module of yours is in the way: rename it" in done.stdout
    assert "no scenario is named 'no-such'; there are: backups, bridge" in done.stdout


@pytest.mark.parametrize(
    ("own", "argv"),
    [
        ("scenarios/__init__.py", (PYTHON, "-m", "stress")),
        ("scenarios.py", (PYTHON, "-m", "stress")),
        ("atomicops.py", (PYTHON, "-m", "stress")),
        ("stress/__init__.py", (PYTHON, "-m", "atomicops_stress")),
        ("stress/__init__.py", (SCRIPT,)),
        ("scenarios/__init__.py", (SCRIPT,)),
    ],
)
def test_ours_are_loaded_from_where_they_are_installed(tmp_path: Path, own: str, argv: tuple[str, ...]) -> None:
    _lay_out(tmp_path, {own: "raise RuntimeError('not mine')\n"})
    what, one = ("targets", "guide") if own == "atomicops.py" else ("scenarios", "handoff")
    done = _do(tmp_path, *argv, "list", what, path=str(tmp_path) if argv == (SCRIPT,) else "")
    assert done.returncode == 0, done.stderr
    assert f"\n{one} " in done.stdout
    assert "not mine" not in done.stdout
    assert done.stderr == ""


def test_an_empty_registry_is_an_error_that_names_what_was_loaded(tmp_path: Path) -> None:
    code = (
        "import importlib.metadata as m, runpy, sys\n"
        "m.entry_points = lambda group: [m.EntryPoint('x', 'empty', group)] if group == 'stress.scenarios' else []\n"
        "sys.argv = ['stress', *sys.argv[1:]]\n"
        "from stress.cli import main\nmain()\n"
    )
    _lay_out(tmp_path, {"empty/__init__.py": ""})
    for argv in (("list", "scenarios"), ("run", "handoff"), ("run", "--target", "naive")):
        done = _do(tmp_path, PYTHON, "-c", code, *argv)
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"what was loaded is {tmp_path}/empty/__init__.py" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_broken_plugin_is_named_and_nothing_else_stops(tmp_path: Path) -> None:
    _distribution(
        tmp_path / "site", "theirs",
        "[stress.scenarios]\nbad = theirs_bad\nabsent = theirs_absent\n[stress.checkers]\ntwice = theirs_twice\n",
        {
            "theirs_bad/__init__.py": "", "theirs_bad/broken.py": "x = 1\nimport no_such_module\n",
            "theirs_twice.py": "from stress.api import checker\nchecker('torn')(lambda history: ())\n",
        },
    )  # fmt: skip
    done = _do(tmp_path, PYTHON, "-m", "stress", "list", "scenarios", path=str(tmp_path / "site"))
    assert done.returncode == 0
    assert "handoff" in done.stdout
    bad, absent, twice = done.stderr.splitlines()
    assert bad.startswith(
        "stress: the plug-in 'bad' (theirs 1.5) is left out: ModuleNotFoundError: No module named 'no_"
    )
    assert bad.endswith(f"({tmp_path}/site/theirs_bad/broken.py, line 2)")
    assert "'absent' (theirs 1.5) is left out: ModuleNotFoundError: No module named 'theirs_absent'" in absent
    assert "'twice' (theirs 1.5) is left out: ValueError: a checker named 'torn' is registered already" in twice
    argv = ("run", "handoff", "--writers", "2", "--readers", "2", "--ops", "1500", "--mix", "python=2")
    done = _do(tmp_path, PYTHON, "-m", "stress", *argv, path=str(tmp_path / "site"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "plug-in 'bad' (theirs 1.5): ModuleNotFoundError" in done.stdout
