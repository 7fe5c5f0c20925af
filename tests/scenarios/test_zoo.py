"""Every check has something that it catches: each broken target shows the anomaly it names, and ours shows none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress import engine
from stress.anomalies import ANOMALIES
from stress.history.skipped import Part
from stress.host.users import why_not
from stress.plan import Plan, UsageError
from stress.resolve import resolve
from stress.result import Result, Verdict
from stress.workload import catalog, target
from stress.workload.target import Target

catalog.load()
TARGETS = {name: target.load(name) for name in target.names()}
BROKEN = [made for made in TARGETS.values() if made.expects]
TRIES_S = (1.0, 20.0)
"""What depends on the operating system's scheduling may fail to show once; the second try is a long one."""
FAULTLESS_S = float(os.environ.get("STRESS_TEST_SECONDS", "2"))
"""How long each run is in which nothing may be found."""


def _run(home: Path, name: str, names: tuple[str, ...], **options: object) -> Result:
    (home / "files").mkdir(exist_ok=True)
    plan = Plan(
        scenarios=names, target=name, writers=8, readers=3, runs=str(home / "runs"), directory=str(home / "files"),
        **options,  # type: ignore[arg-type]
    )  # fmt: skip
    return engine.run(plan)


def _found(result: Result) -> set[str]:
    return {finding.anomaly for finding in result.findings if finding.verdict is Verdict.FAIL}


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    "made",
    [
        # lease-lock is caught by the same pause, and sooner.
        pytest.param(made, id=made.name, marks=pytest.mark.long if made.name == "lock-broken-by-age" else ())
        for made in BROKEN
    ],
)
def test_a_broken_target_is_caught(made: Target, home: Path) -> None:
    if made.scenarios == ("strangers",) and (why := why_not()):
        pytest.skip(why)
    others = tuple(name for name in ANOMALIES if name not in made.expects)  # it goes on over these
    for duration_s in TRIES_S if "pause_for" not in made.faults else TRIES_S[1:]:  # a lease has to run out
        options = {"duration_s": duration_s, "stop_on_first": True, "allow": others}
        result = _run(home, made.name, made.scenarios or ("bridge",), **options)
        if _found(result) & set(made.expects):
            finding = next(finding for finding in result.findings if finding.anomaly in made.expects)
            assert result.exit_code == 1
            assert finding.message
            return
    pytest.fail(f"{made.name}: none of {made.expects} in {_found(result) or 'nothing at all'}; see {result.run}")


@pytest.mark.skipif(shutil.which("jq") is None, reason="the printed update needs jq")
def test_the_guide_loses_updates_and_appends_and_empties_the_file(tmp_path: Path) -> None:
    found: set[str] = set()
    for duration_s in (0.5, 1.5, 15.0):
        found |= _found(_run(tmp_path, "guide", ("session_count", "progress_log"), duration_s=duration_s))
        if found >= {"lost-update", "lost-append", "torn-read"}:
            return
    pytest.fail(f"only {found}")


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "two users can be had")
def test_ours_serves_two_users_of_one_group(home: Path) -> None:
    for duration_s in (1.5, 4.0, 20.0):  # on a slow machine nobody may come to a write in the first
        result = _run(home, "atomicops", ("strangers",), duration_s=duration_s)
        assert not _found(result), [finding.message for finding in result.findings]
        if result.verdict is Verdict.PASS:
            return
    pytest.fail(f"{[finding.message for finding in result.findings]}")


def test_two_users_are_refused_beside_others_and_left_out_where_they_can_not_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="goes alone"):
        resolve(Plan(scenarios=("handoff", "strangers")))
    monkeypatch.setattr("stress.resolve.why_not", lambda directory, files: "it needs two users, and so root")
    result = _run(tmp_path, "atomicops", ("strangers",), duration_s=0.2)
    assert result.verdict is Verdict.UNKNOWN
    assert [(each.name, each.cure) for each in result.skipped if each.part is Part.SCENARIO] == [
        ("strangers", "run it as root, with a --dir such as /tmp")
    ]


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param({}, marks=pytest.mark.long),  # the gate has a campaign that does the same
        pytest.param({"kill_every_s": 0.2}, marks=pytest.mark.long),
        pytest.param({"fill_every_s": 0.2, "pause_every_s": 0.5}, marks=pytest.mark.long),
        {"signal_every_s": 0.05, "clean_every_s": 0.7, "pause_for_s": 1.0},
    ],
    ids=str,
)
def test_nothing_is_found_in_ours(faults: dict[str, float], tmp_path: Path) -> None:
    result = _run(tmp_path, "atomicops", ("bridge",), duration_s=FAULTLESS_S, **faults)
    if "clean_every_s" in faults:  # on a loaded machine hardly an update ends between two visits of the cleaner
        assert [finding.message for finding in result.findings if finding.verdict is Verdict.FAIL] == []
        assert result.verdict in (Verdict.PASS, Verdict.UNKNOWN)
    else:
        assert [finding.message for finding in result.findings] == []
        assert result.verdict is Verdict.PASS
    assert [each for each in result.skipped if each.part is Part.WORKERS] == []
