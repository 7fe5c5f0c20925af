"""One step for all languages: what is the same in each driver is decided before it."""

from __future__ import annotations

import pytest

from stress.execution.step import number
from stress.history.kinds import Kind, Language
from stress.history.record import version_of
from stress.workload.scenario import Request
from tests.stress.recorders import ListRecorder, StepClock


@pytest.mark.parametrize(
    ("form", "supported", "kind"),
    [
        ("object", frozenset({"read"}), Kind.READ),
        ("object", frozenset({"write"}), Kind.OBSERVE),
        ("log", frozenset({"read"}), Kind.OBSERVE),
    ],
)
def test_a_read_without_a_reader_is_an_observation_in_every_language(
    form: str, supported: frozenset[str], kind: Kind
) -> None:
    recorder = ListRecorder(3, Language.PYTHON, StepClock())
    op = number(recorder, {"a": (7, form)}, supported, 1, Request(Kind.READ, "a"))
    assert (op.request.kind, op.file, op.scenario, op.version) == (kind, 7, 1, version_of(3, 1))
