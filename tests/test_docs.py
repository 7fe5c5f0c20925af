"""The documentation: it is built without a warning, its links lead somewhere, and what it tells one to type works."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"^(?:<!-- exit (?P<code>\d+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
BLOCKS = [
    pytest.param(
        match["language"], match["text"], int(match["code"] or 0), id=f"{page.name}:{match['text'][:40].strip()}"
    )
    for page in PAGES
    for match in BLOCK.finditer(page.read_text("utf-8"))
    if match["language"] != "text"
]

needs_sphinx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sphinx", "myst_parser", "furo")),
    reason="Sphinx is not there: pip install 'atomicops-stress[docs]'",
)


def _build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html", str(docs), str(out)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


def _copy(folder: Path) -> Path:
    (folder / "docs").parent.mkdir(exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return Path(shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("_build", "__pycache__")))


@needs_sphinx
def test_it_is_built_without_a_warning(tmp_path: Path) -> None:
    docs = _copy(tmp_path)
    done = _build(docs, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for page in PAGES:
        name = "index" if page.name == "README.md" else str(page.relative_to(DOCS).with_suffix(""))
        assert (tmp_path / "out" / f"{name}.html").exists()


@needs_sphinx
def test_a_link_that_leads_nowhere_and_a_page_that_nothing_leads_to_are_seen(tmp_path: Path) -> None:
    docs = _copy(tmp_path)
    with (docs / "limits.md").open("a") as page:
        page.write("\n[a](nowhere.md) and [b](file-system.md#no-such-heading)\n")
    (docs / "alone.md").write_text("# Alone\n\nA page.\n")
    done = _build(docs, tmp_path / "out")
    assert done.returncode != 0
    for what in ("nowhere.md", "no-such-heading", "alone.md"):
        assert what in done.stderr, done.stderr


def test_every_page_is_named_in_the_overview() -> None:
    overview = (DOCS / "README.md").read_text("utf-8")
    index = (DOCS / "index.rst").read_text("utf-8")
    for page in PAGES:
        name = str(page.relative_to(DOCS))
        assert name == "README.md" or (f"({name})" in overview and f"   {name.removesuffix('.md')}\n" in index), name


@pytest.mark.parametrize(("language", "text", "code"), BLOCKS)
def test_what_it_tells_one_to_type_works(language: str, text: str, code: int, tmp_path: Path) -> None:
    commands = {
        "console": ["bash", "-euo", "pipefail", "-c", "\n".join(re.findall(r"^\$ (.*)$", text, re.M))],
        "sh": ["bash", "-euo", "pipefail", "-c", text],
        "python": [sys.executable, "-c", text],
    }
    assert language in commands, f"no test runs what is in a block of {language}"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CI": "true"}
    done = subprocess.run(
        commands[language], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
