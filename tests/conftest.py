"""What holds for every test."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tomllib
from filelock import FileLock

ROOT = Path(__file__).parent.parent
DISTRIBUTED = (
    "atomicops", "atomicops_stress", "stress", "scenarios", "tests", "docs", ".ci", ".gitignore",
    "CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md", "SECURITY.md", "pyproject.toml",
)  # fmt: skip


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


def pytest_sessionstart(session: pytest.Session) -> None:
    """No test judges by the clock, for machines stand still at times. What is drawn is the same each time, so that no
    change is blamed for what it did not touch; the long form draws anew.
    """
    if session.config.pluginmanager.hasplugin("dsession"):
        return  # others run the tests, and Hypothesis takes its time to be loaded
    from hypothesis import settings

    settings.register_profile("calm", deadline=None, derandomize=not os.environ.get("ATOMICOPS_TEST_LONG"))
    settings.load_profile("calm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that compare with a golden file carry the marker ``golden``; those marked ``long`` wait to be asked for."""
    skip = pytest.mark.skip(reason="long; ATOMICOPS_TEST_LONG=1 runs it")
    for item in items:
        if item.get_closest_marker("long") and not os.environ.get("ATOMICOPS_TEST_LONG"):
            item.add_marker(skip)
        if "as_it_was" in getattr(item, "fixturenames", ()):
            item.add_marker("golden")


def pytest_collection_finish() -> None:
    """What thousands of tests are made of is neither looked through nor, in each child that a test forks, copied."""
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Put right what the environment of whoever started the tests does to the processes that tests start."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None) and "PYTHONPYCACHEPREFIX" not in os.environ:
        # Byte code is not wanted beside the sources. Without any, each of a thousand commands compiles all of them.
        folder = tempfile.TemporaryDirectory(prefix="stress-tests-byte-code-", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name
        os.chmod(folder.name, 0o755)  # some tests are other users
    os.environ.pop(
        "PYTHONUNBUFFERED", None
    )  # images of containers set it: a command that fails to write ends otherwise
    # nohup, and a script's background job, have these ignored, and children would inherit it.
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
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a link to each program on PATH, a thousand of them."""
    folder = tmp_path_factory.mktemp("programs")
    for there in filter(os.path.isdir, os.environ["PATH"].split(os.pathsep)):
        for name in os.listdir(there):
            if not os.path.lexists(folder / name):  # a link may lead nowhere
                (folder / name).symlink_to(os.path.abspath(os.path.join(there, name)))
    return folder


@pytest.fixture
def path_without(programs: Path) -> Iterator[Callable[..., str]]:
    """Gives a PATH with all programs but those named, until the test ends."""
    missing: dict[Path, str] = {}

    def without(*names: str) -> str:
        for link in (programs / name for name in names):
            if link.is_symlink():
                missing[link] = os.readlink(link)
                link.unlink()
        return str(programs)

    yield without
    for link, program in missing.items():
        link.symlink_to(program)


def _shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that all workers of pytest-xdist share: the first that needs it has it made."""
    base = factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / name
    with FileLock(f"{folder}.lock", timeout=300):
        done = folder / ".made"
        if not done.exists():
            make(folder)
            done.touch()
    return folder


def run_clean(*argv: str, cwd: Path | None = None, code: int = 0) -> str:
    """What a command says where nothing in the environment is ours; its exit code must be ``code``."""
    ours = ("PYTHON", "PYTEST", "PIP_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, f"{' '.join(argv)}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``sources``, a copy of ours, and ``dist``: the source distribution, and the wheel built from it."""

    def make(folder: Path) -> None:
        (folder / "sources").mkdir(parents=True)
        for name in DISTRIBUTED:
            path = ROOT / name
            if path.is_dir():
                shutil.copytree(path, folder / "sources" / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
            else:
                shutil.copy(path, folder / "sources")
        argv = ("-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder / "sources"))
        run_clean(sys.executable, *argv)

    return _shared(tmp_path_factory, "distributions", make)


def _environment(folder: Path, distributions: Path) -> None:
    (wheel,) = (distributions / "dist").glob("*.whl")
    run_clean(sys.executable, "-m", "venv", "--without-pip", str(folder))
    pip = ("-m", "pip", "--python", str(folder / "bin" / "python"), "install", "-q", "--no-deps", "--no-index")
    run_clean(sys.executable, *pip, str(wheel))


@pytest.fixture(scope="session")
def bare(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds our wheel and nothing else; nobody changes it."""
    return _shared(tmp_path_factory, "bare", lambda folder: _environment(folder, distributions))


def _needed(names: list[str]) -> set[str]:
    """Distributions, and those that they need."""
    found: set[str] = set()
    while names:
        requirement = names.pop()
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if name not in found and not re.search(r"extra ==|python_version <|sys_platform ==|Windows", requirement):
            found.add(name)
            names += importlib.metadata.requires(name) or []
    return found


@pytest.fixture(scope="session")
def installed(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds our wheel, what it depends on, and pytest; nobody changes it.

    What it depends on is linked from this environment: no index is asked.
    """

    def make(folder: Path) -> None:
        _environment(folder, distributions)
        (site,) = (folder / "lib").glob("python*/site-packages")
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        needed = _needed([*project["dependencies"]])
        (folder / "needed").write_text("\n".join(sorted(needed)))
        for name in needed | _needed(["pytest"]):
            for file in importlib.metadata.distribution(name).files or []:
                source, target = Path(str(file.locate())), site / file
                if ".." not in file.parts and source.is_file() and not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _link_or_copy(source, target)
        (folder / "bin" / "pytest").write_text(f'#!/bin/sh\nexec {folder}/bin/python -m pytest "$@"\n')
        (folder / "bin" / "pytest").chmod(0o755)

    return _shared(tmp_path_factory, "installed", make)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy(source, target)
