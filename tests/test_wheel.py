"""What users get: our wheel in a project of theirs, with tests over their own functions and scripts."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Ten lines, as a user writes them, over functions and scripts of theirs.
TESTS = """\
import json
from pathlib import Path
from atomicops import atomic_write_json, safe_read_json

def save(path, document): Path(path).write_text(json.dumps(document))
def load(path): return json.loads(Path(path).read_text())
def save_well(path, document): atomic_write_json(document, path)

def test_save(torture): torture(write=save, read=load, scenario="handoff", duration="4s", stop_on_first=True)
def test_script(torture): torture("save.toml", scenario="handoff", duration="6s", stop_on_first=True)
def test_save_well(torture): torture(write=save_well, read=safe_read_json, scenario="handoff", duration="1.5s")
def test_script_well(torture): torture("save-well.toml", scenario="handoff", duration="2s")
"""
SCRIPTS = {
    "save.toml": 'write = "bash save.sh {path}"\n',
    "save.sh": 'cat > "$1"\n',
    "save-well.toml": 'write = "bash save-well.sh {path}"\n',
    "save-well.sh": 'bash "$ATOMICOPS_SHELL/atomic-write.sh" - "$1"\n',
}


@pytest.fixture(scope="module")
def site(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel, unpacked."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = (distributions / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _pytest(site: Path, project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={project}/tmp", *options],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(site), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("-n", "4")], ids=["one by one", "-n 4"])
def test_a_users_project(options: tuple[str, ...], site: Path, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TESTS)
    for name, text in SCRIPTS.items():
        # The commands are run in the directory under test, so a script is named by its place.
        (tmp_path / name).write_text(text.replace("bash save", f"bash {tmp_path}/save"))
    done = _pytest(site, tmp_path, *options)
    failed = {line.split("::")[1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    assert failed == {"test_save", "test_script"}, done.stdout
    assert "2 failed, 2 passed" in done.stdout
    assert done.stdout.count("(checker torn, scenario handoff)") == 2


def test_everything_that_is_needed_is_in_the_wheel(site: Path) -> None:
    code = "import stress, atomicops, scenarios; print(stress.__file__, atomicops.__file__, scenarios.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=site, env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert all(path.startswith(str(site)) for path in done.stdout.split())
    ours = ("atomicops", "atomicops_stress", "stress", "scenarios")
    files = [path for name in ours for path in (ROOT / name).rglob("*") if path.is_file()]
    there = {path.relative_to(ROOT) for path in files if "__pycache__" not in path.parts}
    assert {str(path) for path in there if not (site / path).exists()} == set()
