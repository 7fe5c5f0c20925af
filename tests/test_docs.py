"""The README and the documentation are true: what they show runs, ends as shown, and their links lead somewhere."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
import tomllib

from atomicops._cli import _parser
from atomicops_stress import pytest_plugin
from docs import generate, witness
from stress.checkers.registry import load as load_checkers
from stress.cli._group import group
from stress.engine import check_history
from stress.syscalls import Denied, probe
from tests.pages import Block, blocks, commands, do

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
WORDS_MAX = 900


GENERATED = [page for page in PAGES if "<!-- generated: " in page.read_text("utf-8")]


@pytest.mark.parametrize("page", GENERATED, ids=lambda page: page.name)
def test_the_reference_says_what_the_programs_say(page: Path, as_it_was: Callable[[Path, str], None]) -> None:
    as_it_was(page, generate.render(page.read_text("utf-8")))


ELSEWHERE = ("five-minutes.md",)
"""Pages that tests/test_package.py goes through, with what is installed from the wheel."""


SCHEDULES = ("exploring.md", "explore-two-scripts.md")
"""Pages that need a kernel, and a container, in which syscalls can be scheduled."""


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in ELSEWHERE], ids=lambda page: str(page.relative_to(ROOT))
)
def test_what_it_tells_one_to_type_works(page: Path, tmp_path: Path) -> None:
    if page.name in SCHEDULES:
        try:
            probe.require()
        except Denied as denied:
            pytest.skip(str(denied))
    for block in blocks(page.read_text("utf-8")):
        do(block, tmp_path)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("```console\n$ false\n```\n", "exit code 1"),
        ("<!-- exit 1 -->\n```sh\ntrue\n```\n", "exit code 0"),
        ("```python\nimport nothing_of_that_name\n```\n", "ModuleNotFoundError"),
        ("```console\n$ echo PASS\nFAIL — torn-read ×2\n```\n", "exit code 0"),
        ("```console\n$ echo lost-update\nlost-append\n```\n", "exit code 0"),
        ("```perl\n1;\n```\n", "nothing runs a block of 'perl'"),
    ],
)
def test_what_does_not_end_as_shown_is_seen(page: str, said: str, tmp_path: Path) -> None:
    (block,) = blocks(page)
    with pytest.raises(AssertionError, match=re.escape(said)):
        do(block, tmp_path)


def _parse(block: Block) -> None:
    """Read a block as its language; raises where it is not that."""
    text = block.text
    if block.language == "python":
        compile(text, "block", "exec", dont_inherit=True)
    elif block.language == "toml":
        tomllib.loads(text)
    elif block.language == "json":
        try:
            json.loads(text)
        except ValueError:
            for line in text.splitlines():
                json.loads(line)
    elif block.language in ("sh", "bash", "console"):
        script = text if block.language != "console" else "\n".join(command for command, _ in commands(text))
        subprocess.run(["bash", "-n", "-c", script], check=True, capture_output=True)
    else:
        known = ("text", "javascript", "c", "perl", "yaml")
        assert block.language in known, f"line {block.line}: a block of {block.language!r}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_what_it_is_said_to_be(page: Path) -> None:
    text = page.read_text("utf-8")
    found = blocks(text)
    assert len(found) * 2 == len(re.findall(r"^```", text, re.M)), "a block that is not closed, or is indented"
    for block in found:
        assert set(block.marks) <= {"file", "exit", "not run", "the main job", "the tests"}, block.marks
        assert block.marks.get("not run", "-"), "say why it is not run"
        _parse(block)


# Links, and the site.

needs_sphinx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sphinx", "myst_parser", "furo")),
    reason="Sphinx is not there: pip install 'atomicops-stress[docs]'",
)


def _build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html", str(docs), str(out)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


@needs_sphinx
def test_it_is_built_without_a_warning_and_what_leads_nowhere_is_seen(tmp_path: Path) -> None:
    """One build of a copy with three mistakes in it: it complains of those three, and of nothing else."""
    (tmp_path / "atomicops").mkdir()
    shutil.copy(ROOT / "atomicops" / "__init__.py", tmp_path / "atomicops")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    docs = Path(shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("_build", "__pycache__")))
    with (docs / "limits.md").open("a") as page:
        page.write("\n[a](nowhere.md) and [b](file-system.md#no-such-heading)\n")
    (docs / "alone.md").write_text("# Alone\n\nA page.\n")
    done = _build(docs, tmp_path / "out")
    assert done.returncode != 0
    complaints = [line for line in done.stderr.splitlines() if re.search(r"WARNING|ERROR", line)]
    mistakes = ("nowhere.md", "no-such-heading", "alone.md")
    assert all(any(what in line for line in complaints) for what in mistakes), done.stderr
    assert all(any(what in line for what in mistakes) for line in complaints), done.stderr
    for path in DOCS.rglob("*.md"):
        name = "index" if path.name == "README.md" else str(path.relative_to(DOCS).with_suffix(""))
        assert (tmp_path / "out" / f"{name}.html").exists()


def _anchors(page: str) -> set[str]:
    """The anchors that a forge gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S), re.M)
    words = [
        re.sub(r"[^\w\s-]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading)).strip().lower() for heading in headings
    ]
    return {re.sub(r"\s", "-", heading) for heading in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_on_a_forge_too(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)|src(?:set)?=\"([^\"]+)\"", text):
        target, _, anchor = (link[0] or link[1]).partition("#")
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(path.read_text("utf-8")), f"{page.name}: {target}#{anchor}"


def test_every_page_is_named_in_the_overview() -> None:
    overview = (DOCS / "README.md").read_text("utf-8")
    index = (DOCS / "index.rst").read_text("utf-8")
    for page in DOCS.rglob("*.md"):
        name = str(page.relative_to(DOCS))
        assert name == "README.md" or (f"({name})" in overview and f"   {name.removesuffix('.md')}\n" in index), name


def _options() -> set[str]:
    context = click.Context(group)
    commands = [group.get_command(context, name) for name in group.list_commands(context)]
    known = {name for command in commands if command for param in command.params for name in param.opts}
    for command in _parser()[1].values():
        known |= {name for action in command._actions for name in action.option_strings}
    return known | {"--help", "--version"} | set(re.findall(r"--stress-\w+", inspect.getsource(pytest_plugin)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_that_it_names_is_there(page: Path) -> None:
    text = re.sub(r"^.*(?:apt-get|pip |pytest -m |jq |chromium|sphinx).*$", "", page.read_text("utf-8"), flags=re.M)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"<!--.*?-->", "", text)))
    assert named - _options() == set()


