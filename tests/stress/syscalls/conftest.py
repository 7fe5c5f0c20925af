"""A shared directory, and a supervisor over it; every test here is skipped where the kernel does not allow one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.syscalls import Denied, Supervisor, require


def _refusal() -> str | None:
    try:
        require()
    except Denied as error:
        return str(error)
    return None


@pytest.fixture(scope="session")
def refusal() -> str | None:
    return _refusal()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    directory = tmp_path / "shared"
    directory.mkdir()
    return directory


@pytest.fixture
def supervisor(shared: Path, refusal: str | None) -> Iterator[Supervisor]:
    """Pinned to one CPU, as it is meant to be; nothing of it is left afterwards."""
    if refusal is not None:
        pytest.skip(refusal)
    before, children = set(os.listdir("/proc/self/fd")), _children()
    affinity = os.sched_getaffinity(0)
    with Supervisor(shared, cpu=min(affinity), stuck_s=20) as supervisor:
        yield supervisor
    assert os.sched_getaffinity(0) == affinity
    assert set(os.listdir("/proc/self/fd")) <= before, "descriptors are left"
    assert _children() <= children, "processes are left"


def _children() -> set[str]:
    return {child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}
