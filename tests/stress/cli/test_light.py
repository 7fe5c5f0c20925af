"""What people wait for most, the help and the import, loads nothing that it does not need."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from stress.cli._group import group

HEAVY = (
    "numpy", "rich", "jinja2", "multiprocess", "stress.result", "stress.engine", "stress.options",
    "importlib.metadata", "tempfile", "traceback",
)  # fmt: skip


@pytest.mark.parametrize(
    "code", ["import stress", "from stress.cli._entry import run_command; run_command(['--help'])"]
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    told = f"{code}\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_list_of_commands_says_what_each_says_of_itself(capsys: pytest.CaptureFixture[str]) -> None:
    group.main(["--help"], standalone_mode=False)
    said = capsys.readouterr().out
    for name in group.list_commands(None):  # type: ignore[arg-type]
        assert importlib.import_module(f"stress.cli.{name}").command.short_help in said