def test_how_it_judges_tells_of_every_checker() -> None:
    page = (DOCS / "how-it-judges.md").read_text("utf-8")
    assert [name for name in load_checkers() if not re.search(rf"^### {name}:|`{name}`", page, re.M)] == []


# The README's own promises.


def _marked(mark: str) -> str:
    (block,) = (block for block in blocks(README.read_text("utf-8")) if mark in block.marks)
    return block.text


def test_the_picture_is_drawn_from_a_witness(tmp_path: Path) -> None:
    lines = [
        {"process": 1, "does": "write", "version": "x1", "start": 0, "end": 1},
        {"process": 2, "does": "update", "version": "x<2", "from": "x1", "start": 2, "end": 5},
        {"process": 3, "does": "update", "version": "x3", "from": "x1", "start": 3, "end": 6},
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    result = check_history(str(tmp_path / "mine.jsonl"))
    finding = next(each for each in result.findings if each.anomaly == "lost-update")
    drawn = ElementTree.fromstring(witness.draw(finding, result))
    texts = ["".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "lost-update in register" in texts
    assert any("update" in text and "x<2" in text for text in texts)
    kept = ElementTree.parse(DOCS / "witness.svg").getroot()
    assert "lost-update" in "".join(kept.itertext())


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").split()) < WORDS_MAX


def test_the_two_commands_set_up_all_they_need() -> None:
    for mark, end in (("the main job", "stress run --writers 16"), ("the tests", "pytest -q -n auto")):
        command = _marked(mark)
        assert command.strip().endswith(f".venv/bin/{end}")
        for needed in ("apt-get update", "python3-venv", "jq", "python3 -m venv .venv", "pip install"):
            assert needed in command


def test_ci_runs_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    program = re.search(r"awk '(.*?)' README\.md", script)
    assert program is not None
    done = subprocess.run(["awk", program[1], "README.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == _marked("the tests")
