"""The pytest plugin: the fixtures ``torture`` and ``explore``, and the options ``--stress-…``.

pytest loads it wherever this package is installed, so it imports nothing of the harness until a test asks for it:
what that does is in `stress.pytest_plugin`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from atomicops_stress import HOME, in_the_way

if TYPE_CHECKING:
    from stress.pytest_plugin import Torture
    from stress.result import Result


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin."""
    group = parser.getgroup("stress", "torture of functions that share files")
    group.addoption("--stress-strict", action="store_true", help="a run that proves nothing fails its test")
    group.addoption("--stress-seconds", type=float, metavar="SECONDS", help="how long each torture goes on")
    group.addoption("--stress-writers", type=int, metavar="N", help="how many processes write in each torture")


@pytest.fixture
def torture(request: pytest.FixtureRequest, tmp_path: Path) -> Torture:
    """A function that tortures a target: see `stress.pytest_plugin.Torture`."""
    run: Torture = _harness().torturer(request, tmp_path)
    return run


@pytest.fixture
def explore(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Result]:
    """A function that explores programs or functions of yours: see `stress.pytest_plugin.explorer`."""
    run: Callable[..., Result] = _harness().explorer(request, tmp_path)
    return run


def _harness() -> ModuleType:
    if other := in_the_way():
        pytest.fail(
            f"the fixture needs the package stress of {HOME / 'stress'}, and `import stress` finds {other}: "
            "rename that, or keep its folder off the path (`pytest --import-mode=importlib` puts none there); "
            "`python -m atomicops_stress run` works beside it",
            pytrace=False,
        )
    from stress import pytest_plugin

    found: Any = pytest_plugin
    assert isinstance(found, ModuleType)
    return found
