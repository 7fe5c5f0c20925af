"""The distributions: what they hold and say, and that they work in an environment with nothing else in it."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from atomicops import __version__
from stress.cli._start import main
from tests.conftest import run_clean
from tests.pages import blocks, do

ROOT = Path(__file__).parent.parent
PACKAGES = ("atomicops", "atomicops_stress", "stress", "scenarios")
INSTALLED_MB_MAX = 95

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


def _files(*names: str) -> Iterator[str]:
    for name in names:
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and not {"__pycache__", "_build"} & {*path.parts}:
                yield str(path.relative_to(ROOT))


def test_the_index_can_show_both_distributions(built: Built) -> None:
    said = run_clean(sys.executable, "-m", "twine", "check", "--strict", str(built.sdist), str(built.wheel))
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
    assert f"Version: {__version__}\n" in fields


def test_the_version_is_told_in_one_place() -> None:
    version = __version__
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    releases = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.M)
    assert releases[0] == version
    programs = [path for path in _files(*PACKAGES) if path.endswith((".py", ".sh", ".bash", ".pl"))]
    saying = [path for path in programs if re.search(rf"""["']{re.escape(version)}["']""", (ROOT / path).read_text())]
    assert saying == ["atomicops/__init__.py"]


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
    subprocess.run(["tar", "-xf", built.sdist, "-C", tmp_path], check=True)
    (root,) = tmp_path.iterdir()
    held = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert set(_files(*PACKAGES, "tests", "docs")) - held == set()
    assert {"CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "pyproject.toml", ".ci/run"} <= held
    # All of them take minutes: ATOMICOPS_TEST_SDIST=whole runs them.
    whole = os.environ.get("ATOMICOPS_TEST_SDIST") == "whole"
    some = () if whole else ("tests/atomicops/test_import.py", "tests/atomicops/test_backup.py")
    run_clean(
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


def test_the_main_job_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    stress = str(installed / "bin" / "stress")
    assert run_clean(stress, "--version").startswith(f"stress {__version__} ")
    said = run_clean(stress, "run", "session_count", "--writers", "4", "--ops", "300", cwd=tmp_path)
    assert "PASS — 4 writers" in said
    page = run_clean(stress, "report", "latest", cwd=tmp_path).strip()
    assert "</html>" in (tmp_path / page).read_text("utf-8")


def test_the_page_five_minutes_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    for block in blocks((ROOT / "docs" / "five-minutes.md").read_text("utf-8")):
        do(block, tmp_path, installed / "bin")


def test_what_is_installed_is_small(installed: Path) -> None:
    (site,) = (installed / "lib").glob("python*/site-packages")
    needed = [re.sub(r"[-_.]+", "_", name).lower() for name in (installed / "needed").read_text().split()]
    bytes_ = 0
    for info in site.glob("*.dist-info"):
        if info.name.partition("-")[0].lower() in [*needed, "atomicops_stress"]:
            records = (info / "RECORD").read_text("utf-8").splitlines()
            held = [site / next(csv.reader([record]))[0] for record in records]
            bytes_ += sum(path.stat().st_size for path in held if path.is_file())
    assert 20e6 < bytes_ < INSTALLED_MB_MAX * 1e6, f"{bytes_ / 1e6:.1f} MB"


def test_without_dependencies_the_helpers_work_and_stress_says_what_is_missing(bare: Path, tmp_path: Path) -> None:
    python, stress = str(bare / "bin" / "python"), str(bare / "bin" / "stress")
    code = "import atomicops; atomicops.atomic_write_json({'a': 1}, 'x.json'); print(atomicops.read_json('x.json'))"
    assert "{'a': 1}" in run_clean(python, "-c", code, cwd=tmp_path)
    assert "usage" in run_clean(python, "-m", "atomicops", "--help").lower()
    run_clean(python, "-m", "atomicops", "vendor", str(tmp_path / "scripts"))
    run_clean("bash", "-c", f'printf "{{}}" | bash "{tmp_path}/scripts/atomic-write.sh" - "{tmp_path}/y.json"')
    for argv in ([stress, "run"], [python, "-m", "stress"]):
        said = run_clean(*argv, code=2, cwd=tmp_path)
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
def test_types_are_seen(way: str, built: Built, bare: Path, tmp_path: Path) -> None:
    python = bare / "bin" / "python"
    if way == "editable":
        code = "import sys, setuptools.build_meta as b; print(b.build_editable(sys.argv[1]))"
        run_clean(sys.executable, "-c", code, str(tmp_path), cwd=built.sources)
        (wheel,) = tmp_path.glob("*.whl")
        run_clean(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env"))
        python = tmp_path / "env" / "bin" / "python"
        (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    (tmp_path / "mine.py").write_text(USERS_LINES)
    wrong = USERS_LINES.replace("writers=2", "writers=[2]").replace("create_backup(path)", "create_backup(5)")
    (tmp_path / "wrong.py").write_text(wrong)
    said = run_clean(
        sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", os.devnull,
        "--python-executable", str(python), "mine.py", "wrong.py", cwd=tmp_path, code=1,
    )  # fmt: skip
    errors = re.findall(r"^(\w+)\.py:\d+: error: .*\[(.*)\]$", said, re.M)
    assert errors == [("wrong", "arg-type")] * 2, said
    revealed = re.findall(r'^mine\.py.*Revealed type is "(.*)"', said, re.M)
    assert len(revealed) == 2
    assert "Any" not in "".join(revealed)
