"""Which workers a run has, and whose they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stress.execution.cast import assign_workers
from stress.history.kinds import Language, WorkerRole
from stress.host.users import COLLEAGUES


@pytest.mark.parametrize("colleagues", [True, False])
def test_the_workers_of_each_language_and_role_belong_to_the_users_in_turn(colleagues: bool) -> None:
    world: Any = SimpleNamespace(colleagues=colleagues, roles=lambda role, supported: [(0, role)])
    sides = {Language.PYTHON: frozenset({"write"}), Language.BASH: frozenset({"write"})}
    mix = {Language.PYTHON: 3, Language.BASH: 1}
    specs = assign_workers(world, sides, writers=4, readers=3, mix=mix)
    one, two = COLLEAGUES if colleagues else (None, None)
    users = {
        (language, role): [spec.user for spec in specs if (spec.language, spec.role) == (language, role)]
        for language in sides
        for role in WorkerRole
    }
    assert users == {
        (Language.PYTHON, WorkerRole.WRITER): [one, two, one],
        (Language.BASH, WorkerRole.WRITER): [one],
        (Language.PYTHON, WorkerRole.READER): [one, two],
        (Language.BASH, WorkerRole.READER): [one],
    }
