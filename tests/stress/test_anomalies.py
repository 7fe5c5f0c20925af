"""An anomaly that nobody has explained can't be reported."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from stress import anomalies
from stress.anomalies import ANOMALIES, LOST_UPDATE, Anomaly
from stress.registry import UnknownName
from stress.result import Finding

CHECKERS = Path(anomalies.__file__).parent / "checkers"
CONSTANTS = {name: value for name, value in vars(anomalies).items() if isinstance(value, Anomaly)}


def test_a_finding_takes_no_name_that_has_no_explanation() -> None:
    with pytest.raises(UnknownName, match=r"lost-updat.*did you mean 'lost-update'"):
        Finding("lost-updat", "updates", "drill", "f", "It is lost.")  # type: ignore[arg-type]


def test_an_anomaly_has_an_explanation_and_a_name_of_its_own() -> None:
    before = list(ANOMALIES)
    with pytest.raises(ValueError, match="no explanation"):
        Anomaly("never-heard-of", " ")
    with pytest.raises(ValueError, match="registered already"):
        Anomaly("lost-update", "something else")
    assert list(ANOMALIES) == before


def test_there_are_those_that_have_a_constant_and_checkers_report_each() -> None:
    assert {str(value) for value in CONSTANTS.values()} == set(ANOMALIES)
    assert all(name == value.upper().replace("-", "_") for name, value in CONSTANTS.items())
    sources = "\n".join(path.read_text("utf-8") for path in CHECKERS.rglob("*.py"))
    unused = {name for name in CONSTANTS if len(re.findall(rf"\b{name}\b", sources)) < 2}  # imported, and used
    # An exploration has what only who schedules every process can see.
    assert unused == {"DEADLOCK", "LIVELOCK", "READABLE", "AGENT_FAILED", "CHECK_FAILED"}


@pytest.mark.parametrize("anomaly", CONSTANTS.values(), ids=str)
def test_what_is_said_of_it_fits_into_a_sentence(anomaly: Anomaly) -> None:
    for text in (anomaly.about, anomaly.cause):
        assert text == text.strip()
        assert not text.endswith(".")
        assert not text[:1].isupper()


def test_a_copy_is_the_same_value() -> None:
    assert pickle.loads(pickle.dumps(LOST_UPDATE)) is LOST_UPDATE
