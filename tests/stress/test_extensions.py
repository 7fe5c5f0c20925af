"""What others bring by entry points and ``--load``; the example of each extension point is in ``docs/extending.md``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
EXAMPLE = re.search(r"^<!-- file: mine.py -->\n```python\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)
RUN = ("run", "queue", "--target", "my-store", "--writers", "3", "--ops", "300")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The page's example, as a file of a user's."""
    assert EXAMPLE is not None
    (tmp_path / "mine.py").write_text(EXAMPLE[1], "utf-8")
    return tmp_path


def _stress(folder: Path, *argv: str, path: str = "", code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stress", *argv],
        cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_installed_package_brings_one_of_each(mine: Path) -> None:
    site, info = mine / "site", mine / "site" / "theirs-1.5.dist-info"
    info.mkdir(parents=True)
    (mine / "mine.py").rename(site / "their_extensions.py")
    (site / "their_store.py").write_text("class Shelf:\n    '''A shelf.'''\n    def write(self, path, document): ...\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.5\n")
    groups = ("scenarios", "checkers", "reporters", "nemeses")
    (info / "entry_points.txt").write_text(
        "".join(f"[stress.{group}]\nmine = their_extensions\n" for group in groups)
        + "[stress.targets]\nshelf = their_store:Shelf\nbroken = their_store:Nothing\n"
    )
    said = _stress(mine, "list", path=str(site))
    for name in ("queue", "my-store", "fair", "csv", "touch"):
        assert re.search(rf"^  {name} .* \[from theirs 1\.5\]$", said, re.M), name
    assert re.search(r"^  shelf +A shelf \[from theirs 1\.5\]$", said, re.M)
    assert re.search(r"^  broken +can't be used: .*has no attribute 'Nothing'.*\[from theirs 1\.5\]$", said, re.M)
    assert not re.search(r"^  (handoff|atomicops|torn|html|kill) .*\[from", said, re.M)
    said = _stress(mine, *RUN, "--nemesis", "touch=5ms", "--report", "csv=found.csv,json=report.json", path=str(site))
    assert json.loads((mine / "report.json").read_text())["stats"]["nemeses"]["touch"] > 0
    assert "looked for by fair, progress, torn, updates" in said
    assert re.search(r"touch ×\d+", said)
    assert (mine / "found.csv").read_text() == "anomaly,scenario,file,count\n"


@pytest.mark.long
def test_a_run_remembers_the_file_that_it_was_told_to_load(mine: Path) -> None:
    _stress(mine, *RUN, "--load", "mine.py")
    elsewhere = mine / "elsewhere"
    elsewhere.mkdir()
    (run,) = (mine / ".stress").glob("*/plan.json")
    assert "looked for by fair" in _stress(elsewhere, "check", str(run.parent))
    (mine / "mine.py").unlink()
    said = _stress(elsewhere, "check", str(run.parent), code=3)
    assert f"the plug-in '{mine}/mine.py' is left out" in said
    assert "fair" in said.partition("UNKNOWN")[2]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (None, 2, "--load: 'own.py': there is no such file"),
        ("import no_such\n", 2, "--load: 'own.py' could not be imported: ModuleNotFoundError: No module named"),
        ("from stress.api import checker\nchecker('torn')(print)\n", 2, "a checker named 'torn' is registered alr"),
        ("from stress.api import nemesis\nnemesis('kill')(print)\n", 2, "'kill' is a fault that the harness has it"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit: 3"),
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_loaded_is_one_line(tmp_path: Path, text: str | None, code: int, said: str) -> None:
    if text is not None:
        (tmp_path / "own.py").write_text(text)
    shown = _stress(tmp_path, "list", "runs", "--load", "own.py", code=code)
    assert said in shown
    assert len(shown.splitlines()) == 1


def test_a_nemesis_that_fails_ends_the_run_and_is_named(mine: Path) -> None:
    with (mine / "mine.py").open("a") as file:
        file.write("\n\n@api.nemesis('clumsy')\ndef clumsy(victim):\n    raise KeyError(victim.process)\n")
    said = _stress(mine, *RUN, "--load", "mine.py", "--nemesis", "clumsy=1ms", code=4)
    assert re.search(r"the nemesis clumsy failed: KeyError: \d", said)
    assert "make room" not in said
    said = _stress(mine, *RUN, "--load", "mine.py", "--nemesis", "clumsi=1ms", code=2)
    assert "no nemesis is named 'clumsi' (did you mean 'clumsy'?)" in said


def test_what_is_loaded_can_be_explored(mine: Path) -> None:
    argv = ("explore", "queue", "--load", "mine.py", "--target", "my-store", "--processes", "2", "--schedules", "4")
    done = subprocess.run(
        [sys.executable, "-m", "stress", *argv], cwd=mine, capture_output=True, text=True, timeout=100, check=False
    )
    if "seccomp" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert "with my-store; queue (python)" in done.stdout
