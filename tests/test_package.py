"""The distributions: what they hold and say, and that they work in an environment with nothing else in it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomllib

from stress.cli._start import main

ROOT = Path(__file__).parent.parent
PACKAGES = ("atomicops", "atomicops_stress", "stress", "scenarios")
INSTALLED_MB_MAX = 95
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

USERS_LINES = """\
from pathlib import Path

import atomicops
import stress


def save(path: Path, count: int) -> None:
    atomicops.atomic_write_json({"count": count}, path)
    result = stress.run(stress.Plan(writers=2))
    reveal_type(atomicops.create_backup(path))
    reveal_type(result.verdict)
"""


@dataclass(frozen=True, slots=True)
class Built:
    """``sources``: what it was built from, a copy of ours."""

    sources: Path
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(distributions: Path) -> Built:
    """Our source distribution, and the wheel that is built from it."""
    (sdist,), (wheel,) = (distributions / "dist").glob("*.tar.gz"), (distributions / "dist").glob("*.whl")
    return Built(distributions / "sources", sdist, wheel)


def _run(*argv: str, cwd: Path | None = None, code: int = 0) -> str:
    """What a command says; its exit code must be ``code``."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "PIP_"))
    }
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == code, f"{' '.join(argv)}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def _environment(folder: Path, wheel: Path) -> Path:
    """A new environment that has a wheel in it and nothing else; its interpreter."""
    _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel))
    return python


def _needed() -> set[str]:
    """The distributions that ours depends on, and those that they do."""
    found: set[str] = set()
    waiting = [*PROJECT["dependencies"]]
    while waiting:
        requirement = waiting.pop()
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if name not in found and "extra ==" not in requirement and "python_version <" not in requirement:
            found.add(name)
            waiting += importlib.metadata.requires(name) or []
    return found


def _add_needed(python: Path) -> Path:
    """Put what ours depends on into an environment, from this one: no index is asked. Its folder of packages."""
    (site,) = (python.parent.parent / "lib").glob("python*/site-packages")
    for name in _needed():
        for file in importlib.metadata.distribution(name).files or []:
            source, target = Path(str(file.locate())), site / file
            if ".." not in file.parts and source.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _link_or_copy(source, target)
    return site


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy(source, target)


def _files(*names: str) -> Iterator[str]:
    for name in names:
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and not {"__pycache__", "_build"} & {*path.parts}:
                yield str(path.relative_to(ROOT))


def test_the_index_can_show_both_distributions(built: Built) -> None:
    said = _run(sys.executable, "-m", "twine", "check", "--strict", str(built.sdist), str(built.wheel))
    assert said.count("PASSED") == 2


def test_what_the_metadata_says(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode("utf-8")
        assert name.replace("METADATA", "licenses/LICENSE") in archive.namelist()
    fields = metadata.partition("\n\n")[0]
    assert "License-Expression: MIT" in fields
    assert "Author: the atomicops developers" in fields
    assert "Home-page" not in fields
    assert "Project-URL" not in fields
    assert f"Version: {PROJECT['version']}\n" in fields


def test_the_version_is_told_in_one_place() -> None:
    version = PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    releases = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.M)
    assert releases[0] == version
    for path in _files(*PACKAGES):
        if path.endswith((".py", ".sh", ".bash", ".pl")):
            assert not re.search(rf"""["']{re.escape(version)}["']""", (ROOT / path).read_text("utf-8")), path


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines()
    assert next(line for line in lines if line.startswith("## ")) == "## [Unreleased]"
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_wheel_holds_what_is_installed_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == set(_files(*PACKAGES))
    assert built.wheel.stat().st_size < 1_000_000


def test_the_source_distribution_holds_the_tests_and_passes_them(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    held = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert set(_files(*PACKAGES, "tests", "docs")) - held == set()
    assert {"CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "pyproject.toml", ".ci/run"} <= held
    # All of them take minutes: ATOMICOPS_TEST_SDIST=whole runs them.
    whole = os.environ.get("ATOMICOPS_TEST_SDIST") == "whole"
    some = () if whole else ("tests/test_architecture.py", "tests/atomicops/test_import.py")
    _run(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path / 'tmp'}",
        *some,
        cwd=root,
    )


def test_the_main_job_from_the_wheel_in_an_empty_environment(built: Built, tmp_path: Path) -> None:
    python = _environment(tmp_path / "env", built.wheel)
    site = _add_needed(python)
    stress = str(python.with_name("stress"))
    assert _run(stress, "--version").startswith(f"stress {PROJECT['version']} ")
    (tmp_path / "work").mkdir()
    said = _run(stress, "run", "--writers", "4", "--duration", "8s", cwd=tmp_path / "work")
    assert "PASS — 4 writers" in said
    (run,) = (tmp_path / "work" / ".stress").glob("20*")
    page = _run(stress, "report", str(run), cwd=tmp_path / "work").strip()
    assert "</html>" in (tmp_path / "work" / page).read_text("utf-8")
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    assert size < INSTALLED_MB_MAX * 1e6, f"{size / 1e6:.1f} MB"
    assert not (site / "plotly").exists()


def test_without_dependencies_the_helpers_work_and_stress_says_what_is_missing(built: Built, tmp_path: Path) -> None:
    python = _environment(tmp_path / "env", built.wheel)
    code = "import atomicops; atomicops.atomic_write_json({'a': 1}, 'x.json'); print(atomicops.read_json('x.json'))"
    assert "{'a': 1}" in _run(str(python), "-c", code, cwd=tmp_path)
    assert "usage" in _run(str(python), "-m", "atomicops", "--help").lower()
    _run(str(python), "-m", "atomicops", "vendor", str(tmp_path / "scripts"))
    _run("bash", "-c", f'printf "{{}}" | bash "{tmp_path}/scripts/atomic-write.sh" - "{tmp_path}/y.json"')
    for argv in ([str(python.with_name("stress")), "run"], [str(python), "-m", "stress"]):
        said = _run(*argv, code=2, cwd=tmp_path)
        assert said.count("\n") == 1
        assert said.startswith("stress: not installed, and needed: click, ")
        assert "pip install click " in said


def test_windows_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        main(["run"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("stress: Windows is not supported")
    assert said.count("\n") == 1


@pytest.mark.parametrize("way", ["wheel", "editable"])
def test_types_are_seen(way: str, built: Built, tmp_path: Path) -> None:
    wheel = built.wheel
    if way == "editable":
        code = "import sys, setuptools.build_meta as b; print(b.build_editable(sys.argv[1]))"
        _run(sys.executable, "-c", code, str(tmp_path), cwd=built.sources)
        (wheel,) = tmp_path.glob("*.whl")
    python = _environment(tmp_path / "env", wheel)
    (tmp_path / "mine.py").write_text(USERS_LINES)
    wrong = USERS_LINES.replace("writers=2", "writers='two'").replace("create_backup(path)", "create_backup(5)")
    (tmp_path / "wrong.py").write_text(wrong)
    cache = tmp_path.parent / "types-cache"
    said = _run(
        sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), "--python-executable", str(python),
        "mine.py", "wrong.py", cwd=tmp_path, code=1,
    )  # fmt: skip
    errors = re.findall(r"^(\w+)\.py:\d+: error: .*\[(.*)\]$", said, re.M)
    assert errors == [("wrong", "arg-type")] * 2, said
    revealed = re.findall(r'^mine\.py.*Revealed type is "(.*)"', said, re.M)
    assert len(revealed) == 2
    assert "Any" not in "".join(revealed)
