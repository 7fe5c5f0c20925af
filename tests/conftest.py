"""What holds for every test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

ROOT = Path(__file__).parent.parent
DISTRIBUTED = (
    "atomicops", "atomicops_stress", "stress", "scenarios", "tests", "docs", ".ci", ".gitignore",
    "CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md", "SECURITY.md", "pyproject.toml",
)  # fmt: skip

settings.register_profile("calm", deadline=None)  # no test judges by the clock: machines stand still at times
settings.load_profile("calm")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are renewed by one command: ``pytest -m golden --renew``."""
    parser.addoption("--renew", action="store_true", help="write golden files anew; look at the difference before use")


@pytest.fixture
def as_it_was(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with the golden file of that path; ``--renew`` writes it instead."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--renew"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        assert text == path.read_text("utf-8"), "if that is meant: pytest -m golden --renew, and look at the difference"

    return compare


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that compare with a golden file carry the marker ``golden``."""
    for item in items:
        if "as_it_was" in getattr(item, "fixturenames", ()):
            item.add_marker("golden")


def pytest_configure() -> None:
    """Whatever started the tests (nohup, a script's background job) may ignore these, and children would inherit it."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def outside_of_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In a job of GitHub's the violations that tests provoke must not become the job's own annotations and summary, and
    where these are set pytest itself prints the summary of a failed test in full.
    """
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``sources``, a copy of ours, and ``dist``: the source distribution, and the wheel built from it.

    All workers of pytest-xdist share it: the first that needs it makes it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "distributions"
    with FileLock(f"{folder}.lock", timeout=300):
        if folder.exists():
            return folder
        made = folder.with_suffix(".new")
        (made / "sources").mkdir(parents=True)
        for name in DISTRIBUTED:
            path = ROOT / name
            if path.is_dir():
                shutil.copytree(path, made / "sources" / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
            else:
                shutil.copy(path, made / "sources")
        argv = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(made / "dist"), str(made / "sources")]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        made.rename(folder)
    return folder
