"""Nothing is found where nothing is wrong: targets that are right, of many makes, pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import stress
from stress.result import Verdict
from stress.workload import target

FOLDER = Path(__file__).with_name("correct")
OPS = 500
"""So many operations prove something on any machine."""
MAKES = sorted(path for path in FOLDER.iterdir() if path.suffix in (".py", ".toml") and path.stem != "parts")


@pytest.mark.parametrize("path", MAKES, ids=lambda path: path.stem)
def test_a_correct_target_passes(path: Path, tmp_path: Path) -> None:
    if path.suffix == ".toml" and not (shutil.which("jq") and shutil.which("flock")):
        pytest.skip("needs jq and flock")
    scenarios = target.load(str(path)).scenarios or ("session_count",)
    plan = stress.Plan(
        scenarios=scenarios, target=str(path), writers=6, readers=2, ops=OPS, duration_s=60.0,
        runs=str(tmp_path / "runs"),
    )  # fmt: skip
    result = stress.run(plan)
    assert [finding.message for finding in result.findings] == []
    assert result.verdict is Verdict.PASS
