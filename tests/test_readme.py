"""The README is true: its commands run, end as it shows, and name what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = [block for block in re.findall(r"^```console\n(.*?)^```$", README, re.M | re.S) if "RUN\n" not in block]
COMMANDS = ("bench", "check", "compare", "doctor", "gate", "list", "report", "run")
OTHERS = {"--target", "--stress-strict", "--stress-seconds", "--stress-writers"}
ANOMALY = re.compile(r"\b([a-z]+-[a-z-]+) ×")


def _shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CI": "true"}
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_there_are_commands_with_their_output() -> None:
    assert len(CONSOLE) >= 3


@pytest.mark.parametrize("block", CONSOLE, ids=[block.partition("\n")[0] for block in CONSOLE])
def test_a_command_ends_as_shown(block: str, tmp_path: Path) -> None:
    first, _, shown = block.partition("\n")
    assert first.startswith("$ ")
    done = _shell(first[2:], tmp_path)
    said = done.stdout + done.stderr
    verdict = next(word for word in ("PASS", "FAIL", "UNKNOWN", "") if f"\n{word}" in f"\n{shown}")
    if verdict:
        assert done.returncode == {"PASS": 0, "FAIL": 1, "UNKNOWN": 3}[verdict], said
        assert verdict in said
    else:
        assert done.returncode == 0, said
    if verdict == "FAIL":  # which comes first is chance; that one of them comes is not
        assert set(ANOMALY.findall(shown)) & set(ANOMALY.findall(said)), said


def _marked(mark: str) -> str:
    found = re.search(rf"^<!-- {mark} -->\n```sh\n(.*?)^```$", README, re.M | re.S)
    assert found is not None
    return found[1]


def test_the_two_commands_set_up_all_they_need() -> None:
    for mark, end in (("the main job", "stress run --writers 16"), ("the tests", "pytest -q -n auto")):
        command = _marked(mark)
        assert command.strip().endswith(f".venv/bin/{end}")
        for needed in ("apt-get update", "python3-venv", "jq", "python3 -m venv .venv", "pip install"):
            assert needed in command
        assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0


def test_ci_runs_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    program = re.search(r"awk '(.*?)' README\.md", script)
    assert program is not None
    done = subprocess.run(["awk", program[1], "README.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == _marked("the tests")


def test_every_option_and_file_that_it_names_is_there() -> None:
    help_ = _shell("stress --help; " + "; ".join(f"stress {name} --help" for name in COMMANDS), ROOT).stdout
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - OTHERS:
        assert option in help_ or option in README.split("## The helpers")[1], f"{option} is in the README only"
    for path in re.findall(r"`((?:stress|scenarios|atomicops)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path


def test_every_python_block_is_python() -> None:
    for block in re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S):
        compile(block, "README.md", "exec")
    for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```$", README, re.M | re.S):
        assert subprocess.run(["bash", "-n", "-c", block], check=False).returncode == 0, block


def test_the_example_of_the_library_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"^## As a library\n+```python\n(.*?)^```$", README, re.M | re.S)
    assert found is not None
    done = subprocess.run([sys.executable, "-c", found[1]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_pytest_plugin_has_the_options_that_are_named() -> None:
    help_ = _shell("python -m pytest --help", ROOT).stdout
    for option in OTHERS - {"--target"}:
        assert option in help_
