"""What the supervisor is told of a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from stress.execution.cast import WorkerSpec
from stress.execution.run_spec import RunSpec
from stress.history.record import Language, WorkerRole
from stress.host.users import COLLEAGUES, User


def worker(number: int, language: Language, role: WorkerRole) -> WorkerSpec:
    return WorkerSpec(number, language, role, 3, frozenset(), ())


@pytest.mark.parametrize("users", [COLLEAGUES, ()])
def test_the_workers_of_each_language_and_role_belong_to_the_users_in_turn(users: tuple[User, ...]) -> None:
    writers = [worker(number, Language.PYTHON, WorkerRole.WRITER) for number in range(3)]
    others = [worker(3, Language.BASH, WorkerRole.WRITER), worker(4, Language.PYTHON, WorkerRole.READER)]
    none: Any = None
    cast_of = cast(Any, SimpleNamespace(workers=[*writers, *others]))
    spec = RunSpec(cast_of, none, {}, none, none, users, none, none)
    one, two = users or (None, None)
    assert [spec.user(each) for each in writers] == [one, two, one]
    assert [spec.user(each) for each in others] == [one, one]
