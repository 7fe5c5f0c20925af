"""What is allowed is counted and not judged; the verdict repeats it, and names that are not there are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from stress import check, run
from stress.anomalies import ANOMALIES, Harm
from stress.cli._entry import run_command
from stress.engine import check_history
from stress.plan import Plan, UsageError
from stress.reporters.json import as_plain
from stress.reporters.words import again, commands, verdict_line
from stress.resolve import judging_named
from stress.result import Verdict

LINES = [
    {"process": 1, "does": "write", "version": 1, "start": 0, "end": 1},
    {"process": 1, "does": "write", "version": 2, "start": 2, "end": 3},
    {"process": 2, "does": "read", "version": 1, "start": 4, "end": 5},
    {"process": 3, "does": "write", "version": 3, "start": 4, "end": 5},
]


@pytest.fixture
def stale(tmp_path: Path) -> str:
    path = tmp_path / "stale.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return str(path)


def test_what_is_allowed_is_counted_and_the_verdict_repeats_it(stale: str) -> None:
    assert check_history(stale).verdict is Verdict.FAIL
    result = check_history(stale, allow=("stale-read", "torn-read"))
    assert result.verdict is not Verdict.FAIL
    assert result.allowed == {"stale-read": 1, "torn-read": 0}
    assert "; allowed: stale-read ×1, torn-read, which did not strike" in verdict_line(result)
    assert as_plain(result)["allowed"] == {"stale-read": 1, "torn-read": 0}
    assert [command for _, command in commands(result)] == [
        f"stress {does} {stale} --allow stale-read,torn-read" for does in ("report", "check")
    ], "or what is shown again is something else"
    planned = dataclasses.replace(result, plan={"allow": ["stale-read", "torn-read"]})
    assert again(planned) == f"stress check {stale}"


def test_only_some_checkers_look_and_no_more_is_claimed(stale: str) -> None:
    result = check_history(stale, only=("torn",))
    assert result.verdict is not Verdict.FAIL
    assert result.checkers == {"": frozenset({"torn"})}


def test_what_was_found_and_allowed_is_not_denied(tmp_path: Path) -> None:
    (tmp_path / "naive.py").write_text(
        "import json\n"
        "def write(path, document): json.dump(document, open(path, 'w'))\n"
        "def read(path): return json.load(open(path))\n"
    )
    options = {"target": str(tmp_path / "naive.py"), "writers": 3, "duration_s": 1.0, "runs": str(tmp_path / "runs")}
    allowed = tuple(name for name in ANOMALIES if ANOMALIES.get(name).harm in (Harm.DATA, Harm.REST))
    result = run(Plan("handoff", allow=allowed, **options))  # type: ignore[arg-type]
    assert result.allowed["torn-read"]
    line = verdict_line(result)
    assert result.verdict is Verdict.PASS, line
    assert "partial document" not in line
    assert "nothing acknowledged was lost" in line or "nothing else was found" in line

    result = run(Plan("handoff", only=("register", "locks"), allow=allowed, **options))  # type: ignore[arg-type]
    assert result.checkers == check(result.run).checkers == {"handoff": frozenset({"register"})}
    assert "looked for by register;" in verdict_line(result)
    assert "partial document" not in verdict_line(result)


@pytest.mark.parametrize("only", ["locks", "vacuity"])
def test_where_nobody_looks_nothing_is_known(tmp_path: Path, only: str) -> None:
    result = run(Plan("handoff", only=only, writers=2, ops=100, runs=str(tmp_path), mix={"python": 2}))
    for each in (result, check(result.run)):
        assert each.verdict is Verdict.UNKNOWN
        (doubt,) = [found for found in each.findings if found.anomaly == "not-judged"]
        assert doubt.message.startswith(
            f"Nobody looked: {only} judges none of the files; those that do are leftovers, "
        )


def test_a_plan_keeps_them() -> None:
    plan = Plan.from_options({"allow": "metadata-lost, leftover-temp", "only": ["torn"]})
    assert (plan.allow, plan.only) == (("metadata-lost", "leftover-temp"), ("torn",))
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert "--allow metadata-lost,leftover-temp --only torn" in " ".join(plan.to_argv())
    with pytest.raises(UsageError, match=r"--allow: .* is no list of names; write --allow metadata-lost"):
        Plan.from_options({"allow": ["", 3]})


def test_a_name_that_is_not_there_is_refused_with_the_one_that_was_meant(
    stale: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=r"--allow: .*'stale-reed'.*did you mean 'stale-read'"):
        judging_named(["stale-reed"], ())
    with pytest.raises(UsageError, match=r"ALLOW of the target mine: .*did you mean 'stale-read'"):
        judging_named(["stale-reed"], (), ("ALLOW of the target mine", ""))
    with pytest.raises(UsageError, match=r"campaign only: .*did you mean 'torn'"):
        judging_named((), ["torm"], ("", "campaign only"))
    assert run_command(["check", stale, "--only", "torm"]) == 2
    assert "--only: no checker is named 'torm' (did you mean 'torn'?)" in capsys.readouterr().err
    assert run_command(["check", stale, "--allow", "stale-read"]) in (0, 3)
