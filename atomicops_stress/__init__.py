"""The way in, under a name that is nobody else's: the console script, ``python -m atomicops_stress``, the plugin.

``stress`` and ``scenarios`` are words that other projects have folders for. Nothing here imports them before it has
seen that they are ours: those that are installed beside this package.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import NoReturn

__all__ = ["HOME", "in_the_way", "main"]

HOME = Path(__file__).resolve().parent.parent
"""Where this is installed, ``stress`` and ``scenarios`` with it."""


def in_the_way() -> str:
    """The file or folder that ``import stress`` would find, or has found, instead of ours; empty: it finds ours."""
    try:
        spec = importlib.util.find_spec("stress")
    except ValueError:  # a module that somebody made by hand
        return "a module named stress that no file stands for"
    if spec is None:
        return f"nothing at all: {HOME / 'stress'} is not there"
    found = Path(spec.origin or next(iter(spec.submodule_search_locations or ("?",))))
    return "" if found.resolve().parent == HOME / "stress" else str(found)


def main() -> NoReturn:
    """The command ``stress``, whatever is named so where it is called; exits."""
    if in_the_way():
        sys.path.insert(0, str(HOME))
        import stress  # noqa: F401

        sys.path.remove(str(HOME))
    from stress.cli import main as entry

    entry()
