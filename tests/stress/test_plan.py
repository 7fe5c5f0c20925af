"""The plan: the same after JSON, a command line and TOML; and what it refuses."""

from __future__ import annotations

import json
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.cli.run import command, plan_of
from stress.options import Options
from stress.plan import DURATION_S_MAX, OPTIONS, PROCESSES_MAX, Plan, UsageError, read_toml
from stress.units import format_duration

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
_DURATIONS = st.floats(min_value=0, max_value=DURATION_S_MAX, exclude_min=True, allow_nan=False)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any plan that is valid."""
    counts = st.dictionaries(st.sampled_from(["bash", "python", "command"]), st.integers(0, 40), min_size=1)
    mix = draw(st.none() | counts.filter(lambda mix: sum(mix.values()) > 0))
    ops = draw(st.none() | st.integers(1, 1 << 40))
    return Plan(
        scenarios=tuple(draw(st.lists(st.from_regex(r"\A\w[\w.-]{0,8}\Z"), min_size=1, max_size=3))),
        target=draw(_TEXT),
        writers=draw(st.integers(1, PROCESSES_MAX)) if mix is None else sum(mix.values()),
        readers=draw(st.none() | st.integers(0, PROCESSES_MAX)),
        mix=None if mix is None else tuple(mix.items()),
        duration_s=draw(_DURATIONS if ops is None else st.none() | _DURATIONS),
        ops=ops,
        seed=draw(st.integers(0, (1 << 64) - 1)),
        directory=draw(st.none() | _TEXT),
        runs=draw(_TEXT),
        kill_every_s=draw(st.none() | _DURATIONS),
        pause_every_s=draw(st.none() | _DURATIONS),
        fill_every_s=draw(st.none() | _DURATIONS),
        stop_on_first=draw(st.booleans()),
        op_limit_s=draw(_DURATIONS),
        nemesis=tuple(draw(st.dictionaries(st.sampled_from(["touch", "move"]), _DURATIONS)).items()),
        load=tuple(draw(st.lists(st.sampled_from(["/a.py", "/b c/d.py"]), max_size=2, unique=True))),
    )


@given(plans())
def test_json_keeps_a_plan(plan: Plan) -> None:
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@given(plans())
def test_a_command_line_keeps_a_plan(plan: Plan) -> None:
    argv = plan.to_argv()
    assert argv[:2] == ["stress", "run"]
    assert _parsed(argv[2:]) == plan


def _parsed(argv: list[str]) -> Plan:
    given_ = dict(command.make_context("run", argv).params)
    return plan_of(given_.pop("scenarios"), given_, given_.pop("plan"))


@given(plans())
def test_toml_keeps_a_plan(plan: Plan) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plan.toml")
        path.write_text(_toml(plan), encoding="utf-8", newline="")
        assert Plan.from_options(*read_toml(str(path))) == plan


def _toml(plan: Plan) -> str:
    lines = [f"scenarios = {_toml_value(list(plan.scenarios))}"]
    for option, spec in OPTIONS.items():
        value = getattr(plan, spec.field)
        if value is not None:
            if spec.field.endswith("_s"):
                value = format_duration(value)
            value = list(value) if spec.field in ("allow", "only", "load") else value
            lines.append(f"{option} = {_toml_value(value)}")
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, tuple):
        return "{" + ", ".join(f"{name} = {number!r}" for name, number in value) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def test_defaults() -> None:
    plan = Plan(seed=1)
    assert plan.to_argv() == ["stress", "run", "bridge", "--seed", "1"]
    assert (plan.target, plan.writers, plan.readers, plan.mix, plan.duration_s) == ("atomicops", 16, None, None, 10.0)
    assert Plan().seed != Plan().seed


def test_what_an_option_implies() -> None:
    assert Plan.from_options({"mix": "bash=3,python=2"}).writers == 5
    assert Plan.from_options({"ops": "100"}).duration_s is None
    assert Plan.from_options({"ops": "100", "duration": "2s"}).duration_s == 2
    assert Plan.from_options({"mix": {"python": 4}}).mix == (("python", 4),)


def test_what_is_typed_wins_over_the_file_and_what_the_file_implies(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        'scenarios = ["handoff"]\nmix = "bash=2,python=2"\nops = 50\nkill-every = 0.2\nstop-on-first = true\nseed = 4\n'
    )
    plan = Plan.from_options(*read_toml(str(path)))
    assert (plan.scenarios, plan.writers, plan.ops, plan.duration_s) == (("handoff",), 4, 50, None)
    typed = _parsed(["config", "--plan", str(path), "--writers", "9", "--duration", "3s", "--seed", "5"])
    assert typed == Plan(
        scenarios=("config",), writers=9, duration_s=3.0, seed=5, kill_every_s=0.2, stop_on_first=True
    )  # fmt: skip


class Store:
    """A target of one's own."""

    def write(self, path: str, document: object) -> None:
        """Nothing."""


