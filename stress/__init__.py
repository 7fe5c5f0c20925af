"""Find out whether processes that share files can see, lose or destroy what they should not.

As a library: ``from stress import Plan, run`` and then ``run(Plan(writers=8))``, which gives a `Result`. On the command
line: ``stress run``. What scenarios, targets and checkers are made of is in `stress.api`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` takes longer to import than all of this; type checkers go by the name
if TYPE_CHECKING:
    from stress.campaigns.stages import run
    from stress.engine import HarnessError, Progress, check
    from stress.exploring.agents import explore
    from stress.plan import Plan, UsageError
    from stress.result import Finding, Result, Verdict

    __version__: str

__all__ = ["Finding", "HarnessError", "Plan", "Progress", "Result", "UsageError", "Verdict", "check", "explore", "run"]

_HOMES = {
    "stress.campaigns.stages": ("run",),
    "stress.exploring.agents": ("explore",),
    "stress.engine": ("HarnessError", "Progress", "check"),
    "stress.plan": ("Plan", "UsageError"),
    "stress.result": ("Finding", "Result", "Verdict"),
}


def __getattr__(name: str) -> object:
    # Imported when first asked for: `stress --version` and shell completion need none of it.
    import importlib
    import importlib.metadata

    if name == "__version__":
        return importlib.metadata.version("atomicops-stress")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
