"""The gate runs what is asked for within its budget, and fails for whatever did not come out as expected."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import tomllib

from stress.anomalies import ANOMALIES
from stress.campaigns import gate
from stress.campaigns.gate import Campaign, Config, allot, canaries_of, read_config
from stress.cli._entry import run_command
from stress.exploring.plan import ExplorePlan
from stress.history.history import History
from stress.history.kinds import Kind, Language, Outcome
from stress.outcomes import GateOutcome, GateResult
from stress.plan import Plan, UsageError
from stress.reporters.gate import REPORTS, gate_lines, gate_verdict
from stress.result import Finding, Result, Verdict
from stress.stats import KindStats, Stats
from stress.workload.target import load, names

TODAY = datetime.date(2026, 3, 1)


def _result(plan: Plan, *anomalies: str, verdict: Verdict | None = None, interrupted: bool = False) -> Result:
    findings = tuple(
        Finding(ANOMALIES.get(anomaly), "register", "handoff", "state.json", f"{anomaly}.") for anomaly in anomalies
    )
    if verdict is None:
        verdict = Verdict.FAIL if anomalies else Verdict.PASS
    stats = Stats(duration_s=1.0, kinds={(Kind.WRITE, Language.PYTHON): KindStats({Outcome.OK: 100})})
    return Result(verdict, findings, stats, plan.to_json(), interrupted=interrupted)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Plan]]:
    """Replace what runs a plan; returns the plans that were run."""

    def install(judge: Callable[[Plan], Result]) -> list[Plan]:
        done: list[Plan] = []

        def run(plan: Plan) -> Result:
            done.append(plan)
            return judge(plan)

        monkeypatch.setattr("stress.campaigns.gate.stages.run", run)
        monkeypatch.setattr("stress.campaigns.gate._floor_per_s", lambda directory: 1000.0)
        return done

    return install


def _as_each_expects(plan: Plan) -> Result:
    expects = load(plan.target).expects
    return _result(plan, *expects[:1])


def _config(tmp_path: Path, *campaigns: Campaign, **more: Any) -> Config:
    return Config(campaigns, **({"runs": str(tmp_path / "runs"), "regressions": str(tmp_path / "none")} | more))


def _toml(tmp_path: Path, text: str) -> str:
    path = tmp_path / "pyproject.toml"
    path.write_text(text)
    return str(path)


def test_all_as_expected_is_a_pass(tmp_path: Path, runs: Any) -> None:
    done = runs(_as_each_expects)
    campaign = Campaign("mine", (Plan(seed=1), Plan(seed=2)))
    result = gate.run(_config(tmp_path, campaign, canaries=2), today=TODAY)
    assert (result.verdict, result.exit_code, result.kept) == (Verdict.PASS, 0, "")
    assert {plan.seed for plan in done if plan.target == "atomicops"} == {1, 2}
    assert len([plan for plan in done if plan.target != "atomicops"]) == 2


@pytest.mark.parametrize(
    ("expect", "found", "verdict"),
    [
        ("pass", ["lost-update"], Verdict.FAIL),
        ("fail", ["lost-update"], Verdict.PASS),
        ("fail", [], Verdict.FAIL),
        ("lost-update", ["lost-update", "torn-read"], Verdict.PASS),
        ("lost-update", ["torn-read"], Verdict.FAIL),
        ("lost-update", [], Verdict.FAIL),
    ],
)
def test_a_campaign_is_judged_by_what_was_expected(
    expect: str, found: list[str], verdict: Verdict, tmp_path: Path, runs: Any
) -> None:
    runs(lambda plan: _result(plan, *found))
    result = gate.run(_config(tmp_path, Campaign("mine", (Plan(seed=1),), expect), canaries=0))
    assert result.verdict is verdict
    assert result.exit_code == verdict.exit_code


def test_a_campaign_that_proved_nothing_is_unknown(tmp_path: Path, runs: Any) -> None:
    runs(lambda plan: _result(plan, verdict=Verdict.UNKNOWN))
    assert gate.run(_config(tmp_path, Campaign("mine", (Plan(),)), canaries=0)).exit_code == 3
    assert gate.run(_config(tmp_path, canaries=0)).exit_code == 3  # nothing was looked at at all


def test_a_canary_that_gets_away_twice_fails_the_gate(tmp_path: Path, runs: Any) -> None:
    done = runs(lambda plan: _result(plan))
    result = gate.run(_config(tmp_path, canaries=1), today=TODAY)
    assert result.exit_code == 1
    assert "this gate no longer sees" in result.outcomes[0].said
    assert len(done) == 2


def test_a_canary_that_is_caught_at_the_second_attempt_is_caught(tmp_path: Path, runs: Any) -> None:
    attempts: list[Plan] = []

    def judge(plan: Plan) -> Result:
        attempts.append(plan)
        return _result(plan) if len(attempts) == 1 else _as_each_expects(plan)

    runs(judge)
    assert gate.run(_config(tmp_path, canaries=1), today=TODAY).exit_code == 0


def test_a_canary_caught_with_another_anomaly_is_not_caught(tmp_path: Path, runs: Any) -> None:
    runs(lambda plan: _result(plan, "hang"))
    assert gate.run(_config(tmp_path, canaries=1), today=TODAY).exit_code == 1


def test_all_canaries_have_their_turn() -> None:
    zoo = {name for name in names() if load(name).expects}
    seen: set[str] = set()
    for day in range(len(zoo)):
        seen.update(canaries_of(2, 0, TODAY + datetime.timedelta(days=day)))
    assert seen == zoo
    assert canaries_of(2, 1, TODAY) != canaries_of(2, 0, TODAY)
    assert len(set(canaries_of(100, 0, TODAY))) == len(zoo)


def test_what_is_likeliest_to_fail_comes_first(tmp_path: Path, runs: Any) -> None:
    runs(lambda plan: _result(plan, *(["lost-update"] if plan.seed == 2 else [])))
    three = [Campaign(name, (Plan(seed=seed),)) for seed, name in enumerate(["good", "new", "bad"])]
    config = _config(tmp_path, three[0], three[2], canaries=0)
    for _ in range(3):
        gate.run(config)
    order = [outcome.name for outcome in gate.run(_config(tmp_path, *three, canaries=0)).outcomes]
    assert order == ["bad", "new", "good"]


def test_the_budget_is_shared_out_and_what_is_left_over_goes_on() -> None:
    assert allot(10, 100, 30) == 10  # enough for all
    assert allot(10, 15, 30) == 5  # half of what is wanted
    assert allot(10, 0, 10) == 0


def test_plans_are_cut_to_the_budget(tmp_path: Path, runs: Any) -> None:
    done = runs(_as_each_expects)
    campaigns = [Campaign(str(seed), (Plan(seed=seed, duration_s=20.0),)) for seed in range(3)]
    gate.run(_config(tmp_path, *campaigns, canaries=0, budget_s=30.0))
    assert [round(plan.duration_s or 0) for plan in done] == [8, 13, 20]  # each left the most of its share


def test_what_the_budget_does_not_do_for_is_not_a_pass(tmp_path: Path, runs: Any) -> None:
    runs(_as_each_expects)
    result = gate.run(_config(tmp_path, Campaign("mine", (Plan(),)), canaries=0, budget_s=2.5))
    assert result.exit_code == 3
    assert "budget" in result.outcomes[0].said


def test_a_campaign_in_operations_has_what_the_budget_leaves_or_is_no_pass(tmp_path: Path, runs: Any) -> None:
    done = runs(_as_each_expects)
    few, many = Plan(ops=_result(Plan()).stats.total), Plan(ops=1_000_000)
    result = gate.run(_config(tmp_path, Campaign("few", (few,)), Campaign("many", (many,)), canaries=0, budget_s=60.0))
    assert [outcome.verdict for outcome in result.outcomes] == [Verdict.PASS, Verdict.UNKNOWN]
    assert "of 1,000,000 operations" in result.outcomes[1].said
    assert result.exit_code == 3
    assert (done[1].duration_s or 0) > 50, "and not 10 s"


def test_what_was_judged_is_not_held(tmp_path: Path, runs: Any) -> None:
    """A gate of many campaigns keeps what they came to, and none of their histories."""
    runs(lambda plan: replace(_result(plan), plan=plan.to_json(), history=History.of([], ())))
    result = gate.run(_config(tmp_path, Campaign("mine", (Plan(),)), canaries=0))
    assert [outcome.result is not None and outcome.result.history for outcome in result.outcomes] == [None]


def test_a_pace_below_the_floor_fails(tmp_path: Path, runs: Any) -> None:
    runs(_as_each_expects)  # 100 changes a second, and the floor does 1000
    for floor, code in ((0.09, 0), (0.11, 1)):
        campaign = Campaign("mine", (Plan(),), throughput_floor=floor)
        assert gate.run(_config(tmp_path, campaign, canaries=0)).exit_code == code


def test_an_interrupted_gate_says_what_was_not_run(tmp_path: Path, runs: Any) -> None:
    done = runs(lambda plan: _result(plan, interrupted=True))
    campaigns = [Campaign(str(seed), (Plan(seed=seed),)) for seed in range(3)]
    result = gate.run(_config(tmp_path, *campaigns, canaries=0))
    assert len(done) == 1
    assert result.exit_code == 130
    assert [outcome.said for outcome in result.outcomes] == [
        "pass, until it was interrupted", *["not run: interrupted"] * 2
    ]  # fmt: skip
    assert result.outcomes[0].verdict is Verdict.UNKNOWN


def test_the_worst_run_is_kept_where_nothing_prunes_it(tmp_path: Path, runs: Any) -> None:
    def judge(plan: Plan) -> Result:
        run = tmp_path / "runs" / f"run-{plan.seed}"
        run.mkdir(parents=True)
        (run / "plan.json").write_text("{}")
        return replace(_result(plan, *(["torn-read"] if plan.seed else [])), run=str(run))

    runs(judge)
    result = gate.run(_config(tmp_path, Campaign("mine", (Plan(seed=0), Plan(seed=1))), canaries=0))
    assert Path(result.kept).name == "gate-run-1"
    assert (Path(result.kept) / "plan.json").exists()


# The table


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["[tool.stress]", "--init"]),
        ("[tool.stress]\nbugdet = '1s'", ["'bugdet'", "did you mean 'budget'"]),
        ("[tool.stress]\nbudget = 'x'", ["budget", "'x'", "60s"]),
        ("[tool.stress]\ncanaries = -1", ["canaries", "-1"]),
        ("[tool.stress]\nruns = 3", ["runs", "3"]),
        ("[tool.stress]\ncampaigns = 3", ["campaigns"]),
        ("[tool.stress.campaigns.a]\nwritters = 3", ["campaigns.a", "'writters'", "did you mean 'writers'"]),
        ("[tool.stress.campaigns.a]\nwriters = 0", ["campaigns.a", "writers", "'0'"]),
        ("[tool.stress.campaigns.a]\nmode = 'crash'", ["mode", "'crash'", "is no mode", "explore, run"]),
        ("[tool.stress.campaigns.a]\nmode = 'rum'", ["mode", "did you mean 'run'"]),
        ("[tool.stress.campaigns.a]\nexpect = 'lost-updates'", ["expect", "did you mean 'lost-update'"]),
        ("[tool.stress.campaigns.a]\nexpect = ['pass']", ["expect", "is no outcome"]),
        ("[tool.stress.campaigns.a]\nmix = 'pyhton=3'", ["campaigns.a] mix", "did you mean 'python'"]),
        ("[tool.stress.campaigns.a]\nnemesis = {x = '1s'}", ["campaigns.a] nemesis", "'x'; there are none"]),
        ("[tool.stress.campaigns.a]\nload = ['none.py']", ["campaigns.a] load", "there is no such file"]),
        (
            "[tool.stress.campaigns.a]\nmode = 'explore'\nlanguages = 'pyton'",
            ["campaigns.a] languages", "no side of the target"],
        ),
        ("[tool.stress.campaigns.a]\nseeds = []", ["seeds"]),
        ("[tool.stress.campaigns.a]\nscenarios = ['handof']", ["did you mean 'handoff'"]),
        ("[tool.stress.campaigns.a]\ntarget = 'naiv'", ["did you mean 'naive'"]),
        ("[tool.stress.campaigns.a]\nthroughput-floor = 0", ["throughput-floor"]),
        ("[tool.stress", ["TOML"]),
        (f"tool = {'[' * 2000}", ["TOML"]),
        ("tool = 3", ["has no [tool.stress]"]),
    ],
)
def test_a_mistake_in_the_table_is_named_in_one_line(
    text: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["gate", "--config", _toml(tmp_path, text)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words), line


def test_the_table_is_read(tmp_path: Path) -> None:
    path = _toml(
        tmp_path,
        "[tool.stress]\nbudget = '2m'\ncanaries = 0\n[tool.stress.campaigns.a]\nseeds = [3, 4]\nkill-every = '1s'\n"
        "expect = 'torn-read'\nscenarios = 'handoff'\ntarget = 'naive'\n",
    )
    config = read_config(path)
    assert (config.budget_s, config.canaries) == (120.0, 0)
    (campaign,) = config.campaigns
    assert [plan.seed for plan in campaign.plans] == [3, 4]
    assert isinstance(campaign.plans[0], Plan)
    assert campaign.plans[0].kill_every_s == 1.0
    assert campaign.plans[0].scenarios == ("handoff",)
    assert campaign.expect == "torn-read"


def test_what_init_writes_is_what_the_gate_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _toml(tmp_path, '[project]\nname = "mine"\n')
    assert run_command(["gate", "--init", "--config", path]) == 0
    assert [campaign.name for campaign in read_config(path).campaigns] == ["helpers"]
    assert tomllib.loads(Path(path).read_text())["project"]["name"] == "mine"
    workflow = tmp_path / ".github" / "workflows" / "stress.yml"
    assert "stress gate" in workflow.read_text()
    before = Path(path).read_bytes()
    assert run_command(["gate", "--init", "--config", path]) == 2
    assert Path(path).read_bytes() == before
    assert "already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"), [("tool = 3", "a tool that is no table"), (f"a = {'[' * 2000}", "is not TOML")]
)
def test_a_table_is_not_added_to_what_has_no_room_for_it(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _toml(tmp_path, text)
    assert run_command(["gate", "--config", path, "--init"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert Path(path).read_text() == text


def test_wrong_options_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _toml(tmp_path, "[tool.stress.campaigns.mine]\nduration = '1s'\n")
    for option, value in (("--budget", "-1s"), ("--seed", "x"), ("--only", "mime"), ("--report", "html=x.html"),
                          ("--report", f"json={tmp_path}/no/x")):  # fmt: skip
        assert run_command(["gate", "--config", path, option, value]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert option in line
    assert not (tmp_path / ".stress").exists()
    with pytest.raises(UsageError, match="could not be read"):
        read_config(str(tmp_path / "none.toml"))


# What is shown


def _shown() -> GateResult:
    plan = Plan(seed=1)
    bad = _result(plan, "lost-update")
    return GateResult(
        (
            GateOutcome("campaign", "a|b<i>", Verdict.FAIL, "fail: lost-update", 1.0, 100, 0.1, bad),
            GateOutcome("canary", "naive", Verdict.PASS, "caught: torn-read", 2.0, 50),
            GateOutcome("record", "old", Verdict.UNKNOWN, "not run"),
        ),
        3.2,
        60.0,
    )


def test_the_reports_hold_what_came_out() -> None:
    shown = _shown()
    plain = json.loads(REPORTS["json"](shown))
    assert (plain["verdict"], plain["exit_code"]) == ("fail", 1)
    assert plain["outcomes"][0]["result"]["findings"][0]["anomaly"] == "lost-update"
    suite = ElementTree.fromstring(REPORTS["junit"](shown))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert "lost-update" in (suite[0][0].text or "")
    markdown = REPORTS["markdown"](shown)
    assert "a\\|b&lt;i>" in markdown
    assert "lost-update" in markdown
    assert gate_verdict(shown).startswith("FAIL — 0 of 1 campaign as expected, 1 of 1 canary caught, 0 of 1 record")
    assert len(gate_lines(shown)) == 4


def test_a_campaign_explores(tmp_path: Path) -> None:
    path = _toml(
        tmp_path,
        "[tool.stress]\ncanaries = 0\n[tool.stress.campaigns.a]\nmode = 'explore'\nscenarios = 'handoff'\n"
        "processes = 2\nscheduler = 'dpor'\nduration = '5s'\n",
    )
    (campaign,) = read_config(path).campaigns
    (plan,) = campaign.plans
    assert isinstance(plan, ExplorePlan)
    assert (plan.scheduler, plan.processes, plan.duration_s, plan.schedules) == ("dpor", 2, 5.0, None)