def test_the_same_words_do_on_all_three_ways_in() -> None:
    """In Python as on the command line and in a file: names, units, defaults, and what one implies of another."""
    argv = "handoff --duration 2s --mix python=3 --kill-every 200ms --dir /tmp --seed 1"
    toml = {"duration": "2s", "mix": {"python": 3}, "kill-every": 0.2, "dir": "/tmp", "seed": 1}
    for plan in (
        Plan("handoff", duration="2s", mix="python=3", kill_every="200ms", dir="/tmp", seed="1"),
        Plan(scenario=("handoff",), duration=2, mix={"python": 3}, kill_every=0.2, dir=Path("/tmp"), seed=1),
        Plan(["handoff"], duration_s=2.0, mix=(("python", 3),), kill_every_s=0.2, directory="/tmp", seed=1),
        Plan.from_options(toml, ["handoff"]),
    ):
        assert plan == _parsed(argv.split())
    assert Plan(ops=5).duration_s is None
    assert Plan(target=Store, seed=1) == Plan(target=f"{__name__}:Store", seed=1)
    assert Plan(target=Path("mine.py"), seed=1) == Plan(target="mine.py", seed=1)


def test_the_table_and_its_typed_form_have_the_same_options() -> None:
    """What mypy sees of `Plan` and `torture` is what the command line takes."""
    names = {name.replace("-", "_") for name in OPTIONS} | {option.field for option in OPTIONS.values()}
    assert set(Options.__annotations__) == names - {"target"}
    assert {option.field for option in OPTIONS.values()} == {field.name for field in fields(Plan)} - {"scenarios"}


@pytest.mark.parametrize(
    "fields",
    [
        {"writers": 0}, {"writers": True}, {"writers": "many"}, {"writers": 5000}, {"readers": -1}, {"ops": 0},
        {"seed": -1}, {"seed": 1 << 64}, {"duration_s": 0.0}, {"duration_s": float("nan")}, {"duration": "10 parsecs"},
        {"duration_s": float("inf")}, {"duration_s": None}, {"kill_every_s": 0.0}, {"op_limit_s": -1.0},
        {"op_limit_s": None, "ops": 0}, {"scenarios": 7}, {"scenarios": "a b"}, {"scenarios": ("a b",)},
        {"scenarios": ("-x",)}, {"scenarios": (7,)}, {"target": ""}, {"directory": ""}, {"runs": "a\0b"},
        {"mix": (("p e r l", 16),)}, {"mix": (("bash", 3),), "writers": 4}, {"mix": "bash=0"}, {"nosuch": 1},
        {"target": object()}, {"mix": (("bash", 8), ("bash", 8))},
        {"mix": (("bash", -1), ("python", 17))},
    ],
)  # fmt: skip
def test_values_that_can_not_be_are_refused_in_one_line(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        Plan(**fields)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(("--", "SCENARIO", "nosuch"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("writers = ", "is not TOML"),
        (f"writers = {'[' * 2000}", "is not TOML"),
        ("writer = 3", "unknown key 'writer' (did you mean 'writers'?)"),
        ("writers = 0", "--writers: '0' is not a number of processes"),
        ('writers = "x"', "--writers: 'x' is not a number of processes"),
        ("duration = true", "--duration: 'True' is not a duration"),
        ("stop-on-first = 1", "--stop-on-first: '1' is neither true nor false"),
        ("target = 3", "--target: '3' is not text"),
        ("mix = 3", "--mix: '3' is not a mix"),
        ("mix = {bash = 1.5}", "--mix: 'bash=1.5' is not a mix"),
        ("scenarios = 3", "has no list of names"),
        ("scenarios = [3]", "has no list of names"),
        ("[writers]\na = 1", "--writers: \"{'a': 1}\" is not a number of processes"),
    ],
)
def test_a_plan_file_that_will_not_do_says_why(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        Plan.from_options(*read_toml(str(path)))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path, "a\0b"):
        with pytest.raises(UsageError, match="--plan"):
            Plan.from_options(*read_toml(str(path)))


def test_a_saved_plan_that_is_none_says_why() -> None:
    for plain in ({"nosuch": 1}, {"mix": 3}, {"scenarios": 3}):
        with pytest.raises(UsageError):
            Plan.from_json(plain)
