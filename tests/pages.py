"""Pages of documentation as sessions: their blocks are read, and done in order in one directory.

A comment line right above a block says what is special about it:

    <!-- file: mine.py -->        the block is that file
    <!-- exit 1 -->               its last command ends so
    <!-- not run: the reason -->  it is read by the parser of its language, and not run
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stress.anomalies import ANOMALIES

__all__ = ["Block", "blocks", "commands", "do"]

BLOCK = re.compile(r"^(?P<marks>(?:<!-- [^\n]* -->\n)*)```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
ANOMALY = re.compile(rf"\b({'|'.join(ANOMALIES)})\b")
VERDICTS = {"PASS": 0, "FAIL": 1, "UNKNOWN": 3}
SECONDS_MAX = 120


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page. ``line``: where it begins."""

    line: int
    language: str
    text: str
    marks: dict[str, str]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, with the marks above them: word → what follows it."""
    found = []
    for match in BLOCK.finditer(page):
        marks = {}
        for mark in re.findall(r"<!-- (.*) -->", match["marks"]):
            name, _, value = mark.partition(" " if mark.startswith("exit ") else ": ")
            marks[name] = value
        found.append(Block(page[: match.start()].count("\n") + 1, match["language"], match["text"], marks))
    return found


def commands(console: str) -> list[tuple[str, str]]:
    """The commands of a session in a terminal, each with what it shows."""
    _, *parts = re.split(r"^\$ ", console, flags=re.M)
    return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts)]


def _run(argv: list[str], folder: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
    environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "CI": "true"}
    # pytest in a page would tidy up after the tests that run it, which have left thousands of files.
    environment["PYTEST_DEBUG_TEMPROOT"] = str(folder.parent)
    return subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )


def do(block: Block, folder: Path, programs: Path = Path(sys.executable).parent) -> None:
    """Do what a block says, in ``folder``; ``programs`` has python, stress and pytest. AssertionError where it does not
    end as shown.
    """
    if "not run" in block.marks or block.language == "text":
        return
    if "file" in block.marks:
        path = folder / block.marks["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")
        return
    shell = ["bash", "-euo", "pipefail", "-c"]
    if block.language == "console":
        session = [([*shell, command], shown) for command, shown in commands(block.text)]
    elif block.language in ("sh", "bash"):
        session = [([*shell, block.text], "")]
    else:
        assert block.language == "python", f"line {block.line}: nothing runs a block of {block.language!r}: mark it"
        session = [(["python", "-c", block.text], "")]
    for number, (argv, shown) in enumerate(session, 1):
        done = _run(argv, folder, programs)
        said = done.stdout + done.stderr
        where = f"line {block.line}: {argv[-1]}\nexit code {done.returncode}:\n{said}"
        verdict = re.search(rf"^({'|'.join(VERDICTS)})\b", shown, re.M)
        last = number == len(session)
        code = int(block.marks.get("exit", "0")) if last else 0
        assert done.returncode == (VERDICTS[verdict[1]] if verdict else code), where
        assert verdict is None or verdict[1] in said, where
        # Which violation comes first is chance; that one of those comes is not.
        named = set(ANOMALY.findall(shown))
        assert not named or named & set(ANOMALY.findall(said)), where
